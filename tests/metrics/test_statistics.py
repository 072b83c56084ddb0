"""Means, covariances and the distance of two normal distributions, against NumPy, SciPy and pytorch-fid."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest

from sige_mlx.errors import SigeError
from sige_mlx.metrics import Features, Statistics, frechet_distance
from tests.metrics.references import reference

D = 12


def drawn(count: int = 40, seed: int = 0, width: int = D, scale: float = 1.0) -> Features:
    """Features with correlations."""
    rng = np.random.default_rng(seed)
    mixed = rng.standard_normal((count, width)) @ (np.eye(width) + 0.3 * rng.standard_normal((width, width)))
    rows = (scale * mixed + rng.random(width)).astype(np.float32)
    return Features(rows, rng.integers(0, 256, (count, 32), np.uint8), "a test")


def part(whole: Features, chosen: np.ndarray) -> Features:
    return Features(whole.rows[chosen], whole.pictures[chosen], whole.made_by)


def test_mean_and_covariance() -> None:
    features = drawn()
    found = features.statistics()
    rows = features.rows.astype(np.float64)
    assert (found.count, found.mean.dtype, found.covariance.dtype) == (40, np.float64, np.float64)
    np.testing.assert_allclose(found.mean, rows.mean(0), rtol=1e-12)
    np.testing.assert_allclose(found.covariance, np.cov(rows, rowvar=False), rtol=1e-12)


@pytest.mark.parametrize("ranks", [1, 2, 4])
def test_the_same_digits_however_pictures_are_shared_out(ranks: int) -> None:
    """Each rank takes every so manyeth picture, in batches of three; the ranks are done in any order."""
    whole = drawn()
    parts = []
    for rank in np.random.default_rng(ranks).permutation(ranks):
        mine = np.arange(rank, len(whole), ranks)
        batches = [part(whole, mine[i : i + 3]) for i in range(0, len(mine), 3)]
        parts.append(sum(batches[1:], batches[0]))
    found, wanted = sum(parts[1:], parts[0]).statistics(), whole.statistics()
    np.testing.assert_array_equal(found.mean, wanted.mean)
    np.testing.assert_array_equal(found.covariance, wanted.covariance)
    assert (found.pictures, found.count) == (wanted.pictures, wanted.count)
    other = drawn(seed=1).statistics()
    assert frechet_distance(found, other) == frechet_distance(wanted, other)


def test_other_pictures_have_another_checksum() -> None:
    whole = drawn()
    assert part(whole, np.arange(39)).statistics().pictures != whole.statistics().pictures
    twice = np.append(np.arange(40), 0)
    assert part(whole, twice).statistics().pictures != whole.statistics().pictures


def test_as_scipy_has_the_square_root() -> None:
    sqrtm = reference("scipy.linalg").sqrtm
    a, b = drawn().statistics(), drawn(seed=1, scale=2).statistics()
    wanted = ((a.mean - b.mean) ** 2).sum() + np.trace(a.covariance + b.covariance)
    wanted -= 2 * np.trace(sqrtm(a.covariance @ b.covariance)).real
    assert frechet_distance(a, b) == pytest.approx(wanted, rel=1e-9)
    assert wanted > 1


@pytest.mark.parametrize("width", [D, 64])
def test_as_pytorch_fid_has_it(width: int) -> None:
    theirs = reference("pytorch_fid.fid_score").calculate_frechet_distance
    a, b = drawn(200, width=width).statistics(), drawn(300, seed=1, width=width, scale=1.5).statistics()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # SciPy's, of what 1.18 will not have any more
        wanted = theirs(a.mean, a.covariance, b.mean, b.covariance)
    assert frechet_distance(a, b) == pytest.approx(wanted, rel=1e-6)


@pytest.mark.slow
def test_as_pytorch_fid_has_it_of_two_thousand_pictures() -> None:
    """Of as many features as Inception has, which are no less than zero and go together: fewer pictures than features,
    so that the covariances have no full rank."""
    theirs = reference("pytorch_fid.fid_score").calculate_frechet_distance
    rng = np.random.default_rng(0)
    mixing = rng.standard_normal((256, 2048)) * (1 + np.arange(256))[:, None] ** -0.5
    sets = []
    for scale in (1.0, 1.2):
        rows = scale * rng.standard_normal((2000, 256)) @ mixing + 0.2 * rng.standard_normal((2000, 2048)) + 0.3
        kept = np.maximum(0.2 * rows, 0).astype(np.float32)
        sets.append(Features(kept, rng.integers(0, 256, (2000, 32), np.uint8), "a test").statistics())
    a, b = sets
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wanted = theirs(a.mean, a.covariance, b.mean, b.covariance)
    assert frechet_distance(a, b) == pytest.approx(wanted, abs=1e-3)
    assert wanted > 5 and frechet_distance(a, a) == pytest.approx(0, abs=1e-6)


def test_known_distances() -> None:
    def normal(mean: float, variances: list[float]) -> Statistics:
        return Statistics(np.full(len(variances), mean), np.diag(variances), 9, "", "a test")

    assert frechet_distance(normal(0, [1, 4]), normal(0, [1, 4])) == pytest.approx(0, abs=1e-12)
    assert frechet_distance(normal(0, [1, 4]), normal(3, [1, 4])) == pytest.approx(18)
    assert frechet_distance(normal(0, [1, 4]), normal(0, [9, 16])) == pytest.approx((3 - 1) ** 2 + (4 - 2) ** 2)


@pytest.mark.parametrize("count", [5, 40])
def test_of_a_set_to_itself_and_the_other_way_round(count: int) -> None:
    """Also where there are fewer pictures than features, and most directions hold nothing."""
    a, b = drawn(count).statistics(), drawn(count, seed=1).statistics()
    assert 0 <= frechet_distance(a, a) < 1e-9
    assert frechet_distance(a, b) == pytest.approx(frechet_distance(b, a), rel=1e-9)
    assert frechet_distance(a, b) > 1


def test_fewer_pictures_than_features_against_exact_factors() -> None:
    """With X the centred features over the root of n - 1, the trace of the root is the nuclear norm of X Yᵀ."""
    a, b = drawn(6), drawn(7, seed=1)
    x, y = ((f.rows - f.rows.mean(0, dtype=np.float64)) / (len(f) - 1) ** 0.5 for f in (a, b))
    means = ((a.rows.mean(0, dtype=np.float64) - b.rows.mean(0, dtype=np.float64)) ** 2).sum()
    wanted = means + (x**2).sum() + (y**2).sum() - 2 * np.linalg.svd(x @ y.T, compute_uv=False).sum()
    assert frechet_distance(a.statistics(), b.statistics()) == pytest.approx(wanted, rel=1e-9)


def test_what_cannot_be_compared() -> None:
    a = drawn()
    other = Features(a.rows, a.pictures, "another network")
    with pytest.raises(SigeError, match="made by a test cannot be compared with those made by another network"):
        frechet_distance(a.statistics(), other.statistics())
    with pytest.raises(SigeError, match="made by a test cannot be compared"):
        a + other
    with pytest.raises(SigeError, match="two pictures or more, not of 1"):
        part(a, np.arange(1)).statistics()
    with pytest.raises(SigeError, match="statistics of 12 features cannot be compared with those of 13"):
        frechet_distance(a.statistics(), drawn(width=13).statistics())


def test_kept_in_files(tmp_path: Path) -> None:
    features = drawn()
    features.save(tmp_path / "new folder" / "features.npz")
    again = Features.load(tmp_path / "new folder" / "features.npz")
    np.testing.assert_array_equal(again.rows, features.rows)
    np.testing.assert_array_equal(again.pictures, features.pictures)
    assert again.made_by == features.made_by
    wanted = features.statistics()
    wanted.save(tmp_path / "statistics.npz")
    wanted.save(tmp_path / "statistics.npz")  # again, over it
    found = Statistics.load(tmp_path / "statistics.npz")
    np.testing.assert_array_equal(found.mean, wanted.mean)
    np.testing.assert_array_equal(found.covariance, wanted.covariance)
    assert (found.count, found.pictures, found.made_by) == (40, wanted.pictures, "a test")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new folder", "statistics.npz"], "no scratch is left"


def test_files_of_pytorch_fid(tmp_path: Path) -> None:
    wanted = drawn().statistics()
    np.savez_compressed(tmp_path / "theirs.npz", mu=wanted.mean, sigma=wanted.covariance)
    with pytest.raises(SigeError, match="does not say how its statistics were made: made_by must"):
        Statistics.load(tmp_path / "theirs.npz")
    found = Statistics.load(tmp_path / "theirs.npz", "a test")
    assert (found.count, found.pictures) == (0, "")
    assert frechet_distance(found, wanted) < 1e-9


def test_files_that_are_others(tmp_path: Path) -> None:
    path = tmp_path / "it.npz"
    wanted = drawn().statistics()
    wanted.save(path)
    content = path.read_bytes()
    middle = content.index(wanted.covariance.tobytes()[:64])

    def refused(sentence: str) -> None:
        with pytest.raises(SigeError, match=sentence):
            Statistics.load(path, "a test")

    path.write_bytes(content[: len(content) // 2])
    refused("cannot be read as statistics of features")
    path.write_bytes(content[:middle] + b"\0" + content[middle + 1 :])
    refused("cannot be read as statistics of features: Bad CRC-32|damaged")
    path.write_bytes(b"no archive")
    refused("cannot be read as statistics of features")
    path.write_bytes(b"")
    refused("cannot be read as statistics of features")
    np.save(tmp_path / "it.npy", wanted.mean)
    (tmp_path / "it.npy").rename(path)
    refused("does not hold statistics of features, but a single array")
    np.savez(path, mu=wanted.mean)
    refused("does not hold statistics of features: mu, sigma would be in it")
    np.savez(path, mu=wanted.mean, sigma=wanted.covariance[1:])
    refused("mu and sigma do not fit each other")
    np.savez(path, mu=wanted.mean, sigma=wanted.covariance * np.nan)
    refused("not all of its values are numbers")
    np.savez(path, mu=wanted.mean, sigma=np.array([None] * 3))
    refused("cannot be read as statistics of features: Object arrays cannot be loaded")
    path.unlink()
    refused("cannot be read as statistics of features: No such file")


def test_a_file_that_somebody_changed(tmp_path: Path) -> None:
    """A sound archive, in which a number is another."""
    path = tmp_path / "it.npz"
    drawn().statistics().save(path)
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files}
    arrays["count"] = np.array(50)
    np.savez(path, **arrays)
    with pytest.raises(SigeError, match="is damaged, or was changed: its checksum is another"):
        Statistics.load(path)


def test_features_that_do_not_fit(tmp_path: Path) -> None:
    path = tmp_path / "it.npz"
    for rows, pictures in (
        (np.zeros((3, D)), np.zeros((3, 32), np.uint8)),
        (np.zeros((3, D), np.float32), np.zeros((2, 32), np.uint8)),
        (np.full((3, D), np.nan, np.float32), np.zeros((3, 32), np.uint8)),
    ):
        np.savez(path, rows=rows, pictures=pictures, made_by=np.array("a test"))
        with pytest.raises(SigeError, match="does not hold features of pictures: its arrays do not fit each other"):
            Features.load(path)


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SigeError, match="cannot be written"):
        drawn().save(tmp_path / "file" / "it.npz")
