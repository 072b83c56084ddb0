"""Norms take statistics of sums by tile, which whatever computes a value writes with it."""

from collections.abc import Callable

from sige_mlx.graph import program as p
from sige_mlx.graph.fusion import FusedConv, FusedNorm, Groups
from sige_mlx.graph.ir import Graph
from sige_mlx.graph.lowering.forms import RAW
from sige_mlx.graph.lowering.storage import Storage
from sige_mlx.graph.program import NONE, Kind, Slot
from sige_mlx.graph.regions import Region, Regions


class Statistics:
    """It writes the ops that take statistics, in the layers that `name` says. With `planes` they are those of larger
    planes that the graph has a window of."""

    def __init__(
        self, groups: Groups, regions: Regions, storage: Storage, planes: Graph | None, name: Callable[[int], str]
    ):
        self.graph = storage.graph
        self.storage = storage
        self.build = storage.build
        self.planes = planes
        self.name = name
        norms = [op for op in groups.ops if isinstance(op, FusedNorm) and op.norm in regions.fresh]
        self.fresh = {op.value for op in norms}
        """Statistics of these norms are taken; others are recorded."""
        in_tiles = [op for op in norms if all(regions.of[value] is Region.TILES for value in op.parts)]
        self.followed = {value for op in in_tiles for value in op.parts}
        """Statistics of these values follow the recorded ones: all that their norms normalise is in tiles."""
        self.sums: dict[int, Slot] = {}
        """Norms take statistics of these sums of values by tile; in `partial` they are of recomputed tiles only."""
        self._partial: set[int] = set()
        self._normed = {value for op in norms for value in op.parts}
        self._affine: dict[int, tuple[Slot, Slot]] = {}
        self._completed: dict[int, Slot] = {}
        self._before: dict[int, Slot] = {}

    def affine(self, norm: int) -> tuple[Slot, Slot]:
        """Returns scale and shift of a norm that takes statistics: this program computes them, or they are recorded."""
        if norm not in self._affine:
            n, _, _, c = self.graph.nodes[norm].shape
            slot = self.storage.new if norm in self.fresh else self.storage.recorded
            self._affine[norm] = (slot("scale", norm, (n, c)), slot("shift", norm, (n, c)))
        return self._affine[norm]

    def new_sums(self, op: FusedConv, domain: p.Domain) -> Slot:
        """Returns the slot for the sums by tile of what an op computes, or NONE when nobody takes statistics of it."""
        if op.value not in self._normed and not self.storage.stores("sums", op.value):
            return NONE
        n, h, w, c = op.shape
        if domain.list == NONE:
            sums = self.storage.new("sums", op.value, (n * self.storage.tiles_in((h, w)), 2, c))
        else:
            self._partial.add(op.value)
            sums = self.build.scratch(2, c, tiles=(h, w))
        self.sums[op.value] = sums
        return sums

    def recorded_sums(self, value: int) -> Slot:
        """Returns the slot of the sums of the recorded tiles that a value has been recomputed in."""
        if value not in self._before:
            n, h, w, c = self.storage.shape(value)
            domain, sums = self.storage.active(value), self.build.scratch(2, c, tiles=(h, w))
            base, tile = self.storage.recorded_form(RAW, value), self.storage.tile
            source = p.Source(p.Tensor(n, h, w, c, tile, base, stored=1), 1, 1, 1, 0, 0)
            self.build.emit(p.Depthwise(domain, c, NONE, NONE, sums, None, 0, source, ()), self.name(value))
            self._before[value] = sums
        return self._before[value]

    def take(self, norm: FusedNorm, film: Slot) -> None:
        """Appends the op that takes statistics; `film` is what the norm is followed by. Where all that it normalises is
        in tiles, statistics follow the recorded ones."""
        n, h, w, _ = self.graph.nodes[norm.parts[0]].shape
        c = tuple(self.graph.nodes[v].shape[-1] for v in norm.parts)
        recorded, before, grid = NONE, tuple(NONE for _ in c), NONE
        if self.followed.issuperset(norm.parts):
            recorded = self.storage.recorded("moments", norm.value, (n, 2, norm.groups))
            sums = tuple(self.sums[value] for value in norm.parts)
            before = tuple(map(self.recorded_sums, norm.parts))
            grid = self.storage.grid(n, (h, w))
        else:
            sums = tuple(map(self._whole_sums, norm.parts))
        tiles = (self.storage.tiles_in((h, w)),) * len(c)
        if self.planes is not None:
            recorded, before, grid = self.storage.of_planes(norm)
            _, h, w, _ = self.planes.nodes[norm.parts[0]].shape
        weight, bias = (
            NONE if name is None else self.build.slot(Kind.PARAM, name, (sum(c),)) for name in (norm.weight, norm.bias)
        )
        affine, kept, taken = self.affine(norm.value), self._kept(norm), (sums, tiles, c, recorded, before, grid)
        op = p.Norm(n, h * w, norm.groups, *taken, weight, bias, film, *affine, *kept, norm.eps)
        self.build.emit(op, self.name(norm.norm))

    def _whole_sums(self, value: int) -> Slot:
        """Returns the slot of the sums of all tiles of a value. Those of recomputed tiles are pasted over the recorded
        ones, as an image of one pixel a tile."""
        if value in self._partial and value not in self._completed:
            n, h, w, c = self.graph.nodes[value].shape
            shape = (n * self.storage.tiles_in((h, w)), 2, c)
            gh, gw = -(-h // self.storage.tile), -(-w // self.storage.tile)
            recorded = self.storage.recorded("sums", value, shape)
            sums = p.Tensor(n, gh, gw, 2 * c, 1, recorded, self.sums[value], self.storage.grid(n, (h, w)))
            self._completed[value] = self.build.scratch(*shape)
            self.build.emit(p.Paste(sums, self._completed[value]), self.name(value))
        return self._completed.get(value, self.sums[value])

    def _kept(self, norm: FusedNorm) -> tuple[Slot, Slot]:
        """Returns the slots for what the statistics of a norm are renewed from, if that is to be recorded."""
        n, c = self.graph.nodes[norm.value].shape[0], self.graph.nodes[norm.value].shape[-1]
        shapes = {"moments": (n, 2, norm.groups), "gain": (n, 2, c)}
        moments, gain = (
            self.storage.recorded(what, norm.value, shape) if self.storage.keeps(what, norm.value) else NONE
            for what, shape in shapes.items()
        )
        return moments, gain
