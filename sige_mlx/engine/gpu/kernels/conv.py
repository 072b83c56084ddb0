"""The sparse convolution, `metal/conv`."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import mlx.core as mx

from sige_mlx.engine.gpu.calls import Conv, Source
from sige_mlx.engine.gpu.kernels import arguments, outputs
from sige_mlx.engine.gpu.launch import THREADGROUP_MEMORY, Kernel, Launch
from sige_mlx.engine.gpu.params import pack
from sige_mlx.engine.gpu.weights import PANEL, k_groups

SIMDGROUP = 32
"""Pixels, and output channels, of a simdgroup."""

MAX_TAPS = 49
WINDOW_MEMORY = 14336
"""Bytes of windows beyond which fewer channels are staged at a time: several threadgroups should fit on a core."""

CORES = 16
STEP_CYCLES = 16 * 17
"""Of 16 products of 8x8 matrices, one after the other."""
LOAD_CYCLES, BARRIER_CYCLES, THREADGROUP_CYCLES = 40, 100, 3000
"""Of fetching and putting four channels, of the barriers around them, of finding windows and of the epilogue."""


@dataclass(frozen=True)
class Shape:
    """How a threadgroup divides its work; the template arguments of `metal/conv/conv.h`."""

    wm: int
    wn: int
    wk: int
    bk: int
    pixels: int

    @property
    def threads(self) -> int:
        return SIMDGROUP * self.wm * self.wn * self.wk

    def windows(self, itemsize: int) -> int:
        """Bytes of the windows in threadgroup memory."""
        return self.pixels * (self.bk + 16 // itemsize) * itemsize

    def memory(self, itemsize: int) -> int:
        """Bytes of threadgroup memory."""
        windows = self.windows(itemsize)
        values = self.wm * SIMDGROUP * (self.wn * SIMDGROUP + 4) * 4
        return max(windows, values) + 16 * self.pixels + 16 * self.wm * SIMDGROUP + 4 * MAX_TAPS


def shape_of(call: Conv) -> Shape | None:
    """The shape that should be fastest; None when the tiles or kernels are larger than the kernel takes."""
    shapes = [s for division in _divisions(call) if (s := divided(call, division)) is not None]
    return min(shapes, key=lambda s: _cycles(call, s), default=None)


def _divisions(call: Conv) -> list[tuple[int, int, int]]:
    """Ways to divide a threadgroup's simdgroups between pixels, output channels and taps."""
    if call.phase_shift is not None:
        return [(4, 1, 1), (4, 1, 2), (4, 2, 1)]
    return [(2, 2, 1), (1, 4, 1), (1, 2, 2), (2, 1, 2), (1, 1, 4)]


def divided(call: Conv, division: tuple[int, int, int], staged: Sequence[int] = (32, 16, 8)) -> Shape | None:
    """The shape of a division with the first number of channels staged at a time that leaves room for other
    threadgroups, else the last; None when that is too much."""
    wm, wn, wk = division
    itemsize = call.weight.dtype.size
    tiles = _tiles(call, wm)
    pixels = tiles * max(_window(call, s) for s in call.sources)
    channels = max(s.x.c for s in call.sources)
    if not tiles or any(s.kh * s.kw > MAX_TAPS for s in call.sources):
        return None
    shapes = [Shape(wm, wn, wk, bk, pixels) for bk in staged]
    shape = next((s for s in shapes if s.windows(itemsize) <= WINDOW_MEMORY and s.bk < channels + 8), shapes[-1])
    return shape if shape.memory(itemsize) <= THREADGROUP_MEMORY else None


def _tiles(call: Conv, wm: int) -> int:
    """Tiles of a threadgroup."""
    tile, rows = call.epilogue.out.tile, wm * SIMDGROUP
    if call.phase_shift is not None:
        return 0 if tile % 2 else rows // 4 // (tile // 2) ** 2
    return rows // tile**2


def _window(call: Conv, s: Source) -> int:
    """Pixels that a tile sees of a source."""
    tile = call.epilogue.out.tile
    side = (tile - 1) * s.stride if call.phase_shift is None else tile // 2 - 1 + call.phase_shift
    return (side + s.kh) * (side + s.kw)


def _cycles(call: Conv, shape: Shape) -> float:
    """What a call takes, roughly, in cycles of a core that runs four simdgroups: enough to choose between shapes."""
    out = call.epilogue.out
    threadgroups = -(-out.tiles // _tiles(call, shape.wm)) * -(-call.epilogue.c_out // (shape.wn * SIMDGROUP))
    waves = -(-threadgroups * shape.threads // (CORES * 128))
    loads = -(-shape.pixels * shape.bk // 4 // shape.threads)
    steps = sum(k_groups(s.kh, s.kw, s.x.c) for s in call.sources) / shape.wk
    chunks = sum(-(-s.x.c // shape.bk) for s in call.sources)
    return waves * (steps * STEP_CYCLES + chunks * (loads * LOAD_CYCLES + BARRIER_CYCLES) + THREADGROUP_CYCLES)


def launch(call: Conv, shape: Shape | None = None) -> Launch | None:
    """The launch, in the shape that should be fastest or in one of the caller's; None when a tile's window is larger
    than the kernel takes."""
    shape = shape or shape_of(call)
    if shape is None:
        return None
    dtype, e = call.weight.dtype, call.epilogue
    modulated = any(s.mod is not None for s in call.sources)
    inputs = {
        "params": pack("ConvParams", _params(call)),
        "list": arguments.given(e.out.list, mx.int32),
        "weight": call.weight,
    }
    for i, s in enumerate(call.sources):
        inputs |= arguments.source_arrays(f"source{i}", s, modulated, dtype)
    inputs |= outputs.inputs(e, dtype)
    made = outputs.made(e, dtype)
    kernel = Kernel(
        "conv",
        tuple(inputs),
        tuple(made),
        (("SOURCES", len(call.sources)), ("SOURCES_MODULATED", int(modulated)), *outputs.defines(e)),
        (
            ("T", dtype),
            ("WM", shape.wm),
            ("WN", shape.wn),
            ("WK", shape.wk),
            ("BK", shape.bk),
            ("PIXELS", shape.pixels),
            ("PHASED", call.phase_shift is not None),
            ("VEC_IN", all(map(arguments.source_in_fours, call.sources))),
            ("VEC_OUT", outputs.in_fours(e)),
        ),
    )
    groups = (-(-e.c_out // (shape.wn * SIMDGROUP)), -(-e.out.tiles // _tiles(call, shape.wm)), 1)
    return Launch(kernel, [*inputs.values()], groups, shape.threads, [*made.values()], shape)


def _params(call: Conv) -> dict[str, Any]:
    return {
        "epilogue": outputs.params(call.epilogue),
        "panels": -(-call.epilogue.c_out // PANEL),
        "phase_shift": call.phase_shift or 0,
        "k_groups": sum(k_groups(s.kh, s.kw, s.x.c) for s in call.sources),
        "source": [arguments.source(s) for s in call.sources],
    }
