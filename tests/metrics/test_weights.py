"""Weights of measures that are not on this machine, or damaged there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from sige_mlx.errors import SigeError
from sige_mlx.metrics import FrechetDistance, Lpips, Segmenter, StLpips, weights
from sige_mlx.metrics.backbones import alexnet
from sige_mlx.metrics.weights import PUBLISHED
from tests.metrics.published import Publisher

HEADS = {f"lin{i}.model.1.weight": np.ones((1, width, 1, 1), np.float32) for i, width in enumerate(alexnet().widths)}


@pytest.fixture
def nothing_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGE_MLX_CACHE", str(tmp_path))
    monkeypatch.setattr(weights.PublishedWeights, "installed", lambda self: None)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (
            Lpips,
            "LPIPS needs alexnet-owt-7be5be79.pth, which is not on this machine: get it from"
            " https://download.pytorch.org/models/alexnet-owt-7be5be79.pth and run"
            " `sige-mlx convert alexnet-owt-7be5be79.pth`",
        ),
        (lambda: Lpips("vgg"), "https://download.pytorch.org/models/vgg16-397923af.pth and"),
        (StLpips, "ST-LPIPS needs alex_shift_tolerant.pth, .* or from the package stlpips-pytorch of PyPI, and run"),
        (lambda: StLpips("vgg"), "ST-LPIPS needs vgg_shift_tolerant.pth"),
        (
            FrechetDistance,
            "FID needs pt_inception-2015-12-05-6726825d.pth, .* https://github.com/mseitzer/pytorch-fid/",
        ),
        (Segmenter, "mIoU needs drn-d-105_ms_cityscapes.pth, .* http://go.yf.io/drn-cityscapes-models and run"),
    ],
)
def test_what_is_missing_and_where_it_is(nothing_installed: None, make: Callable[[], object], sentence: str) -> None:
    with pytest.raises(SigeError, match=sentence) as raised:
        make()
    assert "\n" not in str(raised.value)


def test_the_heads_are_asked_for_by_their_own_name(publisher: Publisher, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights.PublishedWeights, "installed", lambda self: None)
    with pytest.raises(
        SigeError, match=r"LPIPS needs alex.pth, .*/PerceptualSimilarity/tree/master/lpips/weights/v0.1"
    ):
        weights.load("lpips-alex")


def test_a_package_that_has_the_file(publisher: Publisher, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is read from where it is installed; nothing of the package runs."""
    file = publisher.write("lpips-alex", HEADS)
    monkeypatch.setattr(weights.PublishedWeights, "installed", lambda self: file)
    with pytest.raises(SigeError, match=f"^LPIPS needs alex.pth: run `sige-mlx convert {file}`$"):
        weights.load("lpips-alex")


def test_every_published_file_is_told() -> None:
    for name, published in PUBLISHED.items():
        assert published.place.startswith("http") and published.file.endswith(".pth")
        assert len(published.digest) in (8, 32, 64), name
    assert {p.measure for p in PUBLISHED.values()} == {"LPIPS", "ST-LPIPS", "FID", "mIoU"}


def test_digests_of_either_kind() -> None:
    """Authors give the beginning of a SHA-256 in the name of a file, or an MD5."""
    sha256, md5 = "7be5be79" + 56 * "0", "22f6aac9dc4dcf255bad997463fd40d0"
    assert PUBLISHED["alexnet"].is_digest(sha256, "") and not PUBLISHED["alexnet"].is_digest("0" + sha256[1:], md5)
    drn = PUBLISHED["drn-d-105-cityscapes"]
    assert drn.algorithm == "MD5" and drn.is_digest("", md5) and not drn.is_digest(md5 + md5, "0" + md5[1:])


def test_converted_weights_that_are_damaged(publisher: Publisher) -> None:
    made = publisher.publish("lpips-alex", HEADS)
    path = made.folder / weights.WEIGHTS_FILE
    assert weights.load("lpips-alex")[1] == made.sha256
    content = path.read_bytes()
    path.write_bytes(content[:-1] + b"\1")
    with pytest.raises(SigeError, match=f"{weights.WEIGHTS_FILE} is damaged, or was changed: convert alex.pth again"):
        weights.load("lpips-alex")
    path.write_bytes(content)
    (made.folder / weights.SOURCE_FILE).write_text("{}")
    with pytest.raises(SigeError, match=r"does not hold the weights of alex\.pth"):
        weights.load("lpips-alex")
    (made.folder / weights.SOURCE_FILE).unlink()
    with pytest.raises(SigeError, match=r"LPIPS needs alex\.pth"):
        weights.load("lpips-alex")
