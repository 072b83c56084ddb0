"""Structures of calls: what decides which kernel runs. All else of a call is drawn (`draw.py`)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Structure:
    """What a kernel is compiled for. `reads` are (kh, kw, stride) of each source; `fours`: channels come in fours.
    `narrow` is the number of output channels of a narrow convolution, `winograd` the tiles of a threadgroup, `shares`
    how many threadgroups share a sum."""

    tile: int
    reads: tuple[tuple[int, int, int], ...] = ((3, 3, 1),)
    division: tuple[int, ...] = (2, 2, 1)
    bk: int = 8
    narrow: int | None = None
    winograd: int | None = None
    shares: int | None = None
    fours: bool = True
    outputs: int = 1
    residual: bool = False
    sums: bool = False
    sources_modulated: bool = False
    outputs_modulated: bool = False


CONVS = {
    "plain": Structure(4, sums=True),
    "concatenation": Structure(4, ((3, 3, 1), (3, 3, 1), (1, 1, 1)), (2, 1, 2), 16, residual=True),
    "strided": Structure(2, ((3, 3, 2),), (1, 2, 2), outputs=2),
    "odd": Structure(3, ((3, 2, 1), (1, 1, 2)), (1, 1, 4), 16, fours=False, sums=True, residual=True),
    "modulated": Structure(4, ((3, 3, 1),), (1, 4, 1), outputs=2, outputs_modulated=True, sources_modulated=True),
    "large": Structure(8, ((5, 5, 1),), (2, 1, 2), fours=False, outputs=3),
    "pixels": Structure(1, ((1, 1, 1), (1, 1, 1)), (1, 1, 4), 32, outputs=4),
    "small": Structure(4, ((3, 3, 1), (1, 1, 1)), (1, 1, 4, 2, 2), 16, sums=True),
    "shared": Structure(4, ((3, 3, 1), (1, 1, 1)), (1, 1, 4), 16, shares=2),
    "shared in fours": Structure(2, ((3, 3, 2),), (1, 2, 2), 32, fours=False, shares=4),
}
NARROW = {
    "narrow": Structure(4, bk=8, narrow=3, sums=True),
    "narrow pair": Structure(4, ((3, 2, 1), (1, 1, 2)), narrow=1, fours=False, outputs=2, residual=True),
    "narrow of six": Structure(4, bk=16, narrow=6, sums=True, outputs=2),
    "narrow modulated": Structure(4, ((3, 3, 1),), narrow=4, outputs_modulated=True, sources_modulated=True),
}
WINOGRAD = {
    "winograd": Structure(4, winograd=8, sums=True),
    "winograd of three": Structure(4, ((3, 3, 1), (1, 1, 1), (3, 3, 1)), winograd=16, fours=False, residual=True),
    "winograd shared": Structure(4, ((3, 3, 1), (1, 1, 1)), winograd=8, shares=3),
    "winograd modulated": Structure(
        4, ((3, 3, 1),), winograd=16, outputs=2, outputs_modulated=True, sources_modulated=True
    ),
}
PHASED = {
    "phases": Structure(4, ((2, 2, 1),), (4, 1, 1), sums=True, residual=True),
    "odd phases": Structure(6, ((2, 2, 1), (2, 2, 1)), (4, 1, 2), 16, fours=False, sums=True),
    "shared phases": Structure(4, ((2, 2, 1),), (4, 1, 2, 2, 2), 16, shares=2),
}
TOTALS = {
    "total": Structure(4, shares=3, sums=True, residual=True, outputs=2),
    "odd total": Structure(3, shares=2, fours=False, outputs_modulated=True),
}
DEPTHWISES = {
    "depthwise": Structure(4, ((3, 3, 1),), bk=16, sums=True, residual=True),
    "pooling": Structure(3, ((2, 2, 2),), bk=8, fours=False, outputs=2),
    "materialised": Structure(4, ((1, 1, 1),), bk=16, outputs=2, outputs_modulated=True, sources_modulated=True),
}
