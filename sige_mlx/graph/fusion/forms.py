"""The fused operations, and how they read what others stored."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from sige_mlx.nn.ops import Activation, Padding, PadMode, Shape, TimestepEmbedding


@dataclass(frozen=True)
class Modulation:
    """x * (1 + gamma) + beta at every pixel: two stored values, and where among their channels those of x begin."""

    gamma: int
    gamma_first: int
    beta: int
    beta_first: int


@dataclass(frozen=True)
class Read:
    """One stored value as a consumer sees it: act(modulated by `mod` (normalised by `norm` (resampled value)))."""

    value: int
    """Index of the node whose result is stored."""
    resample: int = 0
    """1: upsampled by 2; -k: every 2^k-th pixel."""
    norm: int | None = None
    """The node of a normalisation; of its FiLM, if it has one."""
    first: int = 0
    """The value's first channel among those of the norm."""
    mod: Modulation | None = None
    act: Activation | None = None

    @property
    def stored(self) -> bool:
        """Whether it is the value as it was stored."""
        return self == Read(self.value)


@dataclass(frozen=True)
class Term:
    """One of the convolutions that a fused one adds up: a concatenation of reads, and the geometry it reads with."""

    reads: tuple[Read, ...]
    weight: str | None
    """None: the mean of the pixels under the kernel."""
    weight_shape: Shape
    stride: int = 1
    padding: Padding = ((0, 0), (0, 0))
    pad_mode: PadMode = "zero"
    transposed: bool = False


class _Fused:
    @property
    def reads(self) -> tuple[Read, ...]:
        """What pixels or a vector are read of. The values that modulate a read are in it."""
        return ()


@dataclass(frozen=True)
class FusedConv(_Fused):
    """value = act(sum of the terms + biases + vec + residual).

    By channel, none is mixed with another: there is one term of one read, and no vec. Without a weight that is a mean,
    which of one pixel is the read itself, stored: what is added or returned though no convolution wrote it."""

    value: int
    shape: Shape
    terms: tuple[Term, ...]
    biases: tuple[str, ...] = ()
    by_channel: bool = False
    vec: int | None = None
    residual: Read | None = None
    """A stored value, or one upsampled."""
    act: Activation | None = None
    """Of the network's output only; everywhere else an activation is part of the read."""
    siblings: tuple["FusedConv", ...] = ()
    """Convolutions that are computed with it (`joined`): their channels follow its own in one array. All else is said
    of its own part."""

    @property
    def reads(self) -> tuple[Read, ...]:
        added = [Read(self.vec)] if self.vec is not None else []
        added += [self.residual] if self.residual else []
        return (*(read for term in self.terms for read in term.reads), *added)

    @property
    def parts(self) -> tuple["FusedConv", ...]:
        """The convolutions that it is, in the order of their channels."""
        return (self, *self.siblings)

    @property
    def channels(self) -> int:
        """Those of all parts."""
        return sum(part.shape[-1] for part in self.parts)

    def weights(self, term: int) -> list[str]:
        """The names of a term's weights, each part's."""
        names = [part.terms[term].weight for part in self.parts]
        return [name for name in names if name is not None]

    @property
    def is_plain(self) -> bool:
        """Whether it mixes channels, and adds nothing but its biases."""
        return not self.by_channel and self.vec is None and self.residual is None

    @property
    def layer(self) -> str | None:
        """The path of the layer that does most of the work, if it has weights."""
        weight = max(self.terms, key=lambda term: math.prod(term.weight_shape)).weight
        return weight and weight.rsplit(".", 1)[0]


@dataclass(frozen=True)
class FusedNorm(_Fused):
    """The statistics of a norm over the concatenation of stored values, followed by a FiLM if there is `film`, the
    vector's value. `value` is the node by which reads name it, `norm` that of the norm itself."""

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
    """Attention over stored values q, k, v."""

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
    """What the host makes of an input before it hands it over: a few numbers that no kernel need compute."""

    input: str
    op: TimestepEmbedding


@dataclass(frozen=True)
class FusedEmbedding(_Fused):
    """An embedding as a value of the graph."""

    value: int
    shape: Shape
    of: Embedding


@dataclass(frozen=True)
class Unfused(_Fused):
    """A node that has no fused form, and the sentence that says why. Only the reference executor runs it."""

    value: int
    shape: Shape
    why: str


Stored = FusedConv | FusedAttention | FusedEmbedding | Unfused
"""Operations whose results are stored."""

Fused = Stored | FusedNorm


@dataclass(frozen=True)
class Groups:
    """A graph's fused operations in execution order."""

    ops: tuple[Fused, ...]
    within: Mapping[int, int]
    """Of nodes that are computed as a part of another's operation, the value of that operation."""

    def value(self, node: int) -> int:
        """The value of the operation that a node is computed by; the node's own where nothing absorbed it."""
        while node in self.within:
            node = self.within[node]
        return node

    @property
    def unfused(self) -> Unfused | None:
        """The first node that has no fused form, if there is one."""
        return next((op for op in self.ops if isinstance(op, Unfused)), None)
