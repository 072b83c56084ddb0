"""What a convolution is, apart from how it is computed: its forms and blockings are chosen by this."""

from dataclasses import dataclass
from typing import TypeVar

import mlx.core as mx

from sige_mlx.engine.gpu.ops.epilogue import Epilogue
from sige_mlx.engine.gpu.ops.operands import Source


@dataclass(frozen=True)
class Convolution:
    """The sum of the sources' convolutions, then the epilogue. `weight` T is packed (`weights.py`).

    With a `phase_shift` it is phased: the sources' planes have half the sides of the domain, and output pixel
    (2 y + a, 2 x + b) reads, for tap (ky, kx), pixel (y + a * phase_shift + ky - pad_top, x + b * phase_shift + kx -
    pad_left), by weights of its phase, 2 a + b; `weight` holds the four one after the other.

    With `shares` so many threadgroups share the sum over channels (`metal/conv/share.h`): a pixel's shares are what is
    given, each as wide as a value, without an epilogue.

    `transformed` are the same weights for a kernel that convolves by F(4x4, 3x3) (`winograd.py`), where one should."""

    epilogue: Epilogue
    weight: mx.array
    sources: tuple[Source, ...]
    phase_shift: int | None = None
    transformed: mx.array | None = None
    shares: int | None = None

    @property
    def shapes(self) -> list[tuple[int, int, int]]:
        """Height, width and channels of each source's kernel."""
        return [(s.kh, s.kw, s.x.c) for s in self.sources]


AnyConvolution = TypeVar("AnyConvolution", bound=Convolution)
