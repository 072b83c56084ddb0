"""What is timed: inputs for any network of the package, and the process state they are timed in."""

from dataclasses import dataclass
from typing import Any

import mlx.core as mx
import numpy as np
import numpy.typing as npt

from sige_mlx import arguments, families, zoo
from sige_mlx.benchmark.scene import random_scene
from sige_mlx.editing.label_maps import encode
from sige_mlx.engine import Engine
from sige_mlx.masks.difference import Mask

Inputs = dict[str, mx.array]

MIDDLE = {"t": 500.0, "log_snr": 0.0}
"""A middle noise level, by the name of a network's input."""


def engine_for(
    model: str,
    device: str,
    threads: int = 0,
    random: bool = False,
    threshold: int | None = None,
    quality: str = "balanced",
) -> Engine:
    """The engine of a named model or a model folder; `random` weights need no checkpoint."""
    pretrained = zoo.random(model) if random else zoo.load(model)
    return pretrained.engine(device, pretrained.policy(threshold, quality=quality), threads=threads)


def random_image(config: Any, shape: tuple[int, ...], rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """What a network of this configuration reads: made-up scenes for one of label maps, else standard normal images."""
    if families.of(config).task != "labels":
        return rng.standard_normal(shape, np.float32)
    scenes = [random_scene((shape[1], shape[2]), config.input_nc, rng) for _ in range(shape[0])]
    return np.concatenate([encode(*scene, config) for scene in scenes])


@dataclass(frozen=True)
class Workload:
    """An original as the network sees it, another one, and edits of the first."""

    original: Inputs
    other: Inputs

    def edited(self, mask: Mask) -> Inputs:
        """The original with the other image under `mask`, bool (H, W)."""
        region = mx.array(mask)[None, ..., None]
        return {name: mx.where(region, self.other[name], x) if x.ndim == 4 else x for name, x in self.original.items()}


def workload(engine: Engine, seed: int = 0) -> Workload:
    """Seeded images at a middle noise level."""
    rng = np.random.default_rng(arguments.seed(seed))

    def draw() -> Inputs:
        graph = engine.lowered.graph
        shapes = {name: graph.nodes[index].shape for name, index in graph.inputs.items()}
        return {
            name: mx.array(random_image(engine.config, shape, rng)) if len(shape) == 4 else mx.full(shape, MIDDLE[name])
            for name, shape in shapes.items()
        }

    return Workload(draw(), draw())
