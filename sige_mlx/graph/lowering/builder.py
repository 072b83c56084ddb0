"""A program under construction: slots are found by what they hold, ops are appended."""

from typing import Any

from sige_mlx.graph.program import Kind, Program, ProgramOp, Slot


class ProgramBuilder:
    """Makes every slot once."""

    def __init__(self) -> None:
        self.program = Program()
        self._slots: dict[tuple[Kind, Any], int] = {}

    def slot(self, kind: Kind, key: Any, shape: tuple[int, ...] = ()) -> int:
        """The slot of `key`, made when it is new."""
        index = self._slots.get((kind, key))
        if index is None:
            index = self._slots[kind, key] = len(self.program.slots)
            self.program.slots.append(Slot(kind, key, shape))
        return index

    def scratch(self, *shape: int) -> int:
        """A new array that lives from the first op that names it to the last."""
        return self.slot(Kind.SCRATCH, len(self.program.slots), shape)

    def part(self, slot: int, first: int) -> int:
        """The array of `slot` from float `first` on."""
        return self.slot(Kind.PART, (slot, first)) if first else slot

    def emit(self, op: ProgramOp, name: str) -> None:
        """Appends an op that belongs to the layer `name`."""
        self.program.ops.append(op)
        self.program.names.append(name)
