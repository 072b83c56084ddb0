"""What a Fréchet distance knows of a set of pictures: features of each, and their mean and covariance."""

from __future__ import annotations

import hashlib
import os
import tempfile
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sige_mlx.errors import SigeError, first_line

_ORIGIN = "made_by"


@dataclass(frozen=True)
class Features:
    """Of each picture of a set its `rows` (N, D), float32, and the SHA-256 of its pixels in `pictures` (N, 32), uint8.
    `made_by` says by which network and of which pixels.

    Sets made apart, by batches or on several machines, are added. Their order does not matter: statistics are taken
    in the order of the checksums, so they have the same digits however the pictures were shared out.
    """

    rows: npt.NDArray[np.float32]
    pictures: npt.NDArray[np.uint8]
    made_by: str

    def __len__(self) -> int:
        return len(self.rows)

    def __add__(self, other: Features) -> Features:
        return Features.joined([self, other])

    @classmethod
    def joined(cls, parts: Sequence[Features]) -> Features:
        """The features of all parts, of which there is one at least. Raises `SigeError` where they were made in two
        ways."""
        for part in parts:
            check_alike(parts[0].made_by, part.made_by)
        rows = np.concatenate([part.rows for part in parts])
        return cls(rows, np.concatenate([part.pictures for part in parts]), parts[0].made_by)

    def statistics(self) -> Statistics:
        """Mean and covariance. Raises `SigeError` for fewer than two pictures, which have no covariance."""
        check_enough(len(self))
        order = np.lexsort(self.pictures.T[::-1])
        rows = self.rows[order].astype(np.float64)
        pictures = hashlib.sha256(self.pictures[order].tobytes()).hexdigest()
        covariance = np.atleast_2d(np.cov(rows, rowvar=False))
        return Statistics(rows.mean(0), covariance, len(self), pictures, self.made_by)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write them as `.npz`, for `load`. Raises `SigeError` where that cannot be."""
        _save(Path(path), {"rows": self.rows, "pictures": self.pictures, _ORIGIN: np.array(self.made_by)})

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Features:
        """What `save` wrote. Raises `SigeError` for a file that is missing, damaged or another."""
        found = _load(Path(path), ("rows", "pictures", _ORIGIN), "features of pictures")
        rows, pictures = found["rows"], found["pictures"]
        fits = rows.ndim == 2 and rows.dtype == np.float32 and np.isfinite(rows).all()
        if not fits or pictures.shape != (len(rows), 32) or pictures.dtype != np.uint8:
            raise SigeError(f"{path} does not hold features of pictures: its arrays do not fit each other")
        return cls(rows, pictures, str(found[_ORIGIN]))


@dataclass(frozen=True)
class Statistics:
    """`mean` (D,) and `covariance` (D, D) of features, float64 and unbiased, of `count` pictures. `pictures` is a
    SHA-256 that tells sets of pictures apart; `made_by` says by which network and of which pixels."""

    mean: npt.NDArray[np.float64]
    covariance: npt.NDArray[np.float64]
    count: int
    pictures: str
    made_by: str

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write them as `.npz`, for `load`; the arrays `mu` and `sigma` are where pytorch-fid and clean-fid have them,
        too. Raises `SigeError` where that cannot be."""
        told = {"count": np.array(self.count), "pictures": np.array(self.pictures), _ORIGIN: np.array(self.made_by)}
        _save(Path(path), {"mu": self.mean, "sigma": self.covariance, **told})

    @classmethod
    def load(cls, path: str | os.PathLike[str], made_by: str = "") -> Statistics:
        """What `save` wrote; or a file of pytorch-fid or clean-fid, which does not tell how it was made, nor of how
        many pictures (`count` is 0): who loads it must know, and gives the `made_by` of those that it is like. Raises
        `SigeError` for a file that is missing, damaged or another."""
        found = _load(Path(path), ("mu", "sigma"), "statistics of features")
        mean, covariance = found["mu"], found["sigma"]
        if mean.ndim != 1 or covariance.shape != 2 * mean.shape or {mean.dtype.kind, covariance.dtype.kind} != {"f"}:
            raise SigeError(f"{path} does not hold statistics of features: mu and sigma do not fit each other")
        if not (np.isfinite(mean).all() and np.isfinite(covariance).all()):
            raise SigeError(f"{path} does not hold statistics of features: not all of its values are numbers")
        mean, covariance = mean.astype(np.float64), covariance.astype(np.float64)
        if (
            found.keys() >= {"count", "pictures", _ORIGIN}
            and found["count"].shape == ()
            and found["count"].dtype == int
        ):
            return cls(mean, covariance, int(found["count"]), str(found["pictures"]), str(found[_ORIGIN]))
        if not made_by:
            raise SigeError(f"{path} does not say how its statistics were made: made_by must")
        return cls(mean, covariance, 0, "", made_by)


