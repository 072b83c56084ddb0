"""Normalisations as affine maps, `metal/norm`."""

import mlx.core as mx

from sige_mlx.engine.gpu.calls import Norm
from sige_mlx.engine.gpu.kernels import arguments
from sige_mlx.engine.gpu.launch import Kernel, Launch
from sige_mlx.engine.gpu.params import pack

THREADS = 256


def launch(call: Norm) -> Launch:
    params = {
        "n": call.n,
        "pixels": call.pixels,
        "groups": call.groups,
        "channels": call.channels,
        "has_weight": call.weight is not None,
        "has_bias": call.bias is not None,
        "has_mod": call.mod is not None,
        "mod_image": 2 * call.channels if call.mod is not None and call.mod.shape[0] > 1 else 0,
        "eps": call.eps,
        "sums": [arguments.plane(s) for s in call.sums],
    }
    inputs = {
        "params": pack("NormParams", params),
        "weight": arguments.given(call.weight, mx.float32),
        "bias": arguments.given(call.bias, mx.float32),
        "mod": arguments.given(call.mod, call.dtype),
    }
    for i, s in enumerate(call.sums):
        inputs |= arguments.plane_arrays(f"sums{i}", s, mx.float32)
    kernel = Kernel("norm", tuple(inputs), ("affine",), (("SOURCES", len(call.sums)),), (("T", call.dtype),))
    return Launch(
        kernel, [*inputs.values()], (call.n * call.groups, 1, 1), THREADS, [((2, call.n, call.channels), mx.float32)]
    )
