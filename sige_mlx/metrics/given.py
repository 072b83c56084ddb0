"""Pictures, masks and label maps as the measures take them, and what they give back."""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias

import mlx.core as mx
import numpy as np
import numpy.typing as npt

from sige_mlx.errors import SigeError

Pictures: TypeAlias = Any
"""What NumPy reads as an array, or an `mx.array`: a picture (H, W, C) or a batch of them (B, H, W, C), either uint8
from 0 to 255 or floats from 0 to 1."""

Masks: TypeAlias = Any
"""Bool: (H, W), the same for every picture, or (B, H, W). True is where a measure looks."""

Values: TypeAlias = Any
"""A float for a picture, float64 (B,) for a batch."""

_ROUNDING = 1e-5  # how far beyond black or white a float may be: what is left of arithmetic, not of another range


class Batch(NamedTuple):
    """Pictures (B, H, W, C) as float32 from 0 to 1, and whether they were given as one picture (H, W, C)."""

    pixels: mx.array
    single: bool

    @property
    def shape(self) -> tuple[int, ...]:
        """That which the pictures were given in."""
        return tuple(self.pixels.shape[self.single :])

    @property
    def planes(self) -> tuple[int, int, int]:
        """(B, H, W)."""
        count, height, width, _ = self.pixels.shape
        return count, height, width

    def values(self, found: npt.ArrayLike) -> Values:
        """`found`, one number for each picture, in the form that the pictures were given in."""
        numbers = np.asarray(found, np.float64)
        return float(numbers[0]) if self.single else numbers


def batch(given: Pictures, name: str = "the picture", channels: int | None = None) -> Batch:
    """`given` as floats; raises `SigeError` where it is no picture, or has another number of channels."""
    pixels = array(given, name)
    if pixels.dtype == np.uint8:
        pixels = pixels.astype(np.float32) / np.float32(255)
    elif pixels.dtype.kind == "f":
        pixels = pixels.astype(np.float32)
        low, high = float(pixels.min(initial=0)), float(pixels.max(initial=0))
        if not (low >= -_ROUNDING and high <= 1 + _ROUNDING):  # so that NaN is refused, too
            found = (
                f"values from {low:g} to {high:g}" if np.isfinite((low, high)).all() else "values that are no numbers"
            )
            raise SigeError(f"{name} holds {found}: floats from 0 to 1 would be right, or uint8 from 0 to 255")
    else:
        raise SigeError(f"{name} is of type {pixels.dtype}: floats from 0 to 1 would be right, or uint8 from 0 to 255")
    if channels is not None and pixels.shape[-1] != channels:
        raise SigeError(f"{name} has {pixels.shape[-1]} channels: {channels} would be right")
    single = pixels.ndim == 3
    return Batch(mx.array(pixels[None] if single else pixels), single)


def pair(a: Pictures, b: Pictures, measure: str, channels: int | None = None) -> tuple[Batch, Batch]:
    """Two pictures or batches that `measure` compares. Raises `SigeError` where they are not of one shape."""
    first, second = batch(a, "the first picture", channels), batch(b, "the second picture", channels)
    check_alike(measure, first.shape, second.shape)
    return first, second


def check_alike(measure: str, first: tuple[int, ...], second: tuple[int, ...]) -> None:
    """Raises `SigeError` where pictures of two shapes are to be compared."""
    if first != second:
        raise SigeError(f"{measure} compares pictures of one size, not {first} with {second}")


def array(given: Pictures, name: str) -> npt.NDArray[Any]:
    """`given` in its own type and its own shape, of three or four dimensions. Raises `SigeError` for anything else."""
    try:
        if isinstance(given, mx.array):
            given = given.astype(mx.float32) if given.dtype == mx.bfloat16 else given  # a type that NumPy has not
        pixels = np.asarray(given)
    except Exception as error:
        raise SigeError(f"{name} is a {type(given).__name__} that cannot be read as an array") from error
    if pixels.ndim not in (3, 4) or not pixels.size:
        raise SigeError(f"{name} has the shape {pixels.shape}: (H, W, C) or (B, H, W, C) would be right")
    return pixels


def mask_of(given: Masks | None, shape: tuple[int, int, int], measure: str) -> npt.NDArray[np.bool_] | None:
    """The mask of each picture, (B, H, W) as `shape` says; None where all pixels count. Raises `SigeError` for one of
    another size or type, and for one that chooses no pixel of a picture."""
    if given is None:
        return None
    mask = np.asarray(given)
    if mask.dtype != np.bool_:
        raise SigeError(f"the mask is of type {mask.dtype}: bool would be right, True where {measure} looks")
    if mask.shape not in (shape, shape[1:]):
        wanted = f"(H, W) {shape[1:]}" + (f" or (B, H, W) {shape}" if shape[0] > 1 else "")
        raise SigeError(f"the mask is {mask.shape} and the pictures are {shape[1:]}: it must be their {wanted}")
    if not mask.any((-2, -1)).all():
        raise SigeError(f"{measure} of no pixels: the mask is empty{which(mask.any((-2, -1)))}")
    return np.broadcast_to(mask, shape)


def which(good: npt.ArrayLike) -> str:
    """Which picture of a batch, where there are several, is the first that is not."""
    count = np.size(good)
    return f" for picture {int(np.argmin(good)) + 1} of {count}" if count > 1 else ""


def masked_mean(values: mx.array, mask: npt.NDArray[np.bool_] | None) -> npt.NDArray[np.float64]:
    """Of `values` (B, H, W), the mean of each picture where its mask is. Rows are summed in float32, wherever MLX
    computes, and their sums in float64: the result depends neither on the size of the picture nor on the others."""
    if mask is None:
        sums = np.asarray(values.sum(-1), np.float64).sum(-1)
        return sums / (values.shape[1] * values.shape[2])
    sums = np.asarray(mx.where(mx.array(mask), values, 0).sum(-1), np.float64).sum(-1)
    return sums / mask.sum((1, 2))
