"""This module defines the fused operations, and how they read what others stored."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from sige_mlx.nn.ops import Activation, Padding, PadMode, Shape, TimestepEmbedding


@dataclass(frozen=True)
class Modulation:
    """A modulation makes x * (1 + gamma) + beta of x; gamma and beta are channels of stored values, from `…_first`
    on."""

    gamma: int
    gamma_first: int
    beta: int
    beta_first: int


@dataclass(frozen=True)
class Read:
    """A stored value is seen resampled, then normalised by `norm`, then modulated by `mod`, then activated by `act`."""

    value: int
    """This is the index of the node whose result is stored."""
    resample: int = 0
    """With 1 the value is upsampled by 2; with -k every 2^k-th pixel is read."""
    norm: int | None = None
    """This is the node of a normalisation, or of the FiLM that follows it."""
    first: int = 0
    """The value's channels begin here among those of the norm."""
    mod: Modulation | None = None
    act: Activation | None = None

    @property
    def stored(self) -> bool:
        """Says whether the value is read as it was stored."""
        return self == Read(self.value)


@dataclass(frozen=True)
class Term:
    """A fused convolution adds up terms. Each convolves a concatenation of reads, with a geometry of its own."""

    reads: tuple[Read, ...]
    weight: str | None
    """Without one the term is the mean of the pixels under the kernel."""
    weight_shape: Shape
    stride: int = 1
    padding: Padding = ((0, 0), (0, 0))
    pad_mode: PadMode = "zero"
    transposed: bool = False


class _Fused:
    @property
    def reads(self) -> tuple[Read, ...]:
        """The operation reads pixels, or a vector, of these values. A read names those that modulate it."""
        return ()


@dataclass(frozen=True)
class FusedConv(_Fused):
    """value = act(sum of the terms + biases + vec + residual).

    With `by_channel` no channel is mixed with another: there is one term of one read, and no vec. Without a weight it
    is a mean. A mean of one pixel stores what is added or returned though no convolution wrote it."""

    value: int
    shape: Shape
    terms: tuple[Term, ...]
    biases: tuple[str, ...] = ()
    by_channel: bool = False
    vec: int | None = None
    residual: Read | None = None
    """The epilogue adds this value, which is read as it was stored, or upsampled."""
    act: Activation | None = None
    """Only the network's output has one; everywhere else an activation is a part of the read."""
    siblings: tuple["FusedConv", ...] = ()
    """These are computed with it (`joined`): their channels follow its own, which alone the other fields describe."""

    @property
    def reads(self) -> tuple[Read, ...]:
        added = [Read(self.vec)] if self.vec is not None else []
        added += [self.residual] if self.residual else []
        return (*(read for term in self.terms for read in term.reads), *added)

    @property
    def parts(self) -> tuple["FusedConv", ...]:
        """These are the convolutions that are computed as one, in the order of their channels."""
        return (self, *self.siblings)

    @property
    def channels(self) -> int:
        """All parts together have so many channels."""
        return sum(part.shape[-1] for part in self.parts)

    def weights(self, term: int) -> list[str]:
        """Returns the names of a term's weights, one for each part."""
        names = [part.terms[term].weight for part in self.parts]
        return [name for name in names if name is not None]

    @property
    def is_plain(self) -> bool:
        """Says whether it mixes channels and adds nothing but its biases."""
        return not self.by_channel and self.vec is None and self.residual is None

    @property
    def layer(self) -> str | None:
        """This is the path of the layer that does most of the work, if it has weights."""
        weight = max(self.terms, key=lambda term: math.prod(term.weight_shape)).weight
        return weight and weight.rsplit(".", 1)[0]


@dataclass(frozen=True)
class FusedNorm(_Fused):
    """It takes the statistics of a norm over the concatenation of stored values. The vector `film`, if there is one,
    then scales and shifts the norm. Reads name it by the node `value`; the norm itself is the node `norm`."""

    value: int
    norm: int
    parts: tuple[int, ...]
    groups: int
    eps: float
    weight: str | None
    bias: str | None
    film: int | None = None

    @property
    def reads(self) -> tuple[Read, ...]:
        return () if self.film is None else (Read(self.film),)


@dataclass(frozen=True)
class FusedAttention(_Fused):
    """Attention reads the stored values q, k, v."""

    value: int
    shape: Shape
    q: int
    k: int
    v: int
    heads: int

    @property
    def reads(self) -> tuple[Read, ...]:
        return (Read(self.q), Read(self.k), Read(self.v))


@dataclass(frozen=True)
class Embedding:
    """The host makes an embedding of an input: it is a few numbers that no kernel need compute."""

    input: str
    op: TimestepEmbedding


@dataclass(frozen=True)
class FusedEmbedding(_Fused):
    """An embedding is a value of the graph, too."""

    value: int
    shape: Shape
    of: Embedding


@dataclass(frozen=True)
class Unfused(_Fused):
    """Such a node has no fused form, and a sentence says why. Only the reference executor runs it."""

    value: int
    shape: Shape
    why: str


Stored = FusedConv | FusedAttention | FusedEmbedding | Unfused
"""The results of these operations are stored."""

Fused = Stored | FusedNorm


@dataclass(frozen=True)
class Groups:
    """A graph's fused operations are in execution order."""

    ops: tuple[Fused, ...]
    within: Mapping[int, int]
    """Some nodes are computed as a part of another's operation: this maps them to the value of that operation."""

    def value(self, node: int) -> int:
        """Returns the value of the operation that computes a node: the node itself where nothing absorbed it."""
        while node in self.within:
            node = self.within[node]
        return node

    @property
    def unfused(self) -> Unfused | None:
        """This is the first node that has no fused form, if there is one."""
        return next((op for op in self.ops if isinstance(op, Unfused)), None)
