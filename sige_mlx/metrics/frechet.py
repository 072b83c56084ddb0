"""The Fréchet Inception distance (Heusel et al. 2017) of two sets of pictures."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Literal

import mlx.core as mx
import numpy as np
import numpy.typing as npt
from PIL import Image

from sige_mlx.cache import cache_folder
from sige_mlx.errors import SigeError
from sige_mlx.metrics import weights
from sige_mlx.metrics.given import Pictures, array, batch
from sige_mlx.metrics.inception import SIDE
from sige_mlx.metrics.resample import bilinear
from sige_mlx.metrics.statistics import Features, Statistics, check_enough, frechet_distance
from sige_mlx.pictures import open_image

Like = Literal["pytorch-fid", "clean-fid"]

STATISTICS = "statistics"
"""Of the cache, the folder for statistics of files."""

_WEIGHTS = "inception-2015-12-05"


class FrechetDistance:
    """How far two sets of pictures are apart, by the Inception of 2015 and its 2048 features; `name` is what to call
    the numbers.

    Pictures are made 299 x 299 in one of two ways, whose numbers have nothing to do with each other: `like` the package
    pytorch-fid, bilinearly and without a filter; or like clean-fid, by a bicubic filter (Parmar et
    al. 2022), as the scripts of SIGE measure. clean-fid itself has the network from another export of the same
    weights. With few pictures the distance is large: only sets of one size can be compared.

        fid = FrechetDistance()
        fid(fid.features(a), fid.features(b))

    The weights are a published file, converted once with `sige-mlx convert`. Raises `SigeError`, which names it and
    where it is published, where it is not on this machine.
    """

    def __init__(self, like: Like = "pytorch-fid"):
        if like not in _PREPARED:
            raise SigeError(f"FID like {like!r}: it is like {' or '.join(_PREPARED)}")
        self.network, sha256 = weights.load(_WEIGHTS)
        self.name = "FID" if like == "pytorch-fid" else "FID (clean)"
        self.made_by = f"{like} with Inception {sha256[:8]}"
        self._prepared = _PREPARED[like]

    def __call__(self, a: Features | Statistics, b: Features | Statistics) -> float:
        """The distance of two sets, 0 for the same. Raises `SigeError` for sets of fewer than two pictures, and for
        those that were made in two ways."""
        first, second = (one.statistics() if isinstance(one, Features) else one for one in (a, b))
        return frechet_distance(first, second)

    def features(self, pictures: Pictures) -> Features:
        """Features of pictures (B, H, W, 3) or (H, W, 3): RGB, uint8 or floats from 0 to 1, of any size. They are
        computed picture by picture, so none depends on which others are in a batch."""
        given = array(pictures, "the picture")
        given = given[None] if given.ndim == 3 else given
        pixels = batch(pictures, channels=3).pixels
        rows = [np.asarray(self.network(self._prepared(pixels[i : i + 1]))) for i in range(len(given))]
        checksums = np.stack([_checksum(picture) for picture in given])
        return Features(np.concatenate(rows), checksums, self.made_by)

    def of_files(
        self, paths: Iterable[str | os.PathLike[str]], progress: Callable[[int, int], object] | None = None
    ) -> Statistics:
        """Statistics of picture files, upright as their EXIF data ask. They are kept in the cache and computed once,
        unless a file changes. `progress(done, total)` is told of the pictures. Raises `SigeError` for fewer than two
        files, and for one that is no picture."""
        files = [Path(path) for path in paths]
        check_enough(len(files))
        kept = cache_folder() / STATISTICS / f"{self._identity(files)}.npz"
        if kept.is_file():
            with suppress(SigeError):  # a damaged one is made again
                return Statistics.load(kept)
        parts = []
        for done, file in enumerate(files):
            if progress:
                progress(done, len(files))
            parts.append(self.features(np.asarray(open_image(file).convert("RGB"))))
        found = Features.joined(parts).statistics()
        found.save(kept)
        return found

    def _identity(self, files: Iterable[Path]) -> str:
        """Of the contents of files in any order, and of how their features are made."""
        digests = []
        for file in files:
            try:
                digests.append(hashlib.sha256(file.read_bytes()).hexdigest())
            except OSError as error:
                raise SigeError(f"{file} cannot be read: {error.strerror}") from None
        return hashlib.sha256("\n".join([self.made_by, *sorted(digests)]).encode()).hexdigest()


def _checksum(picture: npt.NDArray[np.generic]) -> npt.NDArray[np.uint8]:
    shape = f"{picture.dtype.str} {picture.shape}\n".encode()
    return np.frombuffer(hashlib.sha256(shape + np.ascontiguousarray(picture).tobytes()).digest(), np.uint8)


def _like_pytorch_fid(x: mx.array) -> mx.array:
    return 2 * bilinear(x, (SIDE, SIDE)) - 1


def _like_clean_fid(x: mx.array) -> mx.array:
    """By Pillow, as there: each channel in floating point, clipped, and not rounded."""
    channels = [Image.fromarray(channel) for channel in np.asarray(x[0]).transpose(2, 0, 1) * np.float32(255)]
    resized = [np.asarray(channel.resize((SIDE, SIDE), Image.Resampling.BICUBIC)) for channel in channels]
    return mx.array(np.stack(resized, -1)[None].clip(0, 255) / np.float32(128) - np.float32(1))


_PREPARED: dict[str, Callable[[mx.array], mx.array]] = {
    "pytorch-fid": _like_pytorch_fid,
    "clean-fid": _like_clean_fid,
}