def check_alike(one: str, other: str) -> None:
    """Raises `SigeError` where features were made in two ways, which have nothing to do with each other."""
    if one != other:
        raise SigeError(f"features made by {one} cannot be compared with those made by {other}")


def check_enough(count: int) -> None:
    """Raises `SigeError` for a set of so few pictures that it has no covariance."""
    if count < 2:
        raise SigeError(f"a Fréchet distance compares sets of two pictures or more, not of {count}")


def frechet_distance(a: Statistics, b: Statistics) -> float:
    """|mean_a - mean_b|² + tr(A + B - 2 (A B)^½) of the normal distributions with these means and covariances (Dowson
    and Landau 1982), in float64. Raises `SigeError` where the statistics were made in two ways."""
    check_alike(a.made_by, b.made_by)
    if a.mean.shape != b.mean.shape:
        raise SigeError(f"statistics of {a.mean.size} features cannot be compared with those of {b.mean.size}")
    # The eigenvalues of A B are those of the symmetric A^½ B A^½, which are the squared singular values of R_aᵀ R_b
    # where A = R_a R_aᵀ and B = R_b R_bᵀ. Squared, those near zero would drown in rounding, of which there are hundreds
    # wherever there are fewer pictures than features.
    singular = np.linalg.svd(_root(a.covariance).T @ _root(b.covariance), compute_uv=False)
    traces = float(np.trace(a.covariance) + np.trace(b.covariance) - 2 * singular.sum())
    return max(0.0, float(((a.mean - b.mean) ** 2).sum()) + traces)


def _root(covariance: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """R (D, rank) with R Rᵀ = `covariance`, without directions in which there is nothing but rounding."""
    values, vectors = np.linalg.eigh(covariance)
    kept = values > max(values[-1], 0) * len(values) * np.finfo(np.float64).eps
    root: npt.NDArray[np.float64] = vectors[:, kept] * np.sqrt(values[kept])
    return root


def _save(path: Path, arrays: Mapping[str, npt.NDArray[np.generic]]) -> None:
    """Write the arrays and their checksum, all or nothing."""
    scratch = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".", suffix=path.suffix, delete=False) as file:
            scratch = file.name
            np.savez(file, checksum=np.array(_checksum(arrays)), **arrays)  # type: ignore[arg-type]  # see its stub
        os.chmod(scratch, 0o644)
        os.replace(scratch, path)
        scratch = None
    except OSError as error:
        raise SigeError(f"{path} cannot be written: {error.strerror or error}") from None
    finally:
        if scratch is not None:
            os.unlink(scratch)


def _load(path: Path, wanted: tuple[str, ...], purpose: str) -> dict[str, npt.NDArray[Any]]:
    """The arrays of an `.npz` file, of plain numbers and text, which its checksum fits where it has one."""
    try:
        file = np.load(path, allow_pickle=False)
        if not isinstance(file, np.lib.npyio.NpzFile):
            raise SigeError(f"{path} does not hold {purpose}, but a single array")
        with file:
            if not set(wanted) <= set(file.files):
                raise SigeError(f"{path} does not hold {purpose}: {', '.join(wanted)} would be in it")
            found = {name: file[name] for name in file.files}
    except OSError as error:
        raise SigeError(f"{path} cannot be read as {purpose}: {error.strerror or first_line(error)}") from None
    except (ValueError, EOFError, KeyError, MemoryError, zipfile.BadZipFile, zlib.error) as error:
        if isinstance(error, SigeError):
            raise
        raise SigeError(f"{path} cannot be read as {purpose}: {first_line(error)}") from None
    checksum = found.pop("checksum", None)
    if checksum is not None and str(checksum) != _checksum(found):
        raise SigeError(f"{path} is damaged, or was changed: its checksum is another")
    return found


def _checksum(arrays: Mapping[str, npt.NDArray[np.generic]]) -> str:
    digest = hashlib.sha256()
    for name, array in sorted(arrays.items()):
        digest.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
