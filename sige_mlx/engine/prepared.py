"""Edits that are made ready to run."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import mlx.core as mx

from sige_mlx.engine.executor import Executor
from sige_mlx.graph.lowered import Lowered
from sige_mlx.graph.policy import Statistics
from sige_mlx.graph.tiling import Tiling


@dataclass(frozen=True)
class PreparedEdit:
    """An edit made ready for an engine by `Engine.prepare`; it serves every recorded step."""

    lowered: Lowered
    tiling: Tiling
    macs: int
    """Multiply-accumulates of one step."""
    dense: bool
    """Whether it is the dense pass, for tiles would take no less time."""
    bound: Any
    """What the executor made of the tiles; None for an edit that is empty or dense, and for one that is a plan."""
    statistics: Statistics
    """Those that its norms take."""
    executor: Executor = field(repr=False)

    @cached_property
    def committing(self) -> Any:
        """What it makes of them for commits, once somebody commits."""
        return self.executor.bind_commit(self.tiling, self.statistics)

    def within(self, output: mx.array, record: Any) -> mx.array:
        """The output of a dense pass where the edit is wanted, and the recorded one elsewhere."""
        if self.lowered.policy.output == "everywhere":
            return output
        active = self.tiling.at((output.shape[1], output.shape[2])).pixels()
        if active.all():
            return output
        return mx.where(mx.array(active)[..., None], output, self.executor.output(record))
