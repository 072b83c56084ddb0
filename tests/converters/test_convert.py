"""From a checkpoint to a model folder, and what is left behind when that fails."""

from __future__ import annotations

import dataclasses
import errno
import hashlib
import json
import os
import resource
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from sige_mlx import zoo
from sige_mlx.converters import convert, folder
from sige_mlx.converters.families import LAYOUTS
from sige_mlx.errors import SigeError
from sige_mlx.families import FAMILIES, Published
from sige_mlx.models.ddpm import DDPMConfig, DDPMUNet
from sige_mlx.published import PublishedFile
from tests.converters.networks import SMALL, Arrays, ddpm, fused_ddpm
from tests.converters.writer import save, state_dict, write_zip
from tests.privileges import as_an_owner
from tests.reference import load_manifest, load_weights, require_reference

KNOWN = ", ".join(family.name for family in LAYOUTS)
ARRAYS = ddpm()
FILES = {"config.json", "model.safetensors"}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tmp_path_factory.mktemp("source") / "net.pth", ARRAYS)


def expected(arrays: Arrays) -> Arrays:
    return {name: a.transpose(0, 2, 3, 1) if a.ndim == 4 else a for name, a in arrays.items()}


def assert_weights(model: Path, arrays: Arrays) -> None:
    found = load_file(model / "model.safetensors")
    assert found.keys() == arrays.keys()
    for name, values in expected(arrays).items():
        np.testing.assert_array_equal(found[name], values)


def complaint(source: Path, destination: Path, **options: Any) -> str:
    with pytest.raises(SigeError) as caught:
        convert(source, destination, **options)
    text = str(caught.value)
    assert text.isprintable()
    return text


def test_what_is_written(source: Path, tmp_path: Path) -> None:
    model = tmp_path / "models" / "small"
    result = convert(source, model)
    sha256 = hashlib.sha256(source.read_bytes()).hexdigest()
    assert {path.name for path in model.iterdir()} == FILES
    assert json.loads((model / "config.json").read_text()) == {
        "format": 2,
        "family": "ddpm",
        "config": json.loads(json.dumps(dataclasses.asdict(SMALL))),
        "edit": {},
        "source": {"file": "net.pth", "sha256": sha256},
    }
    assert_weights(model, ARRAYS)
    with safe_open(model / "model.safetensors", framework="numpy") as file:
        metadata = file.metadata()
    assert metadata["source_file"] == "net.pth"
    assert metadata["source_sha256"] == sha256
    assert metadata["family"] == "ddpm"
    assert "sige_mlx_version" in metadata
    assert (result.folder, result.family, result.config, result.sha256) == (model, "ddpm", SMALL, sha256)
    assert result.md5 == hashlib.md5(source.read_bytes()).hexdigest()
    assert result.parameters == sum(a.size for a in ARRAYS.values())
    assert result.nbytes == 4 * result.parameters
    assert {path.name for path in tmp_path.rglob("*")} == {"models", "small", *FILES}


