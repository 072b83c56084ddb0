"""What a network family tells the converter: the configuration behind tensor shapes, and each parameter's source."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import mlx.nn
import numpy as np

from sige_mlx.nn.module import parameters

Shape = tuple[int, ...]
Shapes = Mapping[str, Shape]  # names and shapes of a checkpoint, as PyTorch has them


@dataclass(frozen=True)
class Source:
    """Where a parameter comes from: rows `[start, stop)` of the checkpoint's tensor `name`, which has shape `shape`."""

    name: str
    shape: Shape
    start: int
    stop: int

    @property
    def built_shape(self) -> Shape:
        """Shape of the parameter in our layout."""
        rows = (self.stop - self.start, *self.shape[1:])
        return (rows[0], rows[2], rows[3], rows[1]) if len(rows) == 4 else rows

    def build(self, tensor: np.ndarray) -> np.ndarray:
        """The parameter in our layout: convolution weights OIHW -> OHWI, everything else as it is."""
        rows = tensor[self.start : self.stop]
        return rows.transpose(0, 2, 3, 1) if rows.ndim == 4 else rows


Layout = Mapping[str, Source]  # our parameter names -> their sources


@dataclass(frozen=True)
class Family:
    """`infer(shapes, image_size)` gives (configuration, remarks), or None where the tensors are another family's.

    It must survive missing tensors, so that the report can name them. `layouts(config)` gives every way the network's
    parameters are laid out in published checkpoints.
    """

    name: str
    infer: Callable[[Shapes, int | None], tuple[Any, tuple[str, ...]] | None]
    layouts: Callable[[Any], tuple[Layout, ...]]


def parameter_shapes(network: mlx.nn.Module) -> dict[str, Shape]:
    """PyTorch's shapes of the network's parameters, by name. Nothing is computed: MLX arrays are lazy."""
    shapes = {name: tuple(array.shape) for name, array in parameters(network).items()}
    return {name: (s[0], s[3], s[1], s[2]) if len(s) == 4 else s for name, s in shapes.items()}


def whole(name: str, shape: Shape) -> Source:
    """The checkpoint's tensor `name`, all of it."""
    return Source(name, shape, 0, shape[0])


def joined(name: str, parts: Mapping[str, Shape]) -> dict[str, Source]:
    """Parameters `parts` that the checkpoint keeps joined along the first axis, in this order, as its tensor `name`."""
    rows = sum(shape[0] for shape in parts.values())
    sources = {}
    start = 0
    for part, shape in parts.items():
        sources[part] = Source(name, (rows, *shape[1:]), start, start + shape[0])
        start += shape[0]
    return sources
