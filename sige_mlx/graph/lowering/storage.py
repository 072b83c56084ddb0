"""This module knows where values are while ops are written: in whole, in recorded arrays, or in blocks over a base."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from sige_mlx.graph import program as p
from sige_mlx.graph.fusion import FusedConv, FusedNorm, Groups, Modulation
from sige_mlx.graph.ir import Graph
from sige_mlx.graph.lowering.builder import ProgramBuilder
from sige_mlx.graph.lowering.forms import RAW, Form
from sige_mlx.graph.program import NONE, Kind, Slot
from sige_mlx.graph.tiling import Size
from sige_mlx.nn.ops import Shape


@dataclass
class Stored:
    """A value is in whole arrays by form, or in blocks by form when only tiles of `plane` were recomputed."""

    whole: dict[Form, Slot] = field(default_factory=dict)
    plane: Size | None = None
    blocks: dict[Form, Slot] = field(default_factory=dict)


class Storage:
    """It stores the values of a graph. Arrays whose keys are in `keeps` are written into the record, others into
    scratch, from where those in `stores` are copied into the record. Tiles have sides of `tile` pixels."""

    def __init__(self, graph: Graph, groups: Groups, tile: int, keeps: Iterable[Any], stores: Iterable[Any]):
        self.graph = graph
        self.tile = tile
        self.build = ProgramBuilder()
        self.values: dict[int, Stored] = {}
        self._keeps = dict.fromkeys(keeps)
        self._stores = dict.fromkeys(stores)
        self._channels = {op.value: op.channels for op in groups.ops if isinstance(op, FusedConv)}

    def shape(self, value: int) -> Shape:
        """Returns the shape of a value as it is stored, which is with all that was computed with it."""
        shape = self.graph.nodes[value].shape
        return (*shape[:-1], self._channels.get(value, shape[-1]))

    def tiles_in(self, size: Size) -> int:
        """Returns how many tiles a plane has, active or not."""
        return -(-size[0] // self.tile) * -(-size[1] // self.tile)

    # ---- slots

    def recorded(self, what: Any, value: int, shape: Shape) -> Slot:
        """Returns the slot of an array that the record holds."""
        return self.build.slot(Kind.RECORDED, (what, value), shape)

    def new(self, what: Any, value: int, shape: Shape) -> Slot:
        """Returns the slot of an array that is about to be written."""
        return self.recorded(what, value, shape) if self.keeps(what, value) else self.build.scratch(*shape)

    def keeps(self, what: Any, value: int) -> bool:
        """Says whether ops are to write an array into the record."""
        return (what, value) in self._keeps

    def stores(self, what: Any, value: int) -> bool:
        """Says whether an array is to be copied into the record."""
        return (what, value) in self._stores

    def recorded_form(self, form: Form, value: int) -> Slot:
        """Returns the slot of a whole value in the record."""
        return self.recorded(name_of(form), value, self.shape(value))

    def kept_forms(self, value: int) -> list[Form]:
        """Returns the forms of a value that ops are to write into the record."""
        return _forms(self._keeps, value)

    def stored_forms(self, value: int) -> list[Form]:
        """Returns the forms of a value that are to be copied into the record."""
        return _forms(self._stores, value)

    def written(self, form: Form, value: int) -> Slot:
        """Returns the slot of what an op has written of a value."""
        stored = self.values[value]
        return stored.whole[form] if stored.plane is None else stored.blocks[form]

    def new_whole(self, value: int, forms: Iterable[Form]) -> dict[Form, Slot]:
        """Makes whole arrays of a value in some forms; the raw output is the caller's."""
        made = {}
        for form in dict.fromkeys(forms):
            shape = self.shape(value)
            output = value == self.graph.output and form == RAW
            made[form] = self.build.slot(Kind.OUTPUT, None, shape) if output else self.new(name_of(form), value, shape)
        self.values[value] = Stored(made)
        return made

    def new_blocks(self, value: int, forms: Iterable[Form]) -> dict[Form, Slot]:
        """Makes blocks of a value in some forms, besides those that it has."""
        stored, c = self.values[value], self.shape(value)[-1]
        assert stored.plane is not None
        shape = self.tile, self.tile, c
        made = {form: self.build.scratch(*shape, tiles=stored.plane) for form in dict.fromkeys(forms)}
        stored.blocks |= made
        return made

    def of_planes(self, norm: FusedNorm) -> tuple[Slot, tuple[Slot, ...], Slot]:
        """Returns the slots of what a window's norm follows: moments of the whole planes, the sums that the window's
        tiles had, and which of these tiles count, int32, each by its number and others by -1."""
        n, h, w, _ = self.graph.nodes[norm.parts[0]].shape
        tiles = n, -(-h // self.tile), -(-w // self.tile)
        before = (
            self.recorded("sums before", v, (n * tiles[1] * tiles[2], 2, self.graph.nodes[v].shape[-1]))
            for v in norm.parts
        )
        moments = self.recorded("moments before", norm.value, (n, 2, norm.groups))
        return moments, tuple(before), self.recorded("interior", norm.value, tiles)

    # ---- operands

    def image(self, value: int) -> p.Domain:
        """Returns the domain of every pixel of a value."""
        n, h, w, _ = self.graph.nodes[value].shape
        return p.Domain(n, h, w, self.tile)

    def active(self, value: int) -> p.Domain:
        """Returns the domain of the active tiles of a value's plane."""
        n, h, w, _ = self.graph.nodes[value].shape
        return p.Domain(n, h, w, self.tile, self.build.slot(Kind.ROWS, (h, w), (3,), (h, w)))

    def grid(self, n: int, size: Size) -> Slot:
        """Returns the slot that says where the active tiles of a plane are."""
        h, w = size
        return self.build.slot(Kind.GRID, size, (n, -(-h // self.tile), -(-w // self.tile)))

    def tensor(self, value: int, form: Form, domain: p.Domain, halo: bool) -> p.Tensor:
        """Returns a stored value as an op that computes `domain` reads it; with `halo`, also beyond its own pixels."""
        n, h, w, c = self.shape(value)
        stored = self.values[value]
        if stored.plane is None:
            return p.Tensor(n, h, w, c, self.tile, stored.whole[form.kept])
        # An op over the same tiles that reads no halo never reads the base, so the base need not be recorded for it.
        within = domain.list != NONE and (domain.h, domain.w) == (h, w) and not halo
        base = NONE if within else self.recorded_form(form.kept, value)
        return p.Tensor(n, h, w, c, self.tile, base, stored.blocks[form], self.grid(n, (h, w)), int(base != NONE))

    def modulation(self, mod: Modulation, domain: p.Domain, halo: bool) -> p.Modulation:
        """Returns a modulation as an op that computes `domain` reads it."""
        gamma, beta = (self.tensor(v, RAW, domain, halo) for v in (mod.gamma, mod.beta))
        return p.Modulation(gamma, beta, mod.gamma_first, mod.beta_first)


def _forms(keys: Iterable[Any], value: int) -> list[Form]:
    """Returns the forms among the keys of a value's arrays."""
    found = (what for what, of in keys if of == value)
    return [RAW if what == "value" else what for what in found if what == "value" or isinstance(what, Form)]


def name_of(form: Form) -> Any:
    """Returns what a whole value is called in the record."""
    return "value" if form == RAW else form