def test_without_a_destination_it_goes_to_the_cache(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIGE_MLX_CACHE", str(tmp_path))
    assert convert(source).folder == tmp_path / "net"
    assert zoo.load("net").family == "ddpm"


def test_a_file_is_known_by_its_md5(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGE_MLX_CACHE", str(tmp_path))
    md5 = hashlib.md5(source.read_bytes()).hexdigest()
    files = (PublishedFile("ours.pth", "here", md5), PublishedFile("net.pth", "there", "0" * 32))
    known = {"ours": Published(files, dataclasses.asdict(SMALL))}
    monkeypatch.setitem(FAMILIES, "ddpm", dataclasses.replace(FAMILIES["ddpm"], published=known))
    made = convert(source)
    assert made.folder == tmp_path / "ours"
    assert "by its MD5 this is ours.pth, the authors' file of ours" in made.notes


def test_a_file_that_is_only_called_as_a_published_one(tmp_path: Path) -> None:
    made = convert(save(tmp_path / "church256-ddpm-fused_unet.pth", ARRAYS), tmp_path / "m")
    assert made.notes[-1] == (
        f"it is called as the authors' file of ddpm-church-256 is, but its MD5 is {made.md5}, not"
        " fb3e26e5e6be812d6bed5c48e5265506: it is another file, or a damaged one"
    )
    assert len(convert(save(tmp_path / "net.pth", ARRAYS), tmp_path / "n").notes) == len(made.notes) - 1


def test_the_zoo_loads_it(source: Path, tmp_path: Path) -> None:
    convert(source, tmp_path / "m")
    network = zoo.load(tmp_path / "m").module()
    assert isinstance(network, DDPMUNet)
    assert network.config == SMALL
    np.testing.assert_array_equal(np.asarray(network.conv_in.weight), ARRAYS["conv_in.weight"].transpose(0, 2, 3, 1))


@pytest.mark.parametrize("form", ["zip", "deflated", "legacy"])
@pytest.mark.parametrize("layout", [dict, fused_ddpm], ids=["original", "fused"])
def test_formats_and_layouts(form: str, layout: Callable[[Arrays], Arrays], tmp_path: Path) -> None:
    convert(save(tmp_path / "net.pth", layout(ARRAYS), form), tmp_path / "m")
    assert_weights(tmp_path / "m", ARRAYS)


def test_average_beside_the_model(tmp_path: Path) -> None:
    average = ddpm(seed=1)
    model, storages = state_dict({f"module.{name}": a for name, a in ARRAYS.items()})
    ema, more = state_dict(average, first=len(storages))
    path = write_zip(tmp_path / "net.pth", {"model": model, "ema": ema}, {**storages, **more})
    assert "weights taken from 'ema'" in convert(path, tmp_path / "m").notes
    assert_weights(tmp_path / "m", average)
    convert(path, tmp_path / "m", prefer="raw", force=True)
    assert_weights(tmp_path / "m", ARRAYS)


def test_safetensors_source(tmp_path: Path) -> None:
    save_file({f"module.{name}": a for name, a in ARRAYS.items()}, tmp_path / "net.safetensors")
    convert(tmp_path / "net.safetensors", tmp_path / "m")
    assert_weights(tmp_path / "m", ARRAYS)


def test_bfloat16_safetensors_source(tmp_path: Path) -> None:
    arrays = {name: mx.array(a).astype(mx.bfloat16) for name, a in ARRAYS.items()}
    mx.save_safetensors(str(tmp_path / "net.safetensors"), arrays)
    convert(tmp_path / "net.safetensors", tmp_path / "m")
    assert_weights(tmp_path / "m", {name: np.asarray(a.astype(mx.float32)) for name, a in arrays.items()})


def test_float16(source: Path, tmp_path: Path) -> None:
    result = convert(source, tmp_path / "m", dtype="float16")
    found = load_file(tmp_path / "m" / "model.safetensors")
    for name, values in expected(ARRAYS).items():
        np.testing.assert_array_equal(found[name], values.astype(np.float16))
    assert result.nbytes == 2 * result.parameters


def test_progress(source: Path, tmp_path: Path) -> None:
    calls: list[tuple[str, int, int]] = []
    result = convert(source, tmp_path / "m", progress=lambda *call: calls.append(call))
    assert calls == sorted(calls)  # by stage, then bytes: "checksum" before "write"
    totals = {"checksum": source.stat().st_size, "write": result.nbytes}
    assert {(stage, total) for stage, _, total in calls} == set(totals.items())
    assert {stage: done for stage, done, _ in calls} == totals


def test_arguments(source: Path, tmp_path: Path) -> None:
    assert convert(source, tmp_path / "m", family="ddpm", image_size=64).config.image_size == 64
    assert f"family is 'gan'; it is one of {KNOWN}" in complaint(source, tmp_path / "n", family="gan")
    assert "dtype is 'int8'" in complaint(source, tmp_path / "n", dtype="int8")
    assert "image size 33" in complaint(source, tmp_path / "n", image_size=33)


def test_weights_that_are_no_weights(tmp_path: Path) -> None:
    for value, text in ((np.float32("nan"), "not finite"), (np.float32(1e6), "not finite as float16")):
        arrays = {**ARRAYS, "conv_in.bias": np.full(32, value)}
        assert f"conv_in.bias has values that are {text}" in complaint(
            save(tmp_path / "net.pth", arrays), tmp_path / "m", dtype="float16"
        )
    arrays = {**ARRAYS, "conv_in.bias": np.zeros(32, np.int64)}
    assert "conv_in.bias is int64" in complaint(save(tmp_path / "net.pth", arrays), tmp_path / "m")
    assert not (tmp_path / "m").exists()


def test_another_network(tmp_path: Path) -> None:
    arrays = {name: a for name, a in ARRAYS.items() if name != "mid.attn_1.norm.bias"}
    text = complaint(save(tmp_path / "net.pth", arrays), tmp_path / "m")
    assert text == (
        f"{tmp_path / 'net.pth'}: its tensors fit no known network ({KNOWN}); "
        "ddpm comes nearest, with 1 missing: mid.attn_1.norm.bias"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["net.pth"]


def test_destination_rules(source: Path, tmp_path: Path) -> None:
    model = tmp_path / "m"
    model.mkdir()
    convert(source, model)  # an empty folder is as good as none
    before = (model / "model.safetensors").stat().st_ino
    assert "only replaced with --force (force=True), and --out FOLDER puts" in complaint(source, model)
    assert (model / "model.safetensors").stat().st_ino == before
    (model / ".DS_Store").touch()
    convert(source, model, force=True)
    assert (model / "model.safetensors").stat().st_ino != before
    (model / "notes.txt").write_text("mine")
    assert "holds other files (notes.txt)" in complaint(source, model, force=True)
    assert (model / "notes.txt").read_text() == "mine"
    assert "is a file" in complaint(source, model / "notes.txt", force=True)
    assert "cannot be written" in complaint(source, model / "notes.txt" / "below")
    (tmp_path / "own").mkdir()
    own = save(tmp_path / "own" / "net.pth", ARRAYS)
    assert "the checkpoint lies in it" in complaint(own, own.parent, force=True)


def test_the_folder_is_as_readable_as_any(source: Path, tmp_path: Path) -> None:
    (tmp_path / "any").mkdir()
    convert(source, tmp_path / "m")
    assert (tmp_path / "m").stat().st_mode == (tmp_path / "any").stat().st_mode


@contextmanager
def old_model(tmp_path: Path, source: Path, exists: bool) -> Iterator[Path]:
    """A destination, with or without a model in it, that the block must leave exactly as it was."""
    model = tmp_path / "m"
    if exists:
        convert(source, model, dtype="float16")

    def content() -> dict[str, bytes]:
        return {str(path): path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}

    before = content()
    yield model
    assert content() == before
    assert {path.name for path in tmp_path.iterdir()} == ({"m"} if exists else set())


EXISTS = pytest.mark.parametrize("exists", [False, True], ids=["new", "replaced"])


@EXISTS
@pytest.mark.parametrize("stage", ["checksum", "write"])
def test_interrupted(source: Path, tmp_path: Path, exists: bool, stage: str) -> None:
    def interrupt(at: str, done: int, total: int) -> None:
        if at == stage and (stage == "checksum" or done > total / 2):
            raise KeyboardInterrupt

    with old_model(tmp_path, source, exists) as model, pytest.raises(KeyboardInterrupt):
        convert(source, model, force=True, progress=interrupt)


@pytest.mark.parametrize(
    ("exists", "exchange", "failing"),
    [(False, True, 0), *((True, True, i) for i in range(4)), *((True, False, i) for i in range(3))],
)
def test_interrupted_in_the_last_moment(
    source: Path, tmp_path: Path, exists: bool, exchange: bool, failing: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the folders are renamed: they change places at once, between checks, or, where the system cannot do that, the
    old one goes out of the way first."""
    calls = iter(range(10))

    def interrupted(call: Callable[..., Any]) -> Callable[..., Any]:
        def wrapper(*args: Any) -> Any:
            if next(calls) == failing:
                raise KeyboardInterrupt
            return call(*args)

        return wrapper

    with old_model(tmp_path, source, exists) as model:
        monkeypatch.setattr(Path, "rename", interrupted(Path.rename))
        if exchange:
            monkeypatch.setattr(folder, "_check_replaceable", interrupted(folder._check_replaceable))
        else:
            monkeypatch.setattr(folder, "exchange", lambda *_: False)
        with pytest.raises(KeyboardInterrupt):
            convert(source, model, force=True)


@pytest.mark.parametrize("force", [False, True])
def test_another_conversion_was_faster(source: Path, tmp_path: Path, force: bool) -> None:
    """Both began before the other was done: without --force the slower one says so, with it the later one stays."""

    def other(at: str, done: int, total: int) -> None:
        if at == "write" and done == total:
            convert(source, tmp_path / "m", dtype="float16")

    if force:
        convert(source, tmp_path / "m", force=True, progress=other)
    else:
        assert "m: holds a model already" in complaint(source, tmp_path / "m", progress=other)
    dtype = load_file(tmp_path / "m" / "model.safetensors")["conv_in.bias"].dtype
    assert dtype == (np.float32 if force else np.float16)
    assert [path.name for path in tmp_path.iterdir()] == ["m"]


@EXISTS
def test_disk_fills_up(source: Path, tmp_path: Path, exists: bool) -> None:
    """A limit on the size of files stands for a full disk: the write itself fails."""
    with old_model(tmp_path, source, exists) as model:
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, limits[1]))
        try:
            text = complaint(source, model, force=True)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert "cannot be written: File too large" in text


def test_disk_is_full(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 1 << 20}))
    assert "MB, and 1 MB are free" in complaint(source, tmp_path / "m")


def test_read_only_disk(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**_: object) -> str:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(folder.tempfile, "mkdtemp", refuse)
    assert complaint(source, tmp_path / "m") == f"{tmp_path / 'm'}: cannot be written: Read-only file system"


def test_read_only_folder(source: Path, tmp_path: Path) -> None:
    (closed := tmp_path / "closed").mkdir(0o500)
    assert "cannot be written: Permission denied" in as_an_owner(lambda: complaint(source, closed / "m"))
    assert not [*closed.iterdir()]


@pytest.mark.skipif(sys.platform == "darwin", reason="its file systems take only UTF-8 names")
def test_name_that_is_not_utf_8(source: Path, tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"n\xff.pth")
    path.write_bytes(source.read_bytes())
    convert(path, tmp_path / "m")
    assert json.loads((tmp_path / "m" / "config.json").read_text())["source"]["file"] == "n?.pth"
    assert load_file(tmp_path / "m" / "model.safetensors").keys() == ARRAYS.keys()


@pytest.mark.parametrize("layout", [dict, fused_ddpm], ids=["original", "fused"])
def test_reference_network(layout: Callable[[Arrays], Arrays], tmp_path: Path) -> None:
    require_reference()
    weights = load_weights("ddpm-small")
    result = convert(save(tmp_path / "net.pth", layout(weights)), tmp_path / "m")
    assert_weights(tmp_path / "m", weights)
    assert result.config == DDPMConfig(image_size=64, ch=32, ch_mult=(1, 2, 2), num_res_blocks=1)
    assert load_manifest("ddpm-small").keys() == load_file(tmp_path / "m" / "model.safetensors").keys()
