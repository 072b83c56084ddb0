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
    """Those of a sampler's `steps` on a picture `x0`, and on another one that is painted into it. Raises `SigeError`
    for a network that does not denoise."""

    def __init__(self, engine: Engine, steps: int, seed: int):
        self.engine = engine
        family = families.of(engine.config)
        if family.denoising is None:
            raise SigeError("this network makes a picture in one pass: measure one that denoises, in many")
        shape, rng = (1, *engine.image_size, engine.config.in_ch), np.random.default_rng(seed)
        # Even pictures: noise would be as large wherever it is.
        self.x0, self.other = (mx.array(random_image(engine.config, shape, rng)) * 0.5 for _ in range(2))
        self.denoising = family.denoising.of((engine.config.in_ch, engine.config.out_ch), None, steps, None)
        self.noise = mx.array(rng.standard_normal(shape, np.float32))

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self.denoising.levels)

    def inputs(self, i: int, x: mx.array) -> dict[str, Any]:
        """What the network reads in pass i, of an image."""
        return {"x": x, **self.denoising.condition(self.denoising.levels[i])}

    def noised(self, i: int, x0: mx.array) -> mx.array:
        """The image that pass i reads of a picture that stays as it is."""
        return self.denoising.noised(x0, self.denoising.levels[i], self.noise)

    def painted(self, x0: mx.array, mask: Mask) -> mx.array:
        """A picture with the other one under a mask."""
        return mx.where(mx.array(mask)[None, ..., None], self.other, x0)

    def edit(self, mask: Mask, *networks: Network) -> list[mx.array]:
        """The pictures that networks make of one that is painted under a mask. Every pass reads the painted picture as
        it is noised: random weights predict no noise, and what they make of what they made runs away, small differences
        with it. A sampler for each network adds up what its passes make."""
        region, painted = mx.array(mask)[None, ..., None], self.painted(self.x0, mask)
        xs = [self.noised(0, painted)] * len(networks)
        steps = [self.denoising.start(lambda timestep: self.noise) for _ in networks]
        for i in range(self.count):
            read = mx.where(region, self.noised(i, painted), self.noised(i, self.x0))
            xs = [step(i, x, network(i, read)) for step, x, network in zip(steps, xs, networks, strict=True)]
            mx.eval(xs)
        return xs
