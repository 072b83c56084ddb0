"""Tiles that are only written again, normalised, for a pixel-wise convolution need not be written again."""

from dataclasses import replace

from sige_mlx.graph import program as p
from sige_mlx.graph.program import NONE, Kind, Program, Slot


def joined(program: Program) -> Program:
    """Returns a program that computes the same. Where an op writes tiles in another form, and nothing but a 1x1
    convolution of the same tiles reads that, the convolution makes it of them as it reads."""
    used: dict[Slot, list[int]] = {}
    for i, op in enumerate(program.ops):
        for slot in p.slots_of(op):
            buffer = program.buffers[slot]
            used.setdefault(Slot(buffer.key[0]) if buffer.kind is Kind.PART else slot, []).append(i)
    ops: dict[int, p.ProgramOp] = dict(enumerate(program.ops))
    for i, op in enumerate(program.ops):
        if not isinstance(op, p.Depthwise) or not _writes_again(op):
            continue
        readers = [j for j in used[op.output[0].dst] if j != i]
        reader = ops[readers[0]] if len(readers) == 1 else None
        if isinstance(reader, p.Conv) and (sources := _reading_itself(reader, op)):
            ops[readers[0]] = replace(reader, source=sources)
            del ops[i]
    return replace(program, ops=list(ops.values()), names=[program.names[i] for i in ops])


def _writes_again(op: p.Depthwise) -> bool:
    """Says whether an op writes tiles as they are but for an affine map and an activation."""
    source, lone = op.source, len(op.output) == 1 and op.output[0].mod is None
    plain = source.kh == source.kw == source.stride == 1 and source.resample == 0 and source.x.blocks != NONE
    ready = source.scale == NONE and source.act == 0 and source.mod is None
    nothing_more = op.weight == op.bias == op.sums == NONE and op.residual is None
    return lone and plain and ready and nothing_more and op.out.list != NONE


def _reading_itself(conv: p.Conv, op: p.Depthwise) -> tuple[p.Source, ...] | None:
    """Returns a convolution's sources if it reads what `op` reads; None if it cannot: it sees more than its own tiles,
    or modulates them."""
    output = op.output[0]
    sources = []
    for source in conv.source:
        if source.x.blocks == output.dst:
            pixelwise = (source.kh, source.kw, source.stride, source.resample) == (1, 1, 1, 0)
            if conv.out != op.out or not pixelwise or source.mod is not None:
                return None
            source = replace(source, x=op.source.x, raw=1, scale=output.scale, shift=output.shift)
            source = replace(source, stride_affine=output.stride, act=output.act)
        sources.append(source)
    return tuple(sources)
