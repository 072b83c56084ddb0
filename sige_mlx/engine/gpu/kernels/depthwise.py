"""The depthwise convolution, `metal/depthwise`."""

from dataclasses import dataclass

import mlx.core as mx

from sige_mlx.engine.gpu.calls import Depthwise
from sige_mlx.engine.gpu.kernels import arguments, outputs
from sige_mlx.engine.gpu.launch import THREADGROUP_MEMORY, Kernel, Launch
from sige_mlx.engine.gpu.params import pack

THREADS = 256


@dataclass(frozen=True)
class Shape:
    """Pixels and channels of a threadgroup, and pixels of its windows; template arguments of `metal/depthwise`."""

    bm: int
    bc: int
    pixels: int


def shape_of(call: Depthwise) -> Shape | None:
    """None when a tile's window is larger than the kernel takes."""
    s, tile = call.source, call.epilogue.out.tile
    bm = -(-(tile**2) // 16) * 16
    side = (tile - 1) * s.stride
    pixels = bm // tile**2 * (side + s.kh) * (side + s.kw)
    for bc in (64, 32, 16, 8):
        memory = pixels * bc * call.dtype.size + bm * (bc + 4) * 4 + 16 * pixels + 16 * bm
        if memory <= THREADGROUP_MEMORY and (bc == 8 or bc < 2 * call.epilogue.c_out):
            return Shape(bm, bc, pixels)
    return None


def launch(call: Depthwise, shape: Shape | None = None) -> Launch | None:
    """The launch, in a shape of one's own choice; None when a tile's window is larger than the kernel takes."""
    shape = shape or shape_of(call)
    if shape is None:
        return None
    e, s = call.epilogue, call.source
    vec = outputs.in_fours(e) and arguments.source_in_fours(s)
    inputs = {
        "params": pack(
            "DepthwiseParams",
            {
                "epilogue": outputs.params(e),
                "has_weight": call.weight is not None,
                "source": arguments.source(s),
            },
        ),
        "list": arguments.given(e.out.list, mx.int32),
        "weight": arguments.given(call.weight, call.dtype),
        **arguments.source_arrays("source", s, s.mod is not None, call.dtype),
        **outputs.inputs(e, call.dtype),
    }
    made = outputs.made(e, call.dtype)
    kernel = Kernel(
        "depthwise",
        tuple(inputs),
        tuple(made),
        (("SOURCES_MODULATED", int(s.mod is not None)), *outputs.defines(e)),
        (("T", call.dtype), ("BM", shape.bm), ("BC", shape.bc), ("PIXELS", shape.pixels), ("VEC", vec)),
    )
    groups = (-(-e.c_out // shape.bc), -(-e.out.tiles // (shape.bm // e.out.tile**2)), 1)
    return Launch(kernel, [*inputs.values()], groups, THREADS, [*made.values()], shape)
