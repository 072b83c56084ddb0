"""What a window of planes is by definition: in plain MLX, operation by operation, with whole planes beside it."""

from __future__ import annotations

from collections.abc import Sequence

import mlx.core as mx
import mlx.nn

from sige_mlx.engine.cells import Window
from sige_mlx.graph.ir import Graph, Input
from sige_mlx.graph.trace import trace
from sige_mlx.nn.module import parameters
from sige_mlx.nn.ops import Attention, SampleNorm


def graph_of(network: mlx.nn.Module, shape: Sequence[int]) -> Graph:
    return trace(network, {"x": tuple(shape)})


def planes(network: mlx.nn.Module, x: mx.array) -> list[mx.array]:
    """Every value of the dense pass."""
    return graph_of(network, x.shape).run({"x": x}, parameters(network))


def windowed(
    network: mlx.nn.Module,
    kept: list[mx.array],
    x: mx.array,
    window: Window,
    follow: bool = True,
) -> tuple[mx.array, list[mx.array]]:
    """The output of a window of x, beside planes of which everything is kept; and these with its interior in them. A
    norm takes the moments of the planes, which follow the interior or do not; attention reads the planes with it."""
    own = x[:, window.rows, window.columns]
    values: list[mx.array] = []
    after = [*kept]
    given = parameters(network)

    def replaced(i: int) -> mx.array:
        plane = kept[i][:]
        tall, high = plane.shape[1], x.shape[1]
        at, inner = [], []
        for span, within in ((window.rows, window.inner_rows), (window.columns, window.inner_columns)):
            first, last, start = (n * tall // high for n in (within.start, within.stop, span.start))
            at.append(slice(first, last))
            inner.append(slice(first - start, last - start))
        plane[:, at[0], at[1]] = values[i][:, inner[0], inner[1]]
        return plane

    for node in graph_of(network, own.shape).nodes:
        params = {name: given[path] for name, path in node.params.items()}
        read = [values[i] for i in node.inputs]
        if isinstance(node.op, Input):
            value = own
        elif isinstance(node.op, SampleNorm):
            (i,) = node.inputs
            moments = node.op.moments(after[i] if follow else kept[i])
            scale, shift = node.op.affine_of(moments, node.shape[-1], params)
            value = read[0] * scale + shift
        elif isinstance(node.op, Attention):
            value = node.op([read[0], *(after[i] for i in node.inputs[1:])], {})
        else:
            value = node.op(read, params)
        values.append(value)
        after[node.index] = replaced(node.index)
    mx.eval(values, after)
    return values[-1], after
