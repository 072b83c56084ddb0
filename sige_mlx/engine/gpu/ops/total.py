"""The total of a convolution's shares, `metal/total`."""

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import mlx.core as mx

from sige_mlx.engine.gpu.launch import Launch
from sige_mlx.engine.gpu.ops import reading
from sige_mlx.engine.gpu.ops.call import Call
from sige_mlx.engine.gpu.ops.epilogue import Epilogue, Results
from sige_mlx.engine.gpu.ops.operands import given
from sige_mlx.engine.gpu.ops.sampling import Sampling
from sige_mlx.engine.gpu.placing import Placing

THREADS, COLUMNS, ROWS = 128, 32, 16


@dataclass(frozen=True)
class Total(Call):
    """A convolution whose value is the sum of `shares` float32, of pixels as the domain has them, each of several times
    c_out channels; then the epilogue. `dtype` is that of the outputs."""

    kernel: ClassVar[str] = "total"

    epilogue: Epilogue
    shares: mx.array
    dtype: mx.Dtype

    @classmethod
    def of(cls, op: Any, placing: Placing) -> "Total":
        raise TypeError("no op of a program is a total: convolutions are made of them")

    @property
    def count(self) -> int:
        """How many shares there are."""
        return self.shares.shape[-1] // self.epilogue.c_out

    @property
    def listed(self) -> mx.array | None:
        return self.epilogue.out.list

    @property
    def results(self) -> Results:
        return self.epilogue.results(self.dtype)

    def _launch(self, blocking: None) -> Launch:
        e = self.epilogue
        rows = -(-(e.out.tile**2) // ROWS) * ROWS
        struct = {"epilogue": e.struct, "shares": self.count}
        arrays = {"list": given(e.out.list, mx.int32), "shares": self.shares, **e.arrays(self.dtype)}
        template = (("T", self.dtype), ("BM", rows), ("VEC", e.in_fours))
        groups = (-(-e.c_out // COLUMNS), -(-e.out.tiles // (rows // e.out.tile**2)), 1)
        return self._launched(("TotalParams", struct), arrays, e.defines, template, groups, THREADS)

    def by_mlx(self) -> list[mx.array]:
        out, c = self.epilogue.out, self.epilogue.c_out
        shares = self.shares if out.list is not None else reading.cut(self.shares, out.tile)
        return self.epilogue.by_mlx(shares.reshape(*shares.shape[:-1], -1, c).sum(-2), self.dtype)

    def sample(self, sampling: Sampling) -> "Total":
        e = self.epilogue
        c = sampling.channels(e.c_out, e.in_fours)
        epilogue = sampling.epilogue(e, None, c, e.in_fours, self.dtype)
        return replace(self, epilogue=epilogue, shares=sampling.normal(*epilogue.out.shape(self.count * c)))
