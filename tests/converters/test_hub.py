"""Repositories of the Hugging Face hub: in its library's cache, offline, and from a server that answers as it does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from sige_mlx.converters import convert
from sige_mlx.converters.source import needed
from sige_mlx.errors import SigeError
from tests.converters.networks import ddpm
from tests.converters.test_diffusers import COMMIT, NAME, into_cache, pipeline, unet

pytest.importorskip("huggingface_hub")


CODE = """
import json, sys
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from sige_mlx.cli import app
ended = []
for address in sys.argv[1:]:
    with redirect_stdout(StringIO()) as out, redirect_stderr(StringIO()) as err:
        try:
            app(["convert", address, "--force"], prog_name="sige-mlx")
        except SystemExit as left:
            ended.append([left.code or 0, out.getvalue(), err.getvalue()])
print(json.dumps(ended))
"""


@dataclass(frozen=True)
class Ended:
    status: int
    out: str
    err: str

    @property
    def sentence(self) -> str:
        assert (self.status, self.out) == (1, ""), self
        *before, last = self.err.strip().splitlines()
        assert "Traceback" not in self.err and last.startswith("sige-mlx: "), before
        return last.removeprefix("sige-mlx: ")


def run(home: Path, *addresses: str, **environment: str) -> list[Ended]:
    """Conversions one after the other, in a process of their own, for the hub's library reads its variables as it is
    imported."""
    variables = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "HUGGINGFACE_"))}
    variables |= {"HF_HOME": str(home), "SIGE_MLX_CACHE": str(home / "ours"), "HOME": str(home)}
    command = [sys.executable, "-c", CODE, *addresses]
    ended = subprocess.run(command, env={**variables, **environment}, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    return [Ended(*one) for one in json.loads(ended.stdout)]


OFFLINE = {"HF_HUB_OFFLINE": "1"}
NOBODY = {"HF_ENDPOINT": "http://127.0.0.1:9"}  # where nobody listens


@pytest.mark.parametrize("network", [OFFLINE, NOBODY], ids=["offline", "no network"])
def test_a_repository_in_the_cache_needs_no_network(tmp_path: Path, network: dict[str, str]) -> None:
    into_cache(pipeline(tmp_path / "made"), tmp_path / "hub")
    whole = ["hf:owner/net", "hf:owner/net@main", f"hf:owner/net@{COMMIT}"]
    folders = ["hf:owner/net/unet", f"hf:owner/net/unet@{COMMIT}"]
    *found, absent, unknown = run(tmp_path, *whole, *folders, "hf:owner/net@v2", "hf:owner/other", **network)
    for ended in found:
        assert ended.status == 0, ended
        assert f"{tmp_path / 'ours' / 'net'} is written: ddpm" in ended.out and "Use it with --model net" in ended.out
    assert "models--owner--net: holds no snapshot of v2; there are 1" in absent.sentence
    assert unknown.sentence.startswith("hf:owner/other: is not whole in the hub's cache ")
    assert "and the hub cannot be reached: " in unknown.sentence


def test_a_download_that_came_to_no_end(tmp_path: Path) -> None:
    kept = into_cache(pipeline(tmp_path / "made"), tmp_path / "hub")
    for link in (kept / "snapshots").rglob("*.safetensors"):
        link.unlink()
    (ended,) = run(tmp_path, "hf:owner/net", **NOBODY)
    assert ended.sentence.startswith("hf:owner/net: is not whole in the hub's cache ")
    assert "and the hub cannot be reached: " in ended.sentence


@pytest.mark.parametrize(
    "address", ["hf:", "hf:net", "hf:a/b@", "hf:../b", "hf:a/b c", "hf:a/b@x y", "hf:/a/b", "hf:a//b"]
)
def test_what_is_no_address(address: str, tmp_path: Path) -> None:
    with pytest.raises(SigeError, match=f"^{address}: is no repository; hf:OWNER/NAME would be"):
        convert(address, tmp_path / "m")


def test_without_the_library(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(SigeError, match=r"^hf:a/b: needs the package huggingface_hub: pip install 'sige-mlx\[hub\]'$"):
        convert("hf:a/b", tmp_path / "m")


def test_only_what_a_conversion_reads_is_needed() -> None:
    beside = ["README.md", ".gitattributes", "images/a.png", "vae/diffusion_pytorch_model.safetensors", "optimizer.bin"]
    index = [
        f"unet/{NAME}.safetensors.index.json",
        "model_index.json",
        "unet/config.json",
        "scheduler/scheduler_config.json",
    ]
    shards = [f"unet/{NAME}-0000{i}-of-00002.safetensors" for i in (1, 2)]
    variant = [f"unet/{NAME}.fp16.safetensors", f"unet/{NAME}.fp16-00001-of-00002.safetensors"]
    names = [*beside, *index, *shards, *variant]
    assert sorted(needed(names)) == sorted([*index, *shards])
    assert sorted(needed(names, "unet")) == sorted({*index, *shards} - {"model_index.json"})
    assert sorted(needed([f"a/{name}" for name in names], "a")) == sorted(f"a/{name}" for name in (*index, *shards))
    plain = [*beside, "config.json", f"{NAME}.bin", f"{NAME}.safetensors"]
    assert needed(plain) == ["config.json", f"{NAME}.safetensors"]


# ---- a server in the hub's stead


class Hub(BaseHTTPRequestHandler):
    """The few answers of the hub that its library asks for, from a folder of repositories; notes what is downloaded."""

    folder: Path
    downloaded: list[str]

    def log_message(self, *_: Any) -> None:
        pass

    def do_HEAD(self) -> None:
        self.answer(with_body=False)

    def do_GET(self) -> None:
        self.answer(with_body=True)

    def answer(self, with_body: bool) -> None:
        path = self.path.partition("?")[0].strip("/")
        owner, name, *rest = path.removeprefix("api/models/").split("/")
        repository = self.folder / owner / name
        if owner == "gated":
            return self.send(403, b"", {"X-Error-Code": "GatedRepo"})
        if not repository.is_dir():
            return self.send(404, b"", {"X-Error-Code": "RepoNotFound"})
        if rest[1:2] == ["v9"]:
            return self.send(404, b"", {"X-Error-Code": "RevisionNotFound"})
        files = sorted(str(file.relative_to(repository)) for file in repository.rglob("*") if file.is_file())
        if not path.startswith("api/"):
            content = (repository / "/".join(rest[2:])).read_bytes()
            if with_body:
                self.downloaded.append("/".join(rest[2:]))
            return self.send(200, content, {"ETag": f'"{len(content):040x}"', "X-Repo-Commit": COMMIT}, with_body)
        if rest[:1] == ["tree"]:
            sizes = {file: (repository / file).stat().st_size for file in files}
            listed = [{"type": "file", "path": f, "size": n, "oid": f"{n:040x}"} for f, n in sizes.items()]
            return self.send(200, json.dumps(listed).encode(), {})
        described = {"id": f"{owner}/{name}", "sha": COMMIT, "siblings": [{"rfilename": file} for file in files]}
        return self.send(200, json.dumps(described).encode(), {})

    def send(self, status: int, content: bytes, headers: dict[str, str], with_body: bool = True) -> None:
        self.send_response(status)
        for key, value in {"Content-Length": str(len(content)), **headers}.items():
            self.send_header(key, value)
        self.end_headers()
        if with_body:
            self.wfile.write(content)


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[Path, dict[str, str], list[str]]]:
    """A folder of repositories, the variable that makes the library ask for them here, and what it has downloaded."""
    handler = type("Handler", (Hub,), {"folder": tmp_path / "served", "downloaded": []})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield handler.folder, {"HF_ENDPOINT": f"http://127.0.0.1:{server.server_port}"}, handler.downloaded
        server.shutdown()


def test_only_what_is_needed_is_downloaded_and_once(
    tmp_path: Path, served: tuple[Path, dict[str, str], list[str]]
) -> None:
    folder, endpoint, downloaded = served
    net = pipeline(folder / "owner" / "net")
    (net / "README.md").write_text("a network")
    unet(net / "unet", ddpm(seed=1), f"{NAME}.bin")
    (ended,) = run(tmp_path, "hf:owner/net", **endpoint)
    assert ended.status == 0, ended
    wanted = ["model_index.json", "scheduler/scheduler_config.json", "unet/config.json", f"unet/{NAME}.safetensors"]
    assert sorted(downloaded) == wanted
    for network in (endpoint, OFFLINE):
        assert run(tmp_path, "hf:owner/net", **network)[0].status == 0
    assert len(downloaded) == len(wanted)


def test_what_the_hub_refuses(tmp_path: Path, served: tuple[Path, dict[str, str], list[str]]) -> None:
    folder, endpoint, _ = served
    (folder / "owner" / "empty").mkdir(parents=True)
    (folder / "owner" / "empty" / "README.md").write_text("nothing here")
    told = {
        "hf:owner/none": "there is no such repository on the hub, or it is private and nobody is logged in",
        "hf:gated/net": "its owner wants to be asked first, at https://huggingface.co/gated/net",
        "hf:owner/empty@v9": "it has no revision v9",
        "hf:owner/empty": "it holds no checkpoint",
    }
    into_cache(unet(tmp_path / "made"), tmp_path / "hub", "owner/gone")  # from when it was still there
    *refused, gone = run(tmp_path, *told, "hf:owner/gone", **endpoint)
    for ended, (address, said) in zip(refused, told.items(), strict=True):
        assert ended.sentence.startswith(f"{address}: {said}")
    assert gone.status == 0
