"""Pasting blocks over a base, `metal/paste`."""

from sige_mlx.engine.gpu.calls import Paste
from sige_mlx.engine.gpu.kernels import arguments
from sige_mlx.engine.gpu.launch import Kernel, Launch
from sige_mlx.engine.gpu.params import pack

THREADS = 32


def launch(call: Paste) -> Launch:
    x = call.x
    inputs = {
        "params": pack("PasteParams", {"n": x.n, "x": arguments.plane(x)}),
        **arguments.plane_arrays("x", x, x.dtype),
    }
    kernel = Kernel("paste", tuple(inputs), ("dst",), (), (("T", x.dtype), ("VEC", x.c % 4 == 0)))
    groups = (-(-x.c // (4 * THREADS)), x.n * x.h * x.w, 1)
    return Launch(kernel, [*inputs.values()], groups, THREADS, [((x.n, x.h, x.w, x.c), x.dtype)])
