"""Inputs of a network: checked, and completed for the programs that read them."""

from collections.abc import Mapping
from typing import Any

import mlx.core as mx

from sige_mlx.errors import SigeError
from sige_mlx.graph.lowered import Lowered


def checked(lowered: Lowered, inputs: Mapping[str, Any]) -> dict[str, mx.array]:
    """Returns inputs as float32 arrays. Raises `SigeError` unless they are those of the network, by name and shape."""
    graph = lowered.graph
    if set(inputs) != set(graph.inputs):
        raise SigeError(f"the network takes {', '.join(graph.inputs)}; it was given {', '.join(inputs) or 'nothing'}")
    given = {
        name: x.astype(mx.float32) if isinstance(x, mx.array) else mx.array(x, dtype=mx.float32)
        for name, x in inputs.items()
    }
    for name, x in given.items():
        shape = graph.nodes[graph.inputs[name]].shape
        if x.shape != shape:
            raise SigeError(f"{name} is {tuple(x.shape)}: this engine was made for {shape}")
    return given


def with_embeddings(lowered: Lowered, given: Mapping[str, mx.array]) -> Mapping[Any, mx.array]:
    """Returns the inputs, and what the host makes of them: a few numbers, on the processor that made the inputs."""
    made: dict[Any, mx.array] = {}
    with mx.stream(mx.cpu):
        for embedding in lowered.embeddings:
            made[embedding] = embedding.op([given[embedding.input]], {})
    return {**given, **made}
