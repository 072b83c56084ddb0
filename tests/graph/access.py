"""Which slots an op of a program reads and which it writes, as `cpu/sige_cpu.h` defines the ops."""

from __future__ import annotations

from dataclasses import dataclass

from sige_mlx.graph import program as p
from sige_mlx.graph.program import NONE, Kind, Program, slots_of


@dataclass(frozen=True)
class Access:
    """Slots, a part counted as the slot it belongs to."""

    reads: frozenset[int]
    writes: frozenset[int]


def access(program: Program, op: p.ProgramOp) -> Access:
    """What `op` touches."""
    if isinstance(op, p.Conv | p.Depthwise):
        written = [o.dst for o in op.output] + [op.sums]
    elif isinstance(op, p.Norm):
        written = [op.scale, op.shift, op.moments, op.gain]
    else:
        written = [op.dst]
    writes = {owner(program, slot) for slot in written if slot != NONE}
    touched = {owner(program, slot) for slot in slots_of(op)}
    return Access(frozenset(touched - writes), frozenset(writes))


WRITABLE = {Kind.SCRATCH, Kind.OUTPUT}


def assert_written_before_read(program: Program) -> None:
    """Every array that an op writes is written before another reads it; the output is."""
    written: set[int] = set()
    for op, name in zip(program.ops, program.names, strict=True):
        touched = access(program, op)
        for slot in touched.reads:
            if program.buffers[slot].kind in WRITABLE:
                assert slot in written, f"{name} reads slot {slot}, which nobody has written"
        assert not touched.reads & touched.writes
        written |= touched.writes
    assert {s.kind for i, s in enumerate(program.buffers) if i in written} <= WRITABLE | {Kind.RECORDED}
    outputs = [i for i, s in enumerate(program.buffers) if s.kind is Kind.OUTPUT]
    assert len(outputs) == 1 and outputs[0] in written


def owner(program: Program, slot: int) -> int:
    described = program.buffers[slot]
    return int(described.key[0]) if described.kind is Kind.PART else slot
