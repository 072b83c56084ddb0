"""Weights that training keeps as other tensors: under spectral or weight normalisation, as any PyTorch wrote them.

A network of any family may have its weights so; one file has all of them in the same form.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from sige_mlx.converters.families.family import Layout, Read, Shape, Shapes, Source, Transposed

_WEIGHT = "weight"


@dataclass(frozen=True)
class Form:
    """What a checkpoint has for a `weight`: `leaves`, whose first is of the weight's shape, with the others' shapes by
    that and by the axis of the output channels; `fold` makes the weight of them all."""

    leaves: tuple[str, ...]
    others: Callable[[Shape, int], tuple[Shape, ...]]
    fold: Callable[..., np.ndarray]


def _vectors(shape: Shape, axis: int) -> tuple[Shape, ...]:
    """Of u and v: the singular vectors of the weight as a matrix (outputs, rest)."""
    return shape[axis : axis + 1], (math.prod(shape) // max(shape[axis], 1),)


def _spectral(weight: np.ndarray, u: np.ndarray, v: np.ndarray, axis: int) -> np.ndarray:
    """W / σ with σ = uᵀ W v (Miyato et al. 2018, equation 19)."""
    matrix = np.moveaxis(weight, axis, 0).reshape(len(u), -1)
    with np.errstate(divide="ignore", invalid="ignore"):  # what comes out is checked, not how
        return (weight / (u.astype(np.float64) @ (matrix @ v.astype(np.float64)))).astype(weight.dtype)


def _spectral_by_u(weight: np.ndarray, u: np.ndarray, axis: int) -> np.ndarray:
    """The same from u alone: v is the unit vector along Wᵀ u, and u then that along W v (algorithm 1 there)."""
    matrix = np.moveaxis(weight, axis, 0).reshape(len(u), -1).astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        v = matrix.T @ u
        v /= np.linalg.norm(v)
        u = matrix @ v
        return _spectral(weight, u / np.linalg.norm(u), v, axis)


def _weight_norm(v: np.ndarray, g: np.ndarray, axis: int) -> np.ndarray:
    """g v / |v|, with a norm for each index of PyTorch's first axis (Salimans & Kingma 2016, equation 2)."""
    norms = np.sqrt(np.square(v, dtype=np.float64).sum(tuple(range(1, v.ndim)), keepdims=True))
    with np.errstate(divide="ignore", invalid="ignore"):
        return (g * (v / norms)).astype(v.dtype)


def _per_row(shape: Shape, axis: int) -> tuple[Shape, ...]:
    return ((shape[0], *(1 for _ in shape[1:])),)


_PARAMETRIZED = "parametrizations.weight"
FORMS = (
    Form(("weight_orig", "weight_u", "weight_v"), _vectors, _spectral),
    Form((f"{_PARAMETRIZED}.original", f"{_PARAMETRIZED}.0._u", f"{_PARAMETRIZED}.0._v"), _vectors, _spectral),
    # PyTorch 0.4 had no v, and the weight itself beside what it is computed from.
    Form(
        ("weight_orig", "weight_u", "weight"),
        lambda shape, axis: (shape[axis : axis + 1], shape),
        lambda _, u, weight, axis: weight,
    ),
    Form(("weight_orig", "weight_u"), lambda shape, axis: (shape[axis : axis + 1],), _spectral_by_u),
    Form(("weight_v", "weight_g"), _per_row, _weight_norm),
    Form((f"{_PARAMETRIZED}.original1", f"{_PARAMETRIZED}.original0"), _per_row, _weight_norm),
)


@dataclass(frozen=True)
class Folded:
    """A tensor that is made of others: `names` are those of the form's leaves."""

    form: Form
    names: tuple[str, ...]
    shape: Shape
    axis: int

    @property
    def tensors(self) -> dict[str, Shape]:
        shapes = (self.shape, *self.form.others(self.shape, self.axis))
        return dict(zip(self.names, shapes, strict=True))

    def build(self, read: Read) -> np.ndarray:
        return self.form.fold(*map(read, self.names), axis=self.axis)


@dataclass(frozen=True)
class Reparametrised(Source):
    """A source some of whose tensors are `folded`, by the names that they have in `inner`."""

    inner: Source
    folded: Mapping[str, Folded]

    @property
    def tensors(self) -> dict[str, Shape]:
        found: dict[str, Shape] = {}
        for name, shape in self.inner.tensors.items():
            found |= self.folded[name].tensors if name in self.folded else {name: shape}
        return found

    @property
    def built_shape(self) -> Shape:
        return self.inner.built_shape

    def build(self, read: Read) -> np.ndarray:
        return self.inner.build(lambda name: self.folded[name].build(read) if name in self.folded else read(name))


def form_of(shapes: Shapes) -> Form | None:
    """The form that explains most of the tensors `shapes`, some of which may be missing; None if all are plain."""
    found, most = None, (0, 0)
    for form in FORMS:
        own = [leaf for leaf in form.leaves if leaf != _WEIGHT]
        stems = {name[: -len(leaf)] for leaf in own for name in shapes if name.endswith(leaf)}
        present = [sum(stem + leaf in shapes for leaf in form.leaves) for stem in stems]
        if (score := (sum(present), present.count(len(form.leaves)))) > most:
            found, most = form, score
    return found


def plain(shapes: Shapes, form: Form | None) -> Shapes:
    """`shapes` with the weights besides that are kept in a form."""
    if form is None:
        return shapes
    first = form.leaves[0]
    weights = {name[: -len(first)] + _WEIGHT: shape for name, shape in shapes.items() if name.endswith(first)}
    return {**weights, **shapes}


def adapted(layout: Layout, form: Form | None, shapes: Shapes) -> Layout:
    """The layout with those weights in a form that the tensors `shapes` have so."""
    if form is None:
        return layout
    own = [leaf for leaf in form.leaves if leaf != _WEIGHT]
    sources: dict[str, Source] = {}
    for name, source in layout.sources.items():
        axis = int(isinstance(source, Transposed))
        folded = {}
        for tensor, shape in source.tensors.items():
            stem = tensor.removesuffix(_WEIGHT)
            if stem != tensor and len(shape) > 1 and any(stem + leaf in shapes for leaf in own):
                folded[tensor] = Folded(form, tuple(stem + leaf for leaf in form.leaves), shape, axis)
        sources[name] = Reparametrised(source.rows, source, folded) if folded else source
    return replace(layout, sources=sources)
