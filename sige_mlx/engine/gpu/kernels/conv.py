"""The sparse convolution, `metal/conv`."""

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
"""Bytes of windows beyond which fewer channels are staged at a time: two threadgroups should fit on a core."""


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

    def memory(self, itemsize: int) -> int:
        """Bytes of threadgroup memory."""
        windows = self.pixels * (self.bk + 16 // itemsize) * itemsize
        values = self.wm * SIMDGROUP * (self.wn * SIMDGROUP + 4) * 4
        return max(windows, values) + 8 * self.pixels + 16 * self.wm * SIMDGROUP + 4 * MAX_TAPS


def shape_of(call: Conv) -> Shape | None:
    """The shape for a call; None when its tiles or kernels are larger than the kernel takes."""
    itemsize = call.weight.dtype.size
    if any(s.kh * s.kw > MAX_TAPS for s in call.sources):
        return None
    for wm, wn, wk in _divisions(call):
        tiles = wm * SIMDGROUP // call.epilogue.out.tile**2
        pixels = max(tiles * _window(s, call.epilogue.out.tile) for s in call.sources)
        channels = max(s.x.c for s in call.sources)
        for bk in (32, 16, 8):
            found = Shape(wm, wn, wk, bk, pixels)
            staged = pixels * (bk + 16 // itemsize) * itemsize
            small = bk == 8 or (staged <= WINDOW_MEMORY and bk < channels + 8)
            if tiles and small and found.memory(itemsize) <= THREADGROUP_MEMORY:
                return found
    return None


def _divisions(call: Conv) -> list[tuple[int, int, int]]:
    """Simdgroups along pixels, output channels and taps: the first that fits into memory is taken."""
    return [(2, 2, 1), (1, 1, 4)]


def _window(s: Source, tile: int) -> int:
    side = (tile - 1) * s.stride
    return (side + s.kh) * (side + s.kw)


def launch(call: Conv) -> Launch | None:
    """None when a tile's window is larger than the kernel takes."""
    shape = shape_of(call)
    return None if shape is None else launch_as(call, shape)


def launch_as(call: Conv, shape: Shape) -> Launch:
    """The launch in a shape of one's choice."""
    dtype, e = call.weight.dtype, call.epilogue
    vec_in = all(s.x.c % 4 == 0 and arguments.in_fours(s.affine) for s in call.sources)
    inputs = {
        "params": pack("ConvParams", _params(call)),
        "list": arguments.given(e.out.list, mx.int32),
        "weight": call.weight,
    }
    for i, s in enumerate(call.sources):
        inputs |= arguments.plane_arrays(f"source{i}", s.x, dtype)
        inputs[f"source{i}_affine"] = arguments.affine_array(s.affine)
    inputs |= outputs.inputs(e, dtype)
    made = outputs.made(e, dtype)
    kernel = Kernel(
        "conv",
        tuple(inputs),
        tuple(made),
        (("SOURCES", len(call.sources)), *outputs.defines(e)),
        (
            ("T", dtype),
            ("WM", shape.wm),
            ("WN", shape.wn),
            ("WK", shape.wk),
            ("BK", shape.bk),
            ("PIXELS", shape.pixels),
            ("VEC_IN", vec_in),
            ("VEC_OUT", outputs.in_fours(e)),
        ),
    )
    tiles = shape.wm * SIMDGROUP // e.out.tile**2
    groups = (-(-e.c_out // (shape.wn * SIMDGROUP)), -(-e.out.tiles // tiles), 1)
    return Launch(kernel, [*inputs.values()], groups, shape.threads, [*made.values()])


def _params(call: Conv) -> dict[str, Any]:
    return {
        "epilogue": outputs.params(call.epilogue),
        "panels": -(-call.epilogue.c_out // PANEL),
        "k_groups": sum(k_groups(s.kh, s.kw, s.x.c) for s in call.sources),
        "source": [arguments.source(s) for s in call.sources],
    }
