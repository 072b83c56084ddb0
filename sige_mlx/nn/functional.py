"""These functions take arrays or symbolic tensors. With arrays they run; with a symbolic tensor they are traced."""

from collections.abc import Sequence
from typing import Any, Protocol, TypeAlias, runtime_checkable

import mlx.core as mx

from sige_mlx.errors import SigeError
from sige_mlx.nn import ops
from sige_mlx.nn.ops import Op, Padding, PadMode, Shape


@runtime_checkable
class Symbolic(Protocol):
    """A symbolic tensor writes down what is done to it, and does not do it (see `sige_mlx.graph.trace`)."""

    shape: Shape

    def apply(self, op: Op, inputs: "Sequence[Tensor]", params: dict[str, mx.array]) -> "Symbolic": ...

    def __add__(self, other: Any) -> Any: ...


Tensor: TypeAlias = Any
"""A tensor is an `mx.array` or `Symbolic`. MLX's type stubs leave so much untyped that a union would buy nothing."""


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
    x: Tensor,
    weight: mx.array,
    bias: mx.array | None = None,
    stride: int = 1,
    padding: Padding = ((0, 0), (0, 0)),
    groups: int = 1,
    pad_mode: PadMode = "zero",
) -> Tensor:
    """Convolves `(B, H, W, I)` with weight `(O, kH, kW, I / groups)`; `groups` is 1 or the channels."""
    return apply(ops.Conv2d(stride, padding, groups, pad_mode), [x], weight=weight, bias=bias)


def conv_transpose2d(x: Tensor, weight: mx.array, bias: mx.array | None = None) -> Tensor:
    """Convolves transposed, 3x3, to twice the size; the weight is `(O, 3, 3, I)` (see `ops.ConvTranspose2d`)."""
    return apply(ops.ConvTranspose2d(), [x], weight=weight, bias=bias)


def linear(x: Tensor, weight: mx.array, bias: mx.array | None = None) -> Tensor:
    """Returns `x @ weight.T + bias` for a weight `(O, I)`."""
    return apply(ops.Linear(), [x], weight=weight, bias=bias)


def group_norm(x: Tensor, groups: int, weight: mx.array, bias: mx.array, eps: float) -> Tensor:
    """Normalises groups of channels, then applies an affine map."""
    return apply(ops.GroupNorm(eps, groups), [x], weight=weight, bias=bias)


def instance_norm(x: Tensor, eps: float = 1e-5, weight: mx.array | None = None, bias: mx.array | None = None) -> Tensor:
    """Brings every channel of every image to mean 0 and variance 1, then applies an affine map if one is given."""
    return apply(ops.InstanceNorm(eps), [x], weight=weight, bias=bias)


def batch_norm(
    x: Tensor,
    running_mean: mx.array,
    running_var: mx.array,
    eps: float = 1e-5,
    weight: mx.array | None = None,
    bias: mx.array | None = None,
) -> Tensor:
    """Normalises by kept statistics, `(C,)` each, then applies an affine map if one is given."""
    kept = {"running_mean": running_mean, "running_var": running_var}
    return apply(ops.BatchNorm(eps), [x], **kept, weight=weight, bias=bias)


def modulate(x: Tensor, scale_shift: Tensor) -> Tensor:
    """Returns `x * (1 + scale) + shift`; `scale_shift` holds both in 2 C channels, for every pixel or for one per
    image."""
    return apply(ops.Modulate(), [x, scale_shift])


def silu(x: Tensor) -> Tensor:
    """Returns `x * sigmoid(x)`."""
    return apply(ops.SiLU(), [x])


def relu(x: Tensor) -> Tensor:
    """Returns `max(x, 0)`."""
    return apply(ops.ReLU(), [x])


def leaky_relu(x: Tensor) -> Tensor:
    """Returns `max(x, 0.2 x)`."""
    return apply(ops.LeakyReLU(), [x])


def tanh(x: Tensor) -> Tensor:
    """Returns `tanh(x)`."""
    return apply(ops.Tanh(), [x])


def concat(xs: Sequence[Tensor]) -> Tensor:
    """Concatenates along channels."""
    return apply(ops.Concat(), xs)


def upsample_nearest(x: Tensor) -> Tensor:
    """Upsamples by 2, to the nearest neighbour."""
    return apply(ops.UpsampleNearest(), [x])


def downsample_nearest(x: Tensor, factor: int) -> Tensor:
    """Takes every `factor`-th pixel along both axes, from the first on."""
    return apply(ops.DownsampleNearest(factor), [x])


def avg_pool2d(x: Tensor) -> Tensor:
    """Takes means of 2x2 pixels."""
    return apply(ops.AvgPool2d(), [x])


def attention(q: Tensor, k: Tensor, v: Tensor, heads: int = 1) -> Tensor:
    """Attends to all pixels of `(B, H, W, C)`, by scaled dot products."""
    return apply(ops.Attention(heads), [q, k, v])


def timestep_embedding(t: Tensor, dim: int, max_period: float = 10000.0) -> Tensor:
    """Returns the sinusoidal embedding of `(B,)` time steps, `(B, 1, 1, dim)` (see `ops.TimestepEmbedding`)."""
    return apply(ops.TimestepEmbedding(dim, max_period), [t])


def log_snr_embedding(log_snr: Tensor, dim: int) -> Tensor:
    """Returns the embedding of `(B,)` log signal-to-noise ratios, `(B, 1, 1, dim)` (see `ops.TimestepEmbedding`)."""
    return apply(ops.TimestepEmbedding(dim, of="log_snr"), [log_snr])
