"""The passes of a network that an edit of a made-up picture takes: what is recorded, and what is edited."""

from collections.abc import Callable
from typing import Any

import mlx.core as mx
import numpy as np

from sige_mlx import families
from sige_mlx.benchmark.workload import random_image
from sige_mlx.engine import Engine
from sige_mlx.errors import SigeError
from sige_mlx.masks.difference import Mask

Network = Callable[[int, mx.array], mx.array]
"""The output of pass i for an image."""


class Passes:
    """Those of a picture `x0`, and of another one that is painted into it: by a sampler's `steps`, or where a network
    makes pictures at once the only one."""

    def __init__(self, engine: Engine, steps: int, seed: int):
        self.engine = engine
        family, shape = families.of(engine.config), (1, *engine.image_size, _channels(engine))
        rng = np.random.default_rng(seed)
        # Even pictures: noise would be as large wherever it is.
        self.x0, self.other = (mx.array(random_image(engine.config, shape, rng)) * 0.5 for _ in range(2))
        self.denoising = None
        if family.denoising is not None:
            self.denoising = family.denoising.of((engine.config.in_ch, engine.config.out_ch), None, steps, None)
            self.noise = mx.array(rng.standard_normal(shape, np.float32))
        elif steps != 1:
            raise SigeError(f"this network makes a picture in 1 pass, not {steps}")

    @property
    def count(self) -> int:
        """How many there are."""
        return 1 if self.denoising is None else len(self.denoising.levels)

    def inputs(self, i: int, x: mx.array) -> dict[str, Any]:
        """What the network reads in pass i, of an image."""
        return {"x": x} if self.denoising is None else {"x": x, **self.denoising.condition(self.denoising.levels[i])}

    def noised(self, i: int, x0: mx.array) -> mx.array:
        """The image that pass i reads of a picture that stays as it is."""
        return x0 if self.denoising is None else self.denoising.noised(x0, self.denoising.levels[i], self.noise)

    def painted(self, x0: mx.array, mask: Mask) -> mx.array:
        """A picture with the other one under a mask."""
        return mx.where(mx.array(mask)[None, ..., None], self.other, x0)

    def edit(self, x0: mx.array, painted: mx.array, mask: Mask, *networks: Network) -> list[mx.array]:
        """The pictures that networks make of a painted one, each in a trajectory of its own, pass by pass together."""
        if self.denoising is None:
            return [network(0, painted) for network in networks]
        region = mx.array(mask)[None, ..., None]
        xs = [self.noised(0, painted)] * len(networks)
        steps = [self.denoising.start(lambda timestep: self.noise) for _ in networks]
        for i in range(self.count):
            outside = self.noised(i, x0)
            xs = [mx.where(region, x, outside) for x in xs]
            xs = [step(i, x, network(i, x)) for step, x, network in zip(steps, xs, networks, strict=True)]
            mx.eval(xs)
        return xs


def _channels(engine: Engine) -> int:
    graph = engine.lowered.graph
    return next(graph.nodes[i].shape[3] for i in graph.inputs.values() if len(graph.nodes[i].shape) == 4)
