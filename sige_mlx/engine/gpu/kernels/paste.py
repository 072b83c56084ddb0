"""Pasting blocks over a base, `metal/paste`."""

from sige_mlx.engine.gpu.calls import Paste
from sige_mlx.engine.gpu.kernels import arguments
from sige_mlx.engine.gpu.launch import Kernel, Launch
from sige_mlx.engine.gpu.params import pack

THREADS = 32


def launch(call: Paste) -> Launch:
    x = call.x
    given = x.base if x.base is not None else x.blocks
    assert given is not None
    inputs = {
        "params": pack("PasteParams", {"n": x.n, "x": arguments.plane(x)}),
        **arguments.plane_arrays("x", x, given.dtype),
    }
    kernel = Kernel("paste", tuple(inputs), ("dst",), (), (("T", given.dtype), ("VEC", x.c % 4 == 0)))
    groups = (-(-x.c // (4 * THREADS)), x.n * x.h * x.w, 1)
    return Launch(kernel, [*inputs.values()], groups, THREADS, [((x.n, x.h, x.w, x.c), given.dtype)])
