"""What every engine is given: one network with one set of weights, one original, one edit of it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from sige_mlx import families, zoo
from sige_mlx.benchmark.blob import blob_mask
from sige_mlx.benchmark.workload import MIDDLE, random_image
from sige_mlx.converters.families import LAYOUTS
from sige_mlx.converters.families.family import Transposed
from sige_mlx.errors import SigeError
from sige_mlx.graph.policy import EditPolicy
from sige_mlx.masks.difference import Mask

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Call:
    """Something to time. `run` gives an NHWC image or nothing; `before` is not timed."""

    run: Callable[[], Floats | None]
    before: Callable[[], object] = lambda: None


Calls = Mapping[str, Call]
"""By name: "dense" (of the edited image), "record" (of the original), "prepare", "edit" …"""


TWINS = ("ddpm", "pd", "spade", "sub_mobile_spade", "resnet_generator")
"""Families with a PyTorch twin (`engines/torch.py`)."""


@dataclass(frozen=True)
class Task:
    """Reproducible from its fields alone, so that every process can make it."""

    model: str
    own_weights: bool
    percent: float
    seed: int
    threads: int
    sige: str | None = None
    threshold: int | None = None
    """The plane side from which on edits use tiles, ours and SIGE's; None is what each does by itself."""
    sige_threshold: int | None = None
    """SIGE's alone."""

    @cached_property
    def pretrained(self) -> zoo.Pretrained:
        """The network and its weights; raises `SigeError` for a family without a PyTorch twin, and for a threshold of
        one that has none."""
        pretrained = zoo.load(self.model) if self.own_weights else zoo.random(self.model, self.seed)
        if pretrained.family not in TWINS:
            raise SigeError(
                f"{self.model} is of the family {pretrained.family}: only {', '.join(TWINS)} have a PyTorch twin here"
            )
        for option, given in (("--threshold", self.threshold), ("--sige-threshold", self.sige_threshold)):
            if given is not None and pretrained.task != "denoising":
                raise SigeError(f"{self.model} counts the layers that are in tiles: {option} is for U-Nets")
        return pretrained

    @cached_property
    def config(self) -> Any:
        return self.pretrained.model.config

    @cached_property
    def policy(self) -> EditPolicy:
        """How our edits are computed."""
        return self.pretrained.policy(self.threshold)

    @cached_property
    def sige_policy(self) -> EditPolicy:
        """How SIGE's edits are computed, as far as it can be told: as they were released."""
        policy = families.of(self.config).released(self.config)
        threshold = self.sige_threshold or self.threshold
        return policy if threshold is None else replace(policy, tiles_from=threshold)

    @cached_property
    def mask(self) -> Mask:
        """Bool (H, W), dilated."""
        _, h, w, _ = self._shape
        return blob_mask((h, w), self.percent, self.policy.dilation, self.seed)

    @cached_property
    def original(self) -> Floats:
        """An image as the network reads it, (1, H, W, C)."""
        return self._image(0)

    @cached_property
    def edited(self) -> Floats:
        """The original with another image under the mask."""
        return np.where(self.mask[None, ..., None], self._image(1), self.original)

    @cached_property
    def conditions(self) -> dict[str, Floats]:
        """The other inputs: a middle noise level, for a network that is told one."""
        shapes = self.pretrained.model.inputs()
        return {name: np.full(shape, MIDDLE[name], np.float32) for name, shape in shapes.items() if len(shape) != 4}

    def state_dict(self, fused: bool = False) -> dict[str, npt.NDArray[Any]]:
        """The weights under the published names, in PyTorch's layout; `fused` as in the fused checkpoint, where the
        family has one."""
        family = next(family for family in LAYOUTS if family.name == self.pretrained.family)
        original, *others = family.layouts(self.config)
        layout = others[0] if fused and others else original
        state: dict[str, npt.NDArray[Any]] = {name: np.zeros(shape, np.int64) for name, shape in layout.unused.items()}
        for name, source in layout.sources.items():
            ours = np.asarray(self.pretrained.load(name), np.float32)
            if ours.ndim == 4:
                ours = ours.transpose((3, 0, 1, 2) if isinstance(source, Transposed) else (0, 3, 1, 2))
            for rows in source.rows:
                tensor = state.setdefault(rows.name, np.empty(rows.shape, np.float32))
                tensor[rows.start : rows.stop], ours = np.split(ours, [rows.stop - rows.start])
        return state

    @property
    def _shape(self) -> tuple[int, ...]:
        """Of the image that the network reads."""
        shape: tuple[int, ...] = self.pretrained.model.inputs()["x"]
        return shape

    def _image(self, which: int) -> Floats:
        return random_image(self.config, self._shape, np.random.default_rng([self.seed, which]))
