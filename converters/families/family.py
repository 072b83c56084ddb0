"""What a network family tells the converter: the configuration behind tensor shapes, and each parameter's source."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import mlx.nn
import numpy as np

from sige_mlx.nn.module import parameters

Shape = tuple[int, ...]
Shapes = Mapping[str, Shape]  # names and shapes of a checkpoint, as PyTorch has them
Read = Callable[[str], np.ndarray]  # gives the checkpoint's tensor of a name


@dataclass(frozen=True)
class Rows:
    """Rows `[start, stop)` of the checkpoint's tensor `name`, which has shape `shape`."""

    name: str
    shape: Shape
    start: int
    stop: int


@dataclass(frozen=True)
class Source:
    """Where a parameter comes from: `rows` of one tensor or of several, one after the other."""

    rows: tuple[Rows, ...]

    @property
    def tensors(self) -> dict[str, Shape]:
        """The checkpoint's tensors that it takes."""
        return {part.name: part.shape for part in self.rows}

    @property
    def built_shape(self) -> Shape:
        """Shape of the parameter in our layout."""
        s = (sum(part.stop - part.start for part in self.rows), *self.rows[0].shape[1:])
        return (s[0], s[2], s[3], s[1]) if len(s) == 4 else s

    def build(self, read: Read) -> np.ndarray:
        """The parameter in our layout: convolution weights OIHW -> OHWI, everything else as it is."""
        parts = [read(part.name)[part.start : part.stop] for part in self.rows]
        joined = parts[0] if len(parts) == 1 else np.concatenate(parts)
        return joined.transpose(0, 2, 3, 1) if joined.ndim == 4 else joined


@dataclass(frozen=True)
class Transposed(Source):
    """The weight of a transposed convolution, which PyTorch has as IOHW (the one tensor of `rows`)."""

    @property
    def built_shape(self) -> Shape:
        i, o, h, w = self.rows[0].shape
        return (o, h, w, i)

    def build(self, read: Read) -> np.ndarray:
        return read(self.rows[0].name).transpose(1, 2, 3, 0)


@dataclass(frozen=True)
class Layout:
    """A network as checkpoints hold it: the sources of our parameters by name, and the shapes of tensors that are there
    and of no use to us. `dialect` tells those of a library from the authors' own."""

    sources: Mapping[str, Source]
    unused: Shapes = field(default_factory=dict)
    dialect: str = ""

    @cached_property
    def tensors(self) -> Shapes:
        """All tensors of such a checkpoint."""
        return {name: s for source in self.sources.values() for name, s in source.tensors.items()} | dict(self.unused)


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


def dimension(shapes: Shapes, axis: int, names: Iterable[str]) -> int:
    """The size along `axis` that most of the tensors `names` agree on; 0 if none of them is there."""
    votes = Counter(shape[axis] for name in names if len(shape := shapes.get(name, ())) > axis)
    return max(votes, key=votes.__getitem__, default=0)


def whole(name: str, shape: Shape) -> Source:
    """The checkpoint's tensor `name`, all of it."""
    return Source((Rows(name, shape, 0, shape[0]),))


def joined(name: str, parts: Shapes) -> dict[str, Source]:
    """Parameters `parts` that the checkpoint keeps joined along the first axis, in this order, as its tensor `name`."""
    rows = sum(shape[0] for shape in parts.values())
    sources = {}
    start = 0
    for part, shape in parts.items():
        sources[part] = Source((Rows(name, (rows, *shape[1:]), start, start + shape[0]),))
        start += shape[0]
    return sources


def split(parts: Shapes) -> Source:
    """A parameter whose rows the checkpoint keeps in the tensors `parts`, in this order."""
    return Source(tuple(Rows(name, shape, 0, shape[0]) for name, shape in parts.items()))
