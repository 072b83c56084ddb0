"""The lowered form: what an executor runs. Field for field the structs of `cpu/sige_cpu.h`, where they are explained.

Ops name their arrays by slot, an index into `Program.slots`; it says what belongs there, the executor puts it there.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, fields, is_dataclass, replace
from enum import Enum
from typing import Any

from sige_mlx.graph.tiling import Size, Tiling

NONE = -1
"""The slot that is not there."""

MAX_SOURCES = 4
MAX_OUTPUTS = 4


class Kind(Enum):
    """What a slot holds; `key` names it within its kind."""

    INPUT = "input"  # key: name of the graph's input
    OUTPUT = "output"  # the result
    WEIGHT = "weight"  # key: value of the fused convolution whose packed weights these are
    BIAS = "bias"  # key: of each part of the convolution, parameter names, summed
    PARAM = "param"  # key: parameter name
    FOLDED = "folded"  # key: ("scale" or "shift", BatchNorm, its parameters' names): a norm that is the same every time
    RECORDED = "recorded"  # key: (what, node), kept from the original for the edits; only a key, of any type
    SCRATCH = "scratch"  # key: a number; alive from the first op that names it to the last
    ROWS = "rows"  # key: plane size; int32, the active tiles
    GRID = "grid"  # key: plane size; int32, where each tile is
    PART = "part"  # key: (slot, floats): the array of another slot from an offset on


@dataclass(frozen=True)
class Slot:
    kind: Kind
    key: Any
    shape: tuple[int, ...]
    """Of float32 values, except ROWS and GRID; () where only the owner of the array knows."""
    tiles: Size | None = None
    """The plane whose active tiles are the array's first axis."""

    @property
    def nbytes(self) -> int:
        return 4 * math.prod(self.shape)


@dataclass(frozen=True)
class Tensor:
    n: int
    h: int
    w: int
    c: int
    tile: int
    base: int
    blocks: int = NONE
    grid: int = NONE


@dataclass(frozen=True)
class Domain:
    n: int
    h: int
    w: int
    tile: int
    tiles: int = 0
    list: int = NONE

    @property
    def pixels(self) -> int:
        return self.n * self.h * self.w if self.list == NONE else self.tiles * self.tile**2


@dataclass(frozen=True)
class Modulation:
    gamma: Tensor
    beta: Tensor
    gamma_first: int
    beta_first: int


@dataclass(frozen=True)
class Output:
    dst: int
    scale: int = NONE
    shift: int = NONE
    stride: int = 0
    act: int = 0
    mod: Modulation | None = None


@dataclass(frozen=True)
class Source:
    x: Tensor
    kh: int
    kw: int
    stride: int
    pad_top: int
    pad_left: int
    pad_mode: int = 0
    resample: int = 0
    zeros: int = 0
    scale: int = NONE
    shift: int = NONE
    stride_affine: int = 0
    act: int = 0
    mod: Modulation | None = None


@dataclass(frozen=True)
class Conv:
    out: Domain
    c_out: int
    weight: int
    bias: int
    vec: int
    vec_stride: int
    sums: int
    residual: Tensor | None
    residual_resample: int
    source: tuple[Source, ...]
    output: tuple[Output, ...]

    @property
    def macs(self) -> int:
        """Between zeros, a quarter of a kernel's taps."""
        quarters = sum((1 if s.zeros else 4) * s.kh * s.kw * s.x.c for s in self.source)
        return self.out.pixels * self.c_out * quarters // 4


@dataclass(frozen=True)
class Depthwise:
    out: Domain
    c: int
    weight: int
    bias: int
    sums: int
    residual: Tensor | None
    residual_resample: int
    source: Source
    output: tuple[Output, ...]

    @property
    def macs(self) -> int:
        """None without weights: a mean is no multiplication."""
        return 0 if self.weight == NONE else self.out.pixels * self.c * self.source.kh * self.source.kw


@dataclass(frozen=True)
class Norm:
    n: int
    pixels: int
    groups: int
    sums: tuple[int, ...]
    tiles: tuple[int, ...]
    c: tuple[int, ...]
    weight: int
    bias: int
    mod: int
    scale: int
    shift: int
    eps: float


@dataclass(frozen=True)
class Attention:
    out: Domain
    keys: int
    heads: int
    head_dim: int
    q: int
    k: int
    v: int
    dst: int
    q_stride: int
    k_stride: int
    v_stride: int
    scale: float

    @property
    def macs(self) -> int:
        return 2 * self.out.pixels * self.keys * self.heads * self.head_dim


@dataclass(frozen=True)
class Paste:
    x: Tensor
    dst: int


@dataclass(frozen=True)
class Timestep:
    n: int
    dim: int
    t: int
    out: int
    log_snr: int
    max_period: float


ProgramOp = Conv | Depthwise | Norm | Attention | Paste | Timestep
Multiplying = Conv | Depthwise | Attention

_SLOT_FIELDS = frozenset(
    "base blocks grid list dst scale shift weight bias vec sums mod q k v out t".split()  # noqa: SIM905
)


def slots_of(op: Any) -> Iterator[int]:
    """Every slot an op names. `scale` of an attention is a number, `mod` of a norm a slot and of others a value."""
    for f in fields(op):
        value = getattr(op, f.name)
        for item in value if isinstance(value, tuple) else (value,):
            if is_dataclass(item):
                yield from slots_of(item)
            elif f.name in _SLOT_FIELDS and isinstance(item, int) and item != NONE:
                yield item


@dataclass
class Program:
    """Ops in order over slots. An edit's program is lowered once, for one active tile in every plane, and then made
    that of a mask by `on`: the number of tiles is all that depends on the mask."""

    ops: list[ProgramOp] = field(default_factory=list)
    slots: list[Slot] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    """For each op, the layer it belongs to."""

    def on(self, tiling: Tiling) -> "Program":
        """This program on the tiles of an edit; raises `SigeError` when a plane of it has none."""
        slots = []
        for slot in self.slots:
            if slot.tiles is not None:
                slot = replace(slot, shape=(len(tiling.at(slot.tiles)), *slot.shape[1:]))
            slots.append(slot)
        ops: list[ProgramOp] = []
        for op in self.ops:
            if isinstance(op, Multiplying) and op.out.list != NONE:
                op = replace(op, out=replace(op.out, tiles=len(tiling.at((op.out.h, op.out.w)))))
            ops.append(op)
        return Program(ops, slots, self.names)

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one run."""
        return sum(op.macs for op in self.ops if isinstance(op, Multiplying))

    @property
    def recorded(self) -> dict[Any, Slot]:
        """What must be recorded before it can run (or, for a recording program, what it records), by key."""
        return {s.key: s for s in self.slots if s.kind is Kind.RECORDED}

    def tiles(self) -> dict[Size, int]:
        """Active tiles by plane size."""
        return {s.key: s.shape[0] for s in self.slots if s.kind is Kind.ROWS}
