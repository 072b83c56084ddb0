"""What a family of diffusion networks makes of an edit: how a picture is noised, what the network is told of the noise,
and how its output becomes a step."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar

import mlx.core as mx

from sige_mlx import samplers
from sige_mlx.arguments import real
from sige_mlx.errors import SigeError

Step = Callable[[int, mx.array, mx.array], mx.array]
"""From (step, x, the network's output) to the next x, at last the picture. It may remember the steps before."""

Draw = Callable[[int], mx.array]
"""Standard normal noise like x, by timestep: more steps or fewer draw the same where they meet."""


class Denoising(ABC):
    """The steps of an edit with one sampler. `levels` are the noise levels that the network is called at, the noisiest
    first; images are (1, H, W, C) in [-1, 1]."""

    STEPS: ClassVar[Mapping[str, int]]
    """The family's samplers, the default first, and how many steps each takes where nothing is said."""
    STRENGTH: ClassVar[float]
    HEADS: ClassVar[int]
    """Pictures in the network's output."""

    def __init__(self, sampler: str, strength: float, steps: int):
        self.sampler = sampler
        self.strength = strength
        self.levels = self._levels(steps)

    @abstractmethod
    def _levels(self, steps: int) -> Sequence[float]:
        """Those of so many steps. Raises `SigeError` for numbers out of range."""

    @classmethod
    def of(
        cls,
        channels: tuple[int, int],
        sampler: str | None = None,
        steps: int | None = None,
        strength: float | None = None,
    ) -> "Denoising":
        """The steps of an edit with a network that reads and writes so many channels; None stands for the family's
        default. Raises `SigeError` for a network of no pictures, a sampler of another family, and numbers out of
        range."""
        read, written = 3, 3 * cls.HEADS
        if channels != (read, written):
            given = f"this network reads {channels[0]} channels and writes {channels[1]}"
            raise SigeError(f"{given}: pictures need {read} and {written}")
        known = list(cls.STEPS)
        sampler = known[0] if sampler is None else sampler
        if sampler not in known:
            raise SigeError(f"sampler {sampler!r} is none of this network's: it must be one of {', '.join(known)}")
        strength = cls.STRENGTH if strength is None else strength
        return cls(sampler, strength, cls.usual_steps(sampler, strength) if steps is None else steps)

    def __str__(self) -> str:
        return f"{self.sampler}, {len(self.levels)} steps, strength {self.strength:g}"

    @classmethod
    def usual_steps(cls, sampler: str, strength: float) -> int:
        """How many steps a sampler takes from a strength on where nothing is said."""
        return cls.STEPS[sampler]

    @abstractmethod
    def noised(self, x0: mx.array, level: float, noise: mx.array) -> mx.array:
        """The image `x0` at a noise level."""

    @abstractmethod
    def condition(self, level: float) -> dict[str, mx.array]:
        """The network's inputs besides x."""

    @abstractmethod
    def start(self, draw: Draw) -> Step:
        """A run from the first level on."""


class DDPMDenoising(Denoising):
    """Levels are timesteps of 1000 on the linear schedule; `strength` is the one to start below, as a share of 1000."""

    STEPS: ClassVar[Mapping[str, int]] = {"ddim": 20, "ddpm": 20, "dpm-solver": 10}
    STRENGTH = 0.5
    HEADS = 1

    @classmethod
    def usual_steps(cls, sampler: str, strength: float) -> int:
        """The family's, or as many as a low strength has room for."""
        return min(cls.STEPS[sampler], samplers.most_steps(strength))

    def _levels(self, steps: int) -> Sequence[float]:
        self.schedule = samplers.alphas_cumprod(samplers.linear_betas())
        if self.sampler == "dpm-solver":
            self.timesteps = samplers.dpm_solver_timesteps(steps, self.schedule, self.strength)
        else:
            self.timesteps = samplers.timesteps(steps, self.strength)
        return self.timesteps

    def noised(self, x0: mx.array, level: float, noise: mx.array) -> mx.array:
        return samplers.q_sample(x0, int(level), noise, self.schedule)

    def condition(self, level: float) -> dict[str, mx.array]:
        return {"t": mx.array([float(level)])}

    def start(self, draw: Draw) -> Step:
        following = [*self.timesteps[1:], -1]
        previous: tuple[int, mx.array] | None = None

        def ddim(i: int, x: mx.array, eps: mx.array) -> mx.array:
            return samplers.ddim_step(x, eps, self.timesteps[i], following[i], self.schedule)

        def ddpm(i: int, x: mx.array, eps: mx.array) -> mx.array:
            return samplers.ddpm_step(x, eps, self.timesteps[i], following[i], self.schedule, draw(self.timesteps[i]))

        def dpm_solver(i: int, x: mx.array, eps: mx.array) -> mx.array:
            nonlocal previous
            t = self.timesteps[i]
            image = samplers.predicted_image(x, eps, t, self.schedule)
            stepped = samplers.dpm_solver_step(x, image, t, following[i], self.schedule, previous)
            previous = t, image
            return stepped

        return {"ddim": ddim, "ddpm": ddpm, "dpm-solver": dpm_solver}[self.sampler]


class PDDenoising(Denoising):
    """Levels are log signal-to-noise ratios on the cosine schedule; `strength` is the time to start from, of 0 to 1.

    The published networks were distilled to 8 steps, of which the default strength leaves 5: steps / strength should
    stay 8.
    """

    STEPS: ClassVar[Mapping[str, int]] = {"pd": 5}
    STRENGTH = 0.625
    HEADS = 2

    @classmethod
    def usual_steps(cls, sampler: str, strength: float) -> int:
        """As many as were distilled for the strength."""
        return max(1, round(cls.STEPS[sampler] * real(strength, "the strength", 0, 1, above=True) / cls.STRENGTH))

    def _levels(self, steps: int) -> Sequence[float]:
        return samplers.log_snrs(steps, self.strength)

    def noised(self, x0: mx.array, level: float, noise: mx.array) -> mx.array:
        return samplers.noised(x0, level, noise)

    def condition(self, level: float) -> dict[str, mx.array]:
        return {"log_snr": mx.array([level])}

    def start(self, draw: Draw) -> Step:
        following = [*self.levels[1:], math.inf]
        return lambda i, x, output: samplers.pd_step(x, output, self.levels[i], following[i])
