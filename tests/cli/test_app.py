"""`sige-mlx app`: what it refuses, and that it serves until it is ended."""

from __future__ import annotations

import builtins
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.cli.conftest import Run
from tests.tiny import original


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    Image.fromarray(original()).save(tmp_path / "a picture.png")
    return tmp_path / "a picture.png"


@contextmanager
def started(*arguments: object) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The command in a process of its own, and the address that it prints."""
    command = [sys.executable, "-u", "-m", "sige_mlx", "app", "--no-browser", *map(str, arguments)]
    # Who runs tests in the background of a shell has it ignored, which children inherit.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout
        try:
            yield process, process.stdout.readline().split()[-1]
        finally:
            process.kill()


def test_without_the_extra_one_sentence_says_how_to_get_it(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def absent(name: str, *args: Any, **options: Any) -> Any:
        if name.partition(".")[0] == "uvicorn":
            raise ModuleNotFoundError("No module named 'uvicorn'", name="uvicorn")
        return real(name, *args, **options)

    for name in [name for name in sys.modules if name.startswith(("uvicorn", "sige_mlx.app"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(builtins, "__import__", absent)
    assert run("app").sentence == "sige-mlx: the editor needs the extra app: pip install 'sige-mlx[app]'"


@pytest.mark.parametrize(
    "arguments, words",
    [
        (("nothing.png",), "nothing.png: there is no such file"),
        (("-m", "nothing"), "neither a model's name"),
        (("-m", "ddpm-church-256"), "not on this machine"),
        (("--device", "abacus"), "the device is 'abacus'"),
        (("--port", 70000), "--port is 70000"),
        (("--memory", 0), "--memory is 0"),
    ],
)
def test_bad_input_is_one_sentence(run: Run, arguments: tuple[object, ...], words: str) -> None:
    pytest.importorskip("uvicorn")
    assert words in run("app", "--no-browser", *arguments).sentence


def test_without_mflux_one_sentence_says_how_to_get_it(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("uvicorn")

    def absent(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr("sige_mlx.tokens.flux2.version", absent)
    said = run("app", "--no-browser", "-m", "flux2-klein-4b").sentence
    assert "FLUX.2 is run by mflux, which is not installed: pip install 'mflux>=0.18.1'" in said


def test_a_port_that_is_taken_is_one_sentence(run: Run) -> None:
    pytest.importorskip("uvicorn")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        told = run("app", "--no-browser", "--port", taken.getsockname()[1]).sentence
    assert "cannot be had" in told


@pytest.mark.parametrize("number, status", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_it_serves_what_was_named_until_it_is_ended(
    picture: Path, model: Path, number: signal.Signals, status: int, tmp_path: Path
) -> None:
    pytest.importorskip("uvicorn")
    connect = pytest.importorskip("websockets.sync.client").connect
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    os.environ["TMPDIR"], before = str(temporary), os.environ.get("TMPDIR")
    try:
        with started(picture, "-m", model) as (process, address):
            base, token = address.split("/#token=")
            protocols = ["sige.v1", f"token.{token}"]
            with connect(base.replace("http", "ws") + "/ws", origin=base, subprotocols=protocols) as page:
                page.send('{"t": "hello"}')
                told = ""
                while '"t": "document"' not in told:
                    told = str(page.recv(timeout=60))
                assert '"name": "a picture.png"' in told
                process.send_signal(number)
                _, errors = process.communicate(timeout=60)
            assert process.returncode == status and "Traceback" not in errors
        assert [*temporary.iterdir()] == []
    finally:
        os.environ.pop("TMPDIR")
        if before is not None:
            os.environ["TMPDIR"] = before
