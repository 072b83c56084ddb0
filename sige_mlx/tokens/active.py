"""Which tokens an edit computes.

A sequence is text tokens, then image tokens: row by row those of the picture, then those of reference pictures, if any.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sige_mlx.arguments import whole
from sige_mlx.errors import SigeError
from sige_mlx.masks import dilate
from sige_mlx.masks.difference import Mask

Indices = npt.NDArray[np.int64]


@dataclass(frozen=True)
class TokenPlane:
    """How a picture is cut into tokens: `patch` × `patch` pixels each, `height` rows of `width` tokens."""

    height: int
    width: int
    patch: int = 16

    @property
    def count(self) -> int:
        return self.height * self.width

    def touched(self, mask: Mask, dilation: int = 1) -> Mask:
        """Tokens that have a masked pixel, and those up to `dilation` beside them: bool [height, width] of a mask
        [height · patch, width · patch]. Raises `SigeError` for a mask of another size."""
        dilation = whole(dilation, "the dilation in tokens", 0)
        expected = (self.height * self.patch, self.width * self.patch)
        if mask.shape != expected or mask.dtype != np.bool_:
            raise SigeError(f"the mask is {mask.dtype} {mask.shape}: it must be bool {expected}, the picture's size")
        return dilate(touched_cells(mask, self.patch), dilation)


def touched_cells(mask: Mask, side: int) -> Mask:
    """Cells of `side` × `side` pixels that have a masked pixel, of a mask [H, W] of whole cells."""
    height, width = (length // side for length in mask.shape)
    touched: Mask = np.logical_or.reduce(mask.reshape(height, side, width, side), axis=(1, 3))
    return touched


class ActiveTokens:
    """The tokens that an edit computes, of a sequence of `text_count` text and `image_count` image tokens.

    `text` and `image` are indices within their part, or bool arrays over it. One text token is always computed, the
    first if none is given: MLX's quantised matrix product dies of an empty matrix on the CPU.
    """

    def __init__(self, text: npt.ArrayLike, image: npt.ArrayLike, text_count: int, image_count: int):
        self.text_count = whole(text_count, "the number of text tokens", 1)
        self.image_count = whole(image_count, "the number of image tokens", 1)
        given = _indices(text, text_count, "text")
        self.text: Indices = given if given.size else np.zeros(1, np.int64)
        self.image: Indices = _indices(image, image_count, "image")

    @classmethod
    def everything(cls, text_count: int, image_count: int) -> ActiveTokens:
        """All tokens of a sequence, as a dense pass computes them."""
        return cls(range(text_count), range(image_count), text_count, image_count)

    @property
    def rows(self) -> Indices:
        """Places of the active tokens in the whole sequence, ascending."""
        return np.concatenate([self.text, self.text_count + self.image])

    @property
    def empty(self) -> bool:
        """Whether no image token is active, so that nothing of the picture changes."""
        return not self.image.size

    @property
    def complete(self) -> bool:
        """Whether every token of the sequence is active."""
        return self.rows.size == self.text_count + self.image_count


def _indices(given: npt.ArrayLike, count: int, kind: str) -> Indices:
    array = np.asarray(given)
    if array.dtype == np.bool_:
        if array.size != count:
            raise SigeError(f"{array.size} {kind} tokens are said to be active or not: there are {count}")
        return np.flatnonzero(array)
    if array.size and array.dtype.kind not in "iu":
        raise SigeError(f"active {kind} tokens are given as {array.dtype}: they must be indices or bool")
    indices = np.unique(array.astype(np.int64))
    if indices.size and not 0 <= indices[0] <= indices[-1] < count:
        raise SigeError(f"active {kind} tokens reach from {indices[0]} to {indices[-1]}: there are {count}, from 0 on")
    return indices
