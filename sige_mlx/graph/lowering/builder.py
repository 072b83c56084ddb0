"""A program under construction: slots are found by what they hold, ops are appended."""

from typing import Any

from sige_mlx.graph.program import Buffer, Kind, Program, ProgramOp, Slot
from sige_mlx.graph.tiling import Size


class ProgramBuilder:
    """Makes every slot once."""

    def __init__(self) -> None:
        self.program = Program()
        self._slots: dict[tuple[Kind, Any], Slot] = {}

    def slot(self, kind: Kind, key: Any, shape: tuple[int, ...] = (), tiles: Size | None = None) -> Slot:
        """The slot of `key`, made when it is new."""
        found = self._slots.get((kind, key))
        if found is None:
            found = self._slots[kind, key] = Slot(len(self.program.buffers))
            self.program.buffers.append(Buffer(kind, key, shape, tiles))
        return found

    def scratch(self, *shape: int) -> Slot:
        """A new array that lives from the first op that names it to the last."""
        return self.slot(Kind.SCRATCH, len(self.program.buffers), shape)

    def blocks(self, plane: Size, *shape: int) -> Slot:
        """A new array of `shape` for every active tile of a plane."""
        return self.slot(Kind.SCRATCH, len(self.program.buffers), shape, plane)

    def part(self, slot: Slot, first: int) -> Slot:
        """The array of `slot` from float `first` on."""
        return self.slot(Kind.PART, (slot, first)) if first else slot

    def emit(self, op: ProgramOp, name: str) -> None:
        """Appends an op that belongs to the layer `name`."""
        self.program.ops.append(op)
        self.program.names.append(name)
