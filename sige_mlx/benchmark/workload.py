"""What is timed: inputs for any network of the package, and the process state they are timed in."""

from dataclasses import dataclass

import mlx.core as mx
import numpy as np

from sige_mlx import zoo
from sige_mlx.engine import Engine
from sige_mlx.masks.difference import Mask

Inputs = dict[str, mx.array]

TIMESTEP = 500.0


def engine_for(model: str, device: str, threads: int = 0, random: bool = False) -> Engine:
    """The engine of a named model or a model folder; `random` weights need no checkpoint."""
    return (zoo.random(model) if random else zoo.load(model)).engine(device, threads=threads)


@dataclass(frozen=True)
class Workload:
    """An original as the network sees it, noise, and edits of it."""

    original: Inputs
    other: Inputs

    def edited(self, mask: Mask) -> Inputs:
        """The original with other noise under `mask`, bool (H, W)."""
        region = mx.array(mask)[None, ..., None]
        return {name: mx.where(region, self.other[name], x) if x.ndim == 4 else x for name, x in self.original.items()}


def workload(engine: Engine, seed: int = 0) -> Workload:
    """Seeded standard normal images and a middle timestep."""
    rng = np.random.default_rng(seed)

    def draw() -> Inputs:
        graph = engine.plan.graph
        shapes = {name: graph.nodes[index].shape for name, index in graph.inputs.items()}
        return {
            name: mx.array(rng.standard_normal(shape, np.float32)) if len(shape) == 4 else mx.full(shape, TIMESTEP)
            for name, shape in shapes.items()
        }

    return Workload(draw(), draw())
