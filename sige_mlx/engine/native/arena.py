"""Scratch memory is one block, in which arrays that are never alive at the same time share bytes."""

from collections.abc import Sequence
from dataclasses import dataclass

ALIGNMENT = 64


@dataclass(frozen=True)
class Lifetime:
    """An array of `nbytes` is used by ops `first` to `last`."""

    nbytes: int
    first: int
    last: int


def placed(lifetimes: Sequence[Lifetime]) -> tuple[list[int], int]:
    """Returns the byte offsets of the arrays, aligned to 64, and the size of the block. The largest array comes first;
    each gets the lowest offset that is free for as long as it lives."""
    offsets = [0] * len(lifetimes)
    taken: list[tuple[int, int, Lifetime]] = []
    for i in sorted(range(len(lifetimes)), key=lambda i: -lifetimes[i].nbytes):
        life = lifetimes[i]
        size = -(-life.nbytes // ALIGNMENT) * ALIGNMENT
        offset = 0
        for start, end in sorted((a, b) for a, b, o in taken if o.first <= life.last and life.first <= o.last):
            if offset + size <= start:
                break
            offset = max(offset, end)
        offsets[i] = offset
        taken.append((offset, offset + size, life))
    return offsets, max((end for _, end, _ in taken), default=0)
