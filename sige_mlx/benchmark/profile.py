"""Where the time of a pass goes: ops by kind, and convolutions by plane size."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sige_mlx.graph import program as p


@dataclass(frozen=True)
class ProfileRow:
    """What ops of one sort took together in one run."""

    name: str
    ops: int
    ms: float
    share: float
    """Of the pass, 0 to 1."""
    macs: int

    @property
    def gflops(self) -> float:
        """Achieved rate, a multiply-accumulate counted as two operations."""
        return 2e-6 * self.macs / self.ms if self.ms else 0.0


@dataclass(frozen=True)
class Profile:
    """One pass, taken apart."""

    what: str
    by_kind: tuple[ProfileRow, ...]
    convolutions: tuple[ProfileRow, ...]
    """By the plane they write."""


def profile(what: str, program: p.Program, counts: p.Counts, seconds: npt.NDArray[np.float64]) -> Profile:
    """`seconds` [ops] are one run's on so many tiles, or means of several."""
    convolutions = [i for i, op in enumerate(program.ops) if isinstance(op, p.Conv)]
    return Profile(
        what,
        _rows(program, counts, seconds, range(len(program.ops)), [kind(op) for op in program.ops]),
        _rows(program, counts, seconds, convolutions, [_plane(program.ops[i]) for i in convolutions]),
    )


def kind(op: p.ProgramOp) -> str:
    """What an op is called in a profile: "conv 3x3 tiles", "linear", "norm" …"""
    if not isinstance(op, p.Convolution):
        return type(op).__name__.lower()
    if op.out.h == op.out.w == 1:
        return "linear"
    main = max(op.sources, key=lambda s: s.kh * s.kw)  # a residual block's 1x1 shortcut is a source of its convolution
    geometry = f"{main.kh}x{main.kw}" + ("/2" if main.stride == 2 else "")
    geometry += " transposed" if main.zeros else " after x2" if main.resample > 0 else ""
    return f"{type(op).__name__.lower()} {geometry} {'dense' if op.out.list == p.NONE else 'tiles'}"


def _rows(
    program: p.Program,
    counts: p.Counts,
    seconds: npt.NDArray[np.float64],
    ops: Iterable[int],
    names: Sequence[str],
) -> tuple[ProfileRow, ...]:
    members: dict[str, list[int]] = {}
    for i, name in zip(ops, names, strict=True):
        members.setdefault(name, []).append(i)
    rows = []
    for name, indices in members.items():
        spent = float(seconds[indices].sum())
        macs = sum(program.ops[i].work(counts).macs for i in indices)
        rows.append(ProfileRow(name, len(indices), 1e3 * spent, spent / float(seconds.sum()), macs))
    return tuple(sorted(rows, key=lambda row: -row.ms))


def _plane(op: p.ProgramOp) -> str:
    assert isinstance(op, p.Conv)
    return f"{op.out.h}x{op.out.w} {'dense' if op.out.list == p.NONE else 'tiles'}"
