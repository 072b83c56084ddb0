"""The steps of a pass, which is all that a prediction asks of the GPU engine: what they compute and launch."""

from sige_mlx.engine.gpu.compiled import Compiled, Step
from sige_mlx.engine.gpu.sizes import Sizes
from sige_mlx.graph.lowered import Lowered
from sige_mlx.graph.tiling import Tiling
from sige_mlx.nn.precisions import PRECISIONS

PRECISION = "float16"
"""What values and weights are stored as."""


def dense(lowered: Lowered) -> list[Step]:
    """The steps of a dense pass."""
    return Compiled(lowered.dense, {}, PRECISIONS[PRECISION]).steps


def edit(lowered: Lowered, tiling: Tiling) -> list[Step]:
    """The steps of an edit."""
    return Sizes(lowered, PRECISIONS[PRECISION], program=lowered.edit_of(tiling)).steps(tiling)
