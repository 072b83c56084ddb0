"""Inputs of a network: checked, and completed for the programs that read them."""

from collections.abc import Mapping
from typing import Any

import mlx.core as mx
import numpy as np
import numpy.typing as npt

from sige_mlx.errors import SigeError
from sige_mlx.graph.lowered import Lowered

Input = mx.array | npt.NDArray[np.float32]
"""A float32 array: NumPy's for programs that run on the host, which reads it where it is, MLX's for any other."""


def checked(lowered: Lowered, inputs: Mapping[str, Any], on_host: bool) -> dict[str, Input]:
    """Returns inputs as float32 arrays. Raises `SigeError` unless they are those of the network, by name and shape."""
    graph = lowered.graph
    if set(inputs) != set(graph.inputs):
        raise SigeError(f"the network takes {', '.join(graph.inputs)}; it was given {', '.join(inputs) or 'nothing'}")
    given = {name: _of_host(x) if on_host else _of_mlx(x) for name, x in inputs.items()}
    for name, x in given.items():
        shape = graph.nodes[graph.inputs[name]].shape
        if x.shape != shape:
            raise SigeError(f"{name} is {tuple(x.shape)}: this engine was made for {shape}")
    return given


def _of_host(x: Any) -> npt.NDArray[np.float32]:
    return np.asarray(x.astype(mx.float32) if isinstance(x, mx.array) else x, np.float32, order="C")


def _of_mlx(x: Any) -> mx.array:
    return x.astype(mx.float32) if isinstance(x, mx.array) else mx.array(x, dtype=mx.float32)


def with_embeddings(lowered: Lowered, given: Mapping[str, Input]) -> Mapping[Any, Input]:
    """Returns the inputs, and what the host makes of them: a few numbers, on the processor that made the inputs."""
    made: dict[Any, mx.array] = {}
    with mx.stream(mx.cpu):
        for embedding in lowered.embeddings:
            made[embedding] = embedding.op([mx.array(given[embedding.input])], {})
    return {**given, **made}
