"""Work and bytes of klein's edits by their sizes, beside the dense run and crop-and-stitch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from sige_mlx.masks.difference import Mask
from sige_mlx.tokens import ActiveTokens, TokenPlane
from sige_mlx.tokens.cost import Flux2Sizes
from sige_mlx.tokens.plan import TEXT_TOKENS, planes_of

TOKEN = 16
"""Pixels along a side of one."""

CONTEXT = 1.5
"""Side of the crop, for one of the edit: what people set crop-and-stitch to."""

LEAST = 512
"""Pixels a side below which crops are made larger, as klein was not trained on so small pictures."""


class Row(NamedTuple):
    """An edit of a share of a picture, in GMACs of all steps."""

    side: int
    percent: float
    tokens: int
    """Active ones."""
    kept: float
    """With the prompt that is recorded."""
    new: float
    """With another, of so many words."""
    crop: float
    """A crop around the edit, as crop-and-stitch renders it: dense, with its text."""
    dense: float


def square(side: int, percent: float, text: int, of_text: int = TEXT_TOKENS) -> ActiveTokens:
    """A square of a share of a picture, that covers whole tokens, with so many active ones of the text tokens."""
    plane = TokenPlane(side // TOKEN, side // TOKEN)
    mask = square_mask(side, percent, TOKEN)
    return ActiveTokens(range(text), plane.touched(mask).reshape(-1), of_text, plane.count)


def square_mask(side: int, percent: float, unit: int) -> Mask:
    """A mask (side, side), whose square in the middle is nearly a share of it, in whole units."""
    mask = np.zeros((side, side), np.bool_)
    length = max(round(math.sqrt(percent / 100) * side / unit), 1) * unit
    start = (side - length) // (2 * unit) * unit
    mask[start : start + length, start : start + length] = True
    return mask


def crop(side: int, length: float, least: int = LEAST) -> int:
    """Pixels along a side of the crop around an edit of such a length, in whole tokens, of a picture of `side`."""
    return min(max(-(-round(length * CONTEXT) // TOKEN) * TOKEN, least), side)


def rows(sides: Sequence[int], percents: Sequence[float], words: int, steps: int) -> list[Row]:
    """All pairs of a side and a share."""
    klein, found = Flux2Sizes(), []

    def giga(macs: int) -> float:
        return steps * macs / 1e9

    for side in sides:
        for percent in percents:
            kept = square(side, percent, 1)
            cut = planes_of((crop(side, math.sqrt(percent / 100) * side),) * 2)[0].count
            alone = ActiveTokens(range(TEXT_TOKENS), range(cut), TEXT_TOKENS, cut)
            found.append(
                Row(
                    side,
                    percent,
                    int(kept.image.size),
                    giga(klein.macs(kept)),
                    giga(klein.macs(square(side, percent, words))),
                    giga(klein.macs(alone, recorded=False)),
                    giga(klein.macs(kept, recorded=False)),
                )
            )
    return found
