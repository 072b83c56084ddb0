"""The calls of a pass, which is all that a prediction asks of the GPU engine: what they compute and launch."""

from sige_mlx.engine.engine import PRECISIONS
from sige_mlx.engine.gpu.planned import PlannedCall, planned, planned_dense
from sige_mlx.graph.lowered import Lowered
from sige_mlx.graph.tiling import Tiling

__all__ = ["PRECISION", "PlannedCall", "dense", "edit"]

PRECISION = "float16"
"""What values and weights are stored as."""


def dense(lowered: Lowered) -> list[PlannedCall]:
    """Of a dense pass, which MLX's operations run."""
    return planned_dense(lowered, PRECISIONS[PRECISION])


def edit(lowered: Lowered, tiling: Tiling) -> list[PlannedCall]:
    """Of one step of an edit."""
    return planned(lowered, tiling, PRECISIONS[PRECISION])
