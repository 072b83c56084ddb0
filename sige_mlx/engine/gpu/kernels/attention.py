"""Attention, `metal/attention`."""

import mlx.core as mx

from sige_mlx.engine.gpu.calls import Attention
from sige_mlx.engine.gpu.kernels import arguments
from sige_mlx.engine.gpu.launch import Kernel, Launch
from sige_mlx.engine.gpu.params import pack

SIMDGROUP_QUERIES = 8
CHANNELS = 128
"""Channels of queries and sums that fit into registers: of wider heads simdgroups have slices."""


def launch(call: Attention) -> Launch:
    out, dtype = call.out, call.q.array.dtype
    params = {
        "out": arguments.domain(out),
        "keys": call.k.array.shape[1],
        "heads": call.heads,
        "head_dim": call.head_dim,
        "q": arguments.tokens(call.q),
        "k": arguments.tokens(call.k),
        "v": arguments.tokens(call.v),
        "scale": call.scale,
    }
    inputs = {
        "params": pack("AttentionParams", params),
        "list": arguments.given(out.list, mx.int32),
        "q": call.q.array,
        "k": call.k.array,
        "v": call.v.array,
    }
    numbers = (call.head_dim, *(i for t in (call.q, call.k, call.v) for i in (t.first, t.array.shape[-1])))
    slices = next((n for n in (1, 2) if call.head_dim <= n * CHANNELS), 4)
    threads = 128 if slices == 1 else 256
    d = min(-(-call.head_dim // (8 * slices)) * 8, CHANNELS)
    template = (("T", dtype), ("D", d), ("SLICES", slices), ("VEC", all(i % 4 == 0 for i in numbers)))
    kernel = Kernel("attention", tuple(inputs), ("dst",), (), template)
    images, queries = (out.n, out.h * out.w) if out.list is None else (1, out.tiles * out.tile**2)
    rows = threads // 32 // slices * SIMDGROUP_QUERIES
    groups = (-(-queries // rows), call.heads * -(-call.head_dim // (slices * d)), images)
    return Launch(kernel, [*inputs.values()], groups, threads, [(call.shape, dtype)])
