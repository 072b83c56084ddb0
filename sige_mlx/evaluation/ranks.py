"""Machines, or processes, that share out the cases: `mlx.launch` starts them."""

from __future__ import annotations

import json
from typing import Any

import mlx.core as mx
import numpy as np

from sige_mlx.errors import SigeError, first_line


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
        try:
            lengths = self._all(np.array([len(value)], np.int32))[:, 0]
            padded = np.zeros(max(int(lengths.max()), 1), np.uint8)
            padded[: len(value)] = np.frombuffer(value, np.uint8)
            return [row[:length].tobytes() for row, length in zip(self._all(padded), lengths, strict=True)]
        except RuntimeError as error:
            raise SigeError(f"another machine of the run is gone: {first_line(error)}; run it again") from None

    def _all(self, row: np.ndarray) -> np.ndarray:
        """(size, N): the row of each."""
        gathered = mx.distributed.all_gather(mx.array(row)[None], group=self._group, stream=mx.cpu)
        return np.asarray(gathered)
