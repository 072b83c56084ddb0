"""What MLX runs for a dense pass on the GPU, told by `mx.export_function`: it runs nothing."""

from dataclasses import dataclass
from math import prod
from typing import Any

import mlx.core as mx

from sige_mlx import zoo
from sige_mlx.benchmark.workload import workload
from sige_mlx.engine.gpu.launch import Dispatch, Launch, use

VIEWS = {"Broadcast", "ExpandDims", "Flatten", "Reshape", "Slice", "Split", "Squeeze", "Transpose", "Unflatten"}
"""Operations that move nothing where their input is contiguous."""


@dataclass(frozen=True)
class Traffic:
    """Operations of a pass that move numbers, and the bytes of their inputs and outputs."""

    model: str
    operations: int
    nbytes: int


class Exporting:
    """MLX's kernels where there is no Metal: `mx.export_function` takes them, if MLX does not keep them compiled."""

    identity: str | None = None
    unfit: str | None = None

    def __init__(self) -> None:
        self.dispatches: list[Dispatch] | None = None
        self.lazy = False

    def run(self, launch: Launch) -> list[mx.array]:
        outputs: list[mx.array] = launch.compiled()(**launch.arguments())
        return outputs


def dense_traffic(model: str) -> Traffic:
    """The dense pass of a named model in float16, batch 1. Weights are constants of the pass and are counted where they
    are read."""
    with use(Exporting):
        engine = zoo.random(model).engine("gpu")
    inputs = workload(engine).original
    told: list[dict[str, Any]] = []
    mx.export_function(told.append, engine, **inputs)  # type: ignore[arg-type]
    operations, moved = 0, 0
    for one in told:
        if one.get("type") == "primitive" and one["name"] not in VIEWS:
            operations += 1
            moved += sum(prod(shape) * dtype.size for of in ("inputs", "outputs") for _, shape, dtype in one[of])
    return Traffic(model, operations, moved)
