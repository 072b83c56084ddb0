"""What every engine is given: one network with one set of weights, one original, one edit of it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from sige_mlx import zoo
from sige_mlx.benchmark.blob import blob_mask
from sige_mlx.benchmark.workload import TIMESTEP
from sige_mlx.converters.families import ddpm
from sige_mlx.errors import SigeError
from sige_mlx.masks.difference import Mask

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Call:
    """Something to time. `run` gives an NHWC image or nothing; `before` is not timed."""

    run: Callable[[], Floats | None]
    before: Callable[[], object] = lambda: None


Calls = Mapping[str, Call]
"""By name: "dense" (of the edited image), "record" (of the original), "prepare", "edit" …"""


@dataclass(frozen=True)
class Task:
    """Reproducible from its fields alone, so that every process can make it."""

    model: str
    own_weights: bool
    percent: float
    seed: int
    threads: int
    sige: str | None = None

    @cached_property
    def pretrained(self) -> zoo.Pretrained:
        """The network and its weights; raises `SigeError` for a family without a PyTorch twin."""
        pretrained = zoo.load(self.model) if self.own_weights else zoo.random(self.model, self.seed)
        if pretrained.family != ddpm.FAMILY.name:
            raise SigeError(
                f"{self.model} is of the family {pretrained.family}: only ddpm networks have a PyTorch twin here"
            )
        return pretrained

    @cached_property
    def config(self) -> Any:
        return self.pretrained.model.config

    @cached_property
    def mask(self) -> Mask:
        """Bool (H, W), dilated."""
        return blob_mask((self.config.image_size,) * 2, self.percent, self.config.mask_dilate_radius, self.seed)

    @cached_property
    def original(self) -> Floats:
        """Standard normal (1, H, W, C)."""
        return self._noise(0)

    @cached_property
    def edited(self) -> Floats:
        """The original with other noise under the mask."""
        return np.where(self.mask[None, ..., None], self._noise(1), self.original)

    @property
    def timestep(self) -> float:
        return TIMESTEP

    def state_dict(self, fused: bool = False) -> dict[str, Floats]:
        """The weights under the published names, in PyTorch's layout; `fused` as in the fused checkpoint."""
        original, joined = ddpm.layouts(self.config)
        state: dict[str, Floats] = {}
        for name, source in (joined if fused else original).sources.items():
            ours = np.asarray(self.pretrained.load(name), np.float32)
            ours = ours.transpose(0, 3, 1, 2) if ours.ndim == 4 else ours
            for rows in source.rows:
                tensor = state.setdefault(rows.name, np.empty(rows.shape, np.float32))
                tensor[rows.start : rows.stop], ours = np.split(ours, [rows.stop - rows.start])
        return state

    def _noise(self, which: int) -> Floats:
        side, channels = self.config.image_size, self.config.in_ch
        rng = np.random.default_rng([self.seed, which])
        return rng.standard_normal((1, side, side, channels), np.float32)
