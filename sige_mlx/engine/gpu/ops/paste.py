"""Pasting blocks over a base, `metal/paste`."""

from dataclasses import dataclass
from typing import ClassVar

import mlx.core as mx

from sige_mlx.engine.gpu.launch import Launch
from sige_mlx.engine.gpu.ops import reading
from sige_mlx.engine.gpu.ops.call import Call
from sige_mlx.engine.gpu.ops.epilogue import Results
from sige_mlx.engine.gpu.ops.operands import Plane, plane_arrays
from sige_mlx.engine.gpu.ops.sampling import Sampling
from sige_mlx.engine.gpu.placing import Placing
from sige_mlx.graph import program as p

THREADS = 32


@dataclass(frozen=True)
class Paste(Call):
    """A plane with its blocks over its base, [n, h, w, c]."""

    kernel: ClassVar[str] = "paste"

    x: Plane

    @classmethod
    def of(cls, op: p.Paste, placing: Placing) -> "Paste":
        return cls(placing.plane(op.x))

    @property
    def results(self) -> Results:
        return {"dst": ((self.x.n, self.x.h, self.x.w, self.x.c), self.x.dtype)}

    def _launch(self, blocking: None) -> Launch:
        x = self.x
        struct, arrays = {"n": x.n, "x": x.struct}, plane_arrays("x", x, x.dtype)
        groups = (-(-x.c // (4 * THREADS)), x.n * x.h * x.w, 1)
        template = (("T", x.dtype), ("VEC", x.c % 4 == 0))
        return self._launched(("PasteParams", struct), arrays, (), template, groups, THREADS)

    def by_mlx(self) -> list[mx.array]:
        return [reading.whole(self.x).astype(self.x.dtype)]

    def sample(self, sampling: Sampling) -> "Paste":
        x = self.x
        return Paste(sampling.plane(x, 2 * x.tile + 1, x.tile, sampling.channels(x.c, x.c % 4 == 0), x.dtype))
