"""FID of pictures, where the network's weights are any."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mlx.core as mx
import mlx.nn
import numpy as np
import pytest
from PIL import Image

from sige_mlx.errors import SigeError
from sige_mlx.metrics import Features, FrechetDistance, Statistics, weights
from tests.metrics.references import noisy, reference


class Seen(mlx.nn.Module):
    """In Inception's place: features that tell pictures apart, at once."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = mx.random.normal((299 * 299 * 3 // 97 + 1, 10), key=mx.random.key(0)) / 50
        self.inputs: list[np.ndarray] = []

    def __call__(self, x: mx.array) -> mx.array:
        assert x.shape == (1, 299, 299, 3)
        self.inputs.append(np.array(x))
        return x.reshape(1, -1)[:, ::97] @ self.weight


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Seen:
    seen = Seen()
    monkeypatch.setattr(weights, "load", lambda name: (seen, "6726825d" + 56 * "0"))
    monkeypatch.setenv("SIGE_MLX_CACHE", str(tmp_path / "cache"))
    return seen


def test_what_the_network_is_shown_like_clean_fid(network: Seen) -> None:
    """Its own resizing, of grey levels, and what it does with them before the network."""
    resized = reference("cleanfid.resize").build_resizer("clean")
    levels = (noisy(1, 120, 333)[1][0] * 255).round().astype(np.uint8)
    FrechetDistance("clean-fid").features(levels)
    FrechetDistance("clean-fid").features(levels / 255)
    wanted = (resized(levels) - 128) / 128
    for found in network.inputs:
        np.testing.assert_allclose(found[0], wanted, atol=1e-5)


def test_what_the_network_is_shown_like_pytorch_fid(network: Seen) -> None:
    torch = pytest.importorskip("torch", exc_type=ModuleNotFoundError)
    levels = (noisy(1, 120, 333)[1] * 255).round().astype(np.uint8)
    FrechetDistance().features(levels)
    scaled = torch.tensor(levels.transpose(0, 3, 1, 2)) / 255
    wanted = torch.nn.functional.interpolate(scaled, size=(299, 299), mode="bilinear", align_corners=False)
    np.testing.assert_allclose(network.inputs[0], 2 * wanted.numpy().transpose(0, 2, 3, 1) - 1, atol=1e-4)


def test_the_two_ways_are_never_mixed(network: Seen) -> None:
    a, _ = noisy(3)
    plain, clean = FrechetDistance(), FrechetDistance("clean-fid")
    assert (plain.name, clean.name) == ("FID", "FID (clean)")
    with pytest.raises(SigeError, match="made by pytorch-fid with Inception 6726825d cannot be compared with those"):
        plain(plain.features(a), clean.features(a))
    wrong: Any = "mine"
    with pytest.raises(SigeError, match="FID like 'mine': it is like pytorch-fid or clean-fid"):
        FrechetDistance(wrong)


def test_a_batch_is_its_pictures_one_by_one(network: Seen) -> None:
    fid = FrechetDistance()
    a, b = noisy(4)
    together, alone = fid.features(a), Features.joined([fid.features(picture) for picture in a[::-1]])
    np.testing.assert_array_equal(together.rows[::-1], alone.rows)
    np.testing.assert_array_equal(together.pictures[::-1], alone.pictures)
    assert fid(together, alone) < 1e-6 < fid(together, fid.features(b))
    assert fid(together.statistics(), fid.features(b)) == fid(alone, fid.features(b))


def test_statistics_of_files_are_kept(network: Seen, tmp_path: Path) -> None:
    fid = FrechetDistance()
    levels = (noisy(3)[1] * 255).round().astype(np.uint8)
    paths = [tmp_path / f"{i}.png" for i in range(3)]
    for path, picture in zip(paths, levels, strict=True):
        Image.fromarray(picture).save(path)
    told: list[tuple[int, int]] = []
    first = fid.of_files(paths, lambda done, total: told.append((done, total)))
    assert told == [(0, 3), (1, 3), (2, 3)] and len(network.inputs) == 3
    wanted = fid.features(levels).statistics()
    np.testing.assert_array_equal(first.covariance, wanted.covariance)
    assert first.pictures == wanted.pictures
    network.inputs.clear()
    again = fid.of_files(reversed(paths))
    assert not network.inputs
    np.testing.assert_array_equal(again.covariance, first.covariance)
    Image.fromarray(255 - levels[0]).save(paths[0])
    assert fid.of_files(paths).pictures != first.pictures and len(network.inputs) == 3
    assert FrechetDistance("clean-fid").of_files(paths).made_by != first.made_by


def test_kept_statistics_that_are_damaged_are_made_again(network: Seen, tmp_path: Path) -> None:
    fid = FrechetDistance()
    paths = [tmp_path / f"{i}.png" for i in range(2)]
    for path, picture in zip(paths, noisy(2)[1], strict=True):
        Image.fromarray((picture * 255).astype(np.uint8)).save(path)
    fid.of_files(paths)
    (kept,) = (tmp_path / "cache" / "statistics").iterdir()
    sound = kept.read_bytes()
    kept.write_bytes(sound[:-500])
    found = fid.of_files(paths)
    np.testing.assert_array_equal(found.covariance, Statistics.load(kept).covariance)
    assert len(kept.read_bytes()) == len(sound) and len(network.inputs) == 4


def test_files_that_are_no_pictures(network: Seen, tmp_path: Path) -> None:
    fid = FrechetDistance()
    (tmp_path / "a.png").write_text("no picture")
    with pytest.raises(SigeError, match=r"a\.png is not a picture"):
        fid.of_files([tmp_path / "a.png", tmp_path / "a.png"])
    with pytest.raises(SigeError, match=r"b\.png cannot be read: No such file"):
        fid.of_files([tmp_path / "a.png", tmp_path / "b.png"])
    with pytest.raises(SigeError, match="two pictures or more, not of 0"):
        fid.of_files([])


def test_statistics_of_others_can_be_compared(network: Seen, tmp_path: Path) -> None:
    fid = FrechetDistance()
    features = fid.features(noisy(3)[0])
    found = features.statistics()
    np.savez(tmp_path / "theirs.npz", mu=found.mean, sigma=found.covariance)
    assert fid(Statistics.load(tmp_path / "theirs.npz", fid.made_by), features) < 1e-6
