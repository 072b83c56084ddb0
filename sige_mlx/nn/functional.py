"""Functions on arrays or symbolic tensors. With arrays they run; with a symbolic tensor they are traced."""

from collections.abc import Sequence
from typing import Any, Protocol, TypeAlias, runtime_checkable

import mlx.core as mx

from sige_mlx.errors import SigeError
from sige_mlx.nn import ops
from sige_mlx.nn.ops import Op, Padding, Shape


@runtime_checkable
class Symbolic(Protocol):
    """A tensor that records what is done to it instead of doing it (see `sige_mlx.graph.trace`)."""

    shape: Shape

    def apply(self, op: Op, inputs: "Sequence[Tensor]", params: dict[str, mx.array]) -> "Symbolic": ...

    def __add__(self, other: Any) -> Any: ...


Tensor: TypeAlias = Any
"""`mx.array` or `Symbolic`. MLX's own type stubs leave arrays and modules untyped enough that a union buys nothing."""


def apply(op: Op, inputs: Sequence[Tensor], **params: mx.array | None) -> Tensor:
    """Runs `op`, or traces it when any input is symbolic. Parameters that are None are absent."""
    given = {name: p for name, p in params.items() if p is not None}
    symbolic = next((x for x in inputs if not isinstance(x, mx.array)), None)
    if symbolic is None:
        op.shape([x.shape for x in inputs], {name: p.shape for name, p in given.items()})
        return op(inputs, given)
    if not isinstance(symbolic, Symbolic):
        raise SigeError(f"{type(op).__name__} takes an mx.array or a symbolic tensor, not {type(symbolic).__name__}")
    return symbolic.apply(op, inputs, given)


def conv2d(
    x: Tensor, weight: mx.array, bias: mx.array | None = None, stride: int = 1, padding: Padding = ((0, 0), (0, 0))
) -> Tensor:
    """Convolution of `(B, H, W, I)` with weight `(O, kH, kW, I)`."""
    return apply(ops.Conv2d(stride, padding), [x], weight=weight, bias=bias)


def linear(x: Tensor, weight: mx.array, bias: mx.array | None = None) -> Tensor:
    """`x @ weight.T + bias`, weight `(O, I)`."""
    return apply(ops.Linear(), [x], weight=weight, bias=bias)


def group_norm(x: Tensor, groups: int, weight: mx.array, bias: mx.array, eps: float) -> Tensor:
    """Group normalisation with an affine map."""
    return apply(ops.GroupNorm(groups, eps), [x], weight=weight, bias=bias)


def silu(x: Tensor) -> Tensor:
    """`x * sigmoid(x)`."""
    return apply(ops.SiLU(), [x])


def concat(xs: Sequence[Tensor]) -> Tensor:
    """Concatenation along channels."""
    return apply(ops.Concat(), xs)


def upsample_nearest(x: Tensor) -> Tensor:
    """Nearest-neighbour upsampling by 2."""
    return apply(ops.UpsampleNearest(), [x])


def attention(q: Tensor, k: Tensor, v: Tensor, heads: int = 1) -> Tensor:
    """Scaled dot-product attention over all pixels of `(B, H, W, C)`."""
    return apply(ops.Attention(heads), [q, k, v])


def timestep_embedding(t: Tensor, dim: int) -> Tensor:
    """The sinusoidal embedding of `(B,)` time steps, `(B, 1, 1, dim)`."""
    return apply(ops.TimestepEmbedding(dim), [t])
