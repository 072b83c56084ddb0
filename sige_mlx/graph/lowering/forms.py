"""This module finds the forms that values are read in."""

from collections.abc import Iterator
from dataclasses import dataclass

from sige_mlx.graph.fusion import Fused, FusedConv, FusedNorm, Groups, Modulation, Read
from sige_mlx.graph.fusion.order import is_written_modulated
from sige_mlx.graph.ir import Graph
from sige_mlx.graph.regions import Region, Regions
from sige_mlx.nn.ops import Activation


@dataclass(frozen=True)
class Form:
    """A form says what a value has gone through when it is written: normalised as channels `first` … of `norm`,
    modulated, activated. Blocks are written in every form that they are read in. Whole arrays are raw, except where a
    modulation is a part of the form: such a form is called ready, for it is what is recorded, too."""

    norm: int | None = None
    first: int = 0
    mod: Modulation | None = None
    act: Activation | None = None

    @staticmethod
    def of(read: Read) -> "Form":
        return Form(read.norm, read.first, read.mod, read.act)

    @property
    def kept(self) -> "Form":
        """The whole array behind blocks of this form has that one."""
        return self if self.mod else RAW


RAW = Form()


class Forms:
    """It knows the forms of the values of a graph's groups, each in its region."""

    def __init__(self, graph: Graph, groups: Groups, regions: Regions):
        self._graph = graph
        self._regions = regions
        self._position = {op.value: i for i, op in enumerate(groups.ops) if not isinstance(op, FusedNorm)}
        self._written = {op.value for op in groups.ops if isinstance(op, FusedConv)}
        self._of: dict[int, dict[Form, None]] = {graph.output: {RAW: None}}
        for op in groups.ops:
            for read in op.reads if self.computes(op) else ():
                for value, form in self._forms(read):
                    self._of.setdefault(value, {})[form] = None

    def computes(self, op: Fused) -> bool:
        """Says whether an operation is run at all; of a norm, whether its statistics are taken."""
        if isinstance(op, FusedNorm):
            return op.norm in self._regions.fresh
        return self._regions.of[op.value] is not Region.FIXED

    def of(self, value: int) -> list[Form]:
        """Returns the forms that a value is read in, in the order of its readers; nobody may read it at all."""
        return list(self._of.get(value, ()))

    def kept(self, value: int) -> list[Form]:
        """Returns the forms of whole arrays that a value is read from."""
        return list(dict.fromkeys(form.kept for form in self._of.get(value, ())))

    def ready(self, read: Read) -> bool:
        """Says whether a modulated value is written so by its producer, rather than modulated when it is read."""
        mod = read.mod
        if not mod or read.value not in self._written:
            return False
        first, of = self._position[read.value], self._regions.of
        known = all(self._position.get(v, -1) < first for v in (mod.gamma, mod.beta))
        # They must be recomputed at the same pixels: where tiles end, a dense modulation has moved, the value has not.
        together = all(of[v] in (of[read.value], Region.FIXED) for v in (mod.gamma, mod.beta))
        return known and together and is_written_modulated(self._graph, read.norm, read.resample)

    def _forms(self, read: Read) -> Iterator[tuple[int, Form]]:
        yield read.value, RAW if read.mod and not self.ready(read) else Form.of(read)
        if read.mod:
            yield read.mod.gamma, RAW
            yield read.mod.beta, RAW
