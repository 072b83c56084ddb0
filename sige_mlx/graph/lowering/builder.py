"""This module holds a program under construction: it finds slots by what they hold, and appends ops."""

from typing import Any

from sige_mlx.graph.program import Buffer, Kind, Program, ProgramOp, Slot
from sige_mlx.graph.tiling import Size


class ProgramBuilder:
    """It makes every slot once."""

    def __init__(self) -> None:
        self.program = Program()
        self._slots: dict[tuple[Kind, Any], Slot] = {}

    def slot(self, kind: Kind, key: Any, shape: tuple[int, ...] = (), tiles: Size | None = None) -> Slot:
        """Returns the slot of `key`, and makes it when it is new."""
        found = self._slots.get((kind, key))
        if found is None:
            found = self._slots[kind, key] = Slot(len(self.program.buffers))
            self.program.buffers.append(Buffer(kind, key, shape, tiles))
        return found

    def scratch(self, *shape: int, tiles: Size | None = None) -> Slot:
        """Returns the slot of a new array, or of one for every active tile of a plane: see `Kind`."""
        return self.slot(Kind.SCRATCH, len(self.program.buffers), shape, tiles)

    def part(self, slot: Slot, first: int) -> Slot:
        """Returns the slot of the array of `slot` from float `first` on."""
        return self.slot(Kind.PART, (slot, first)) if first else slot

    def emit(self, op: ProgramOp, name: str) -> None:
        """Appends an op that belongs to the layer `name`."""
        self.program.ops.append(op)
        self.program.names.append(name)
