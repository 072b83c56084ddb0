"""Machines, or processes, that share out the cases: `mlx.launch` starts them."""

from __future__ import annotations

import json
import zlib
from typing import Any

import mlx.core as mx
import numpy as np
import numpy.typing as npt

from sige_mlx.errors import SigeError, first_line

MARK = 0x51E6
"""What the head of every message begins with."""


class Ranks:
    """This process among the others; alone where nothing launched it with others. The first one has rank 0."""

    def __init__(self) -> None:
        try:
            self._group = mx.distributed.init()
        except RuntimeError as error:
            raise SigeError(f"the other machines cannot be reached: {first_line(error)}") from None
        self.rank, self.size = self._group.rank(), self._group.size()

    def gather(self, value: Any) -> list[Any]:
        """What each rank gave, in their order, of values that JSON can hold. Raises `SigeError` where one of them is
        gone."""
        return [json.loads(part) for part in self.gather_bytes(json.dumps(value).encode())]

    def gather_bytes(self, value: bytes) -> list[bytes]:
        """The same of bytes."""
        if self.size == 1:
            return [value]
        # Where a process of a ring is gone MLX does not say so, and hands out zeros: each message says what it is.
        told = self._all(np.array([MARK, self.rank, len(value), zlib.crc32(value)], np.uint32))
        if (told[:, 0] != MARK).any() or (told[:, 1] != np.arange(self.size)).any():
            raise _gone()
        padded = np.zeros(max(int(told[:, 2].max()), 1), np.uint8)
        padded[: len(value)] = np.frombuffer(value, np.uint8)
        parts = [row[:length].tobytes() for row, length in zip(self._all(padded), told[:, 2], strict=True)]
        if [zlib.crc32(part) for part in parts] != told[:, 3].tolist():
            raise _gone()
        return parts

    def _all(self, row: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """(size, N): the row of each."""
        try:
            return np.array(mx.distributed.all_gather(mx.array(row)[None], group=self._group, stream=mx.cpu))
        except RuntimeError as error:
            raise _gone() from error


def _gone() -> SigeError:
    return SigeError("another machine of the run is gone: what it finished is kept, run the same again for the rest")
