"""This module holds what the project needs to know of MLX modules."""

import mlx.core as mx
import mlx.nn
from mlx.utils import tree_flatten


def parameters(model: mlx.nn.Module) -> dict[str, mx.array]:
    """Returns a model's parameters by dotted path, unevaluated: asking for their shapes costs nothing."""
    pairs: list[tuple[str, mx.array]] = tree_flatten(model.parameters())  # type: ignore[assignment]  # see its stub
    return dict(pairs)
