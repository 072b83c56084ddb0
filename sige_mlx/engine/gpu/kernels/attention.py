"""Attention, `metal/attention`."""

import mlx.core as mx

from sige_mlx.engine.gpu.calls import Attention
from sige_mlx.engine.gpu.kernels import arguments
from sige_mlx.engine.gpu.launch import Kernel, Launch
from sige_mlx.engine.gpu.params import pack

THREADS = 128
QUERIES = 32
MAX_HEAD_DIM = 128
"""Queries and sums of wider heads do not fit into registers."""


def launch(call: Attention) -> Launch | None:
    """None for heads that are too wide."""
    if call.head_dim > MAX_HEAD_DIM:
        return None
    dtype, listed, c = call.q.dtype, call.list is not None, call.heads * call.head_dim
    n, keys, _ = call.k.shape
    rows, pixels = call.q.shape[:2]
    params = {
        "n": n,
        "queries": pixels,
        "keys": keys,
        "heads": call.heads,
        "head_dim": call.head_dim,
        "listed": listed,
        "tiles": rows,
        "pixels": pixels,
        "q_stride": c,
        "k_stride": c,
        "v_stride": c,
        "out_stride": c,
        "scale": call.scale,
    }
    inputs = {
        "params": pack("AttentionParams", params),
        "list": arguments.given(call.list, mx.int32),
        "q": call.q,
        "k": call.k,
        "v": call.v,
    }
    d = -(-call.head_dim // 8) * 8
    kernel = Kernel(
        "attention", tuple(inputs), ("out",), (), (("T", dtype), ("D", d), ("VEC", call.head_dim % 4 == 0))
    )
    queries = rows * pixels if listed else pixels
    groups = (-(-queries // QUERIES), call.heads, 1 if listed else n)
    return Launch(kernel, [*inputs.values()], groups, THREADS, [(call.q.shape, dtype)])
