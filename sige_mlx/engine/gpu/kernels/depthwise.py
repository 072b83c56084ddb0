"""The depthwise convolution, `metal/depthwise`."""

import mlx.core as mx

from sige_mlx.engine.gpu.calls import Depthwise
from sige_mlx.engine.gpu.kernels import arguments, outputs
from sige_mlx.engine.gpu.launch import THREADGROUP_MEMORY, Kernel, Launch
from sige_mlx.engine.gpu.params import pack

THREADS = 256


def launch(call: Depthwise) -> Launch | None:
    """None when a tile's window is larger than the kernel takes."""
    e, s, itemsize = call.epilogue, call.source, call.dtype.size
    area = e.out.tile**2
    bm = -(-area // 16) * 16
    side = (e.out.tile - 1) * s.stride
    pixels = bm // area * (side + s.kh) * (side + s.kw)
    for bc in (64, 32, 16, 8):
        memory = pixels * bc * itemsize + bm * (bc + 4) * 4 + 16 * pixels + 16 * bm
        if memory <= THREADGROUP_MEMORY and (bc == 8 or bc < 2 * e.c_out):
            break
    else:
        return None
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
        (("T", call.dtype), ("BM", bm), ("BC", bc), ("PIXELS", pixels), ("VEC", vec)),
    )
    groups = (-(-e.c_out // bc), -(-e.out.tiles // (bm // area)), 1)
    return Launch(kernel, [*inputs.values()], groups, THREADS, [*made.values()])
