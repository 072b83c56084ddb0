"""Programs of edits as they would be without what saves them memory traffic: of the same ops, with the same results."""

from dataclasses import replace

from sige_mlx.graph import program as p
from sige_mlx.graph.program import NONE, Buffer, Kind, Program, Slot


def epilogues_apart(program: Program) -> Program:
    """Convolutions in tiles write what they compute, and an op of its own adds the residual, normalises, activates and
    takes sums."""
    made = _Made(program)
    for op, name in zip(program.ops, program.names, strict=True):
        if isinstance(op, p.Convolution) and op.out.list != NONE and op.weight != NONE and _finishes(op):
            tiles = made.blocks(op.out, _channels(op))
            made.emit(
                replace(op, sums=NONE, residual=None, residual_resample=0, output=(p.Output(tiles.blocks),)), name
            )
            rest = op.sums, op.residual, op.residual_resample, p.Source(tiles, 1, 1, 1, 0, 0), op.output
            made.emit(p.Depthwise(op.out, tiles.c, NONE, NONE, *rest), name)
        else:
            made.emit(op, name)
    return made.program


def _finishes(op: p.Convolution) -> bool:
    plain = [o.scale == NONE and not o.act and not o.mod for o in op.output]
    return op.residual is not None or op.sums != NONE or plain != [True]


def tiles_copied(program: Program) -> Program:
    """Tiles that are read with their surroundings are pasted into a copy of the recorded plane first, and normalised
    when they are read, as by the gather and scatter of the paper's code."""
    made = _Made(program)
    halo = {s.x.blocks: s for op in program.ops for s in _sources(op) if NONE not in (s.x.blocks, s.x.base)}
    """Sources that read surroundings, by the blocks that they read."""
    pasted: dict[Slot, Slot] = {}
    for op, name in zip(program.ops, program.names, strict=True):
        if isinstance(op, p.Convolution):
            op = _reading(op, pasted)
            found = [halo[o.dst] for o in op.output if o.dst in halo]
            raw = NONE
            for source in found:
                if source.scale != NONE or source.act:
                    op, raw = (op, raw) if raw != NONE else made.with_raw(op)
            made.emit(op, name)
            for source in found:
                blocks = raw if source.scale != NONE or source.act else source.x.blocks
                if blocks != NONE:
                    pasted[source.x.blocks] = made.paste(replace(source.x, blocks=blocks), name)
        else:
            made.emit(op, name)
    return made.program


def _sources(op: p.ProgramOp) -> tuple[p.Source, ...]:
    return op.sources if isinstance(op, p.Convolution) else ()


def _reading(op: p.Convolution, pasted: dict[Slot, Slot]) -> p.Convolution:
    """The op with copies in the place of tiles over recorded planes."""

    def of(s: p.Source) -> p.Source:
        if s.x.base == NONE or s.x.blocks not in pasted:
            return s
        return replace(s, x=p.Tensor(s.x.n, s.x.h, s.x.w, s.x.c, s.x.tile, pasted[s.x.blocks]))

    if isinstance(op, p.Conv):
        return replace(op, source=tuple(map(of, op.source)))
    return replace(op, source=of(op.source))


def _channels(op: p.Convolution) -> int:
    return op.c_out if isinstance(op, p.Conv) else op.c


class _Made:
    """A program that is made of another, with more arrays."""

    def __init__(self, program: Program):
        self.program = Program(buffers=list(program.buffers))
        self._copies: dict[Slot, Slot] = {}

    def emit(self, op: p.ProgramOp, name: str) -> None:
        self.program.ops.append(op)
        self.program.names.append(name)

    def blocks(self, out: p.Domain, c: int) -> p.Tensor:
        """New blocks of all tiles of a plane."""
        slot = self._slot(Buffer(Kind.SCRATCH, len(self.program.buffers), (out.tile, out.tile, c), (out.h, out.w)))
        return p.Tensor(out.n, out.h, out.w, c, out.tile, NONE, slot, self._grid(out))

    def with_raw(self, op: p.Convolution) -> tuple[p.Convolution, Slot]:
        """The op, which also writes blocks as they are, and where those are; they may be among its outputs already.
        NONE where it has no room for more."""
        for o in op.output:
            if o.scale == NONE and not o.act and not o.mod:
                return op, o.dst
        if len(op.output) == p.MAX_OUTPUTS:
            return op, NONE
        raw = self.blocks(op.out, _channels(op)).blocks
        return replace(op, output=(*op.output, p.Output(raw))), raw

    def paste(self, tiles: p.Tensor, name: str) -> Slot:
        """A copy of the recorded plane with these tiles in it."""
        if tiles.blocks not in self._copies:
            shape = tiles.n, tiles.h, tiles.w, tiles.c
            dst = self._slot(Buffer(Kind.SCRATCH, len(self.program.buffers), shape))
            self.emit(p.Paste(tiles, dst), name)
            self._copies[tiles.blocks] = dst
        return self._copies[tiles.blocks]

    def _grid(self, out: p.Domain) -> Slot:
        for i, buffer in enumerate(self.program.buffers):
            if buffer.kind is Kind.GRID and buffer.key == (out.h, out.w):
                return Slot(i)
        shape = out.n, -(-out.h // out.tile), -(-out.w // out.tile)
        return self._slot(Buffer(Kind.GRID, (out.h, out.w), shape))

    def _slot(self, buffer: Buffer) -> Slot:
        self.program.buffers.append(buffer)
        return Slot(len(self.program.buffers) - 1)
