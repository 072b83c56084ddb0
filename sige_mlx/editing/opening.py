"""A model by name, and sessions of it: of the kind that it is for, and of networks without a size of their own by an
engine of the right one."""

from __future__ import annotations

import math
import os
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypedDict

from sige_mlx import zoo
from sige_mlx.arguments import real
from sige_mlx.editing.container import Container
from sige_mlx.editing.images import Source
from sige_mlx.editing.labels import LabelSession
from sige_mlx.editing.saved import PURPOSE, understood
from sige_mlx.editing.session import EditSession
from sige_mlx.editing.translation import TranslationSession
from sige_mlx.editing.windows import MOST, scales
from sige_mlx.engine import Engine
from sige_mlx.errors import SigeError
from sige_mlx.families import Task
from sige_mlx.graph.lowered import Lowered
from sige_mlx.label_classes import Palette
from sige_mlx.pictures import ImageLike, Size

if TYPE_CHECKING:
    from typing_extensions import Unpack

AnySession: TypeAlias = EditSession | LabelSession | TranslationSession

KINDS: dict[Task, type[AnySession]] = {
    "denoising": EditSession,
    "labels": LabelSession,
    "translation": TranslationSession,
}
"""The sessions of networks, by what these do."""


class Settings(TypedDict, total=False):
    """Of sessions: `eps` of those of pictures, `steps` to `fill` of diffusion models alone, `instances` and `palette`
    of label maps."""

    steps: int | None
    strength: float | None
    seed: int
    sampler: str | None
    fill: bool
    eps: float | None
    dilation: int | None
    history: int | None
    instances: ImageLike | None
    palette: Palette


class Model:
    """A network with its weights on a device, "cpu" or "gpu", for sessions of any pictures. `quality` ("fast",
    "balanced" or "exact") says how near edits are to the dense pass, `threshold` from which side of a plane on they are
    computed in tiles, if not the network's own; `threads` how many the CPU's engine has, 0 as many as there are
    processors. Raises `SigeError` for what there is not."""

    def __init__(
        self,
        pretrained: zoo.Pretrained,
        device: str = "cpu",
        *,
        quality: str = "balanced",
        threshold: int | None = None,
        threads: int = 0,
    ):
        self.pretrained, self.device, self._threads = pretrained, device, threads
        self._policy = pretrained.policy(threshold, quality=quality)

    @cached_property
    def engine(self) -> Engine:
        """An engine of the network's own size, which all sessions share that can."""
        return self._engine(self.pretrained)

    def session(
        self, original: ImageLike | Source, *, scale: float | None = None, **settings: Unpack[Settings]
    ) -> AnySession:
        """A session of a picture of any size, or of a label map for a network that reads those. Settings are those of
        the session: `EditSession`, `LabelSession` or `TranslationSession`. A network that translates, which has no size
        of its own, sees the picture at the smallest scale (1, 2, 3, 4, 6, …: so many pixels of the picture to one of
        the network's) of which a recording fits into memory, or at the `scale` that is given; for others see
        `EditSession.look`. Raises `SigeError` for what the network cannot edit.

            model = sige_mlx.load("blue-marble-128")
            session = model.session("sea.png", seed=1)
            result = session.edit("island.png")
            session.commit()

            coast = sige_mlx.load("blue-marble-labels-256").session("labels.png")
            result = coast.edit("labels-painted.png")
        """
        task, given = self._editing, dict[str, Any](settings)
        if task == "denoising":
            opened = EditSession(self.engine, original, **given)
            opened.look(scale=scale)
            return opened
        if task == "translation":
            source = Source.of(original, name="the original")
            return TranslationSession(self._fitted(source.size, scale), source, **given)
        if scale is not None:
            raise SigeError("a label map is seen whole, at the scale that this takes: leave the scale away")
        return LabelSession(self.engine, original, **{"palette": self.pretrained.palette, **given})  # type: ignore[arg-type]

    def open(self, path: str | os.PathLike[str], *, history: int | None = None) -> AnySession:
        """The session in a file that `save` wrote; `history` is how many bytes undoing may keep. Raises `SigeError` for
        a file of another model.

            model = sige_mlx.load("blue-marble-128")
            model.session("sea.png").save("sea.sige")
            session = model.open("sea.sige")
        """
        kind, engine = KINDS[self._editing], None
        if kind is TranslationSession:
            file = Container(path, PURPOSE)
            with understood(file):
                height, width = map(int, file.told["size"])
                whole, across, _ = file.array("given.pixels").shape
                most = fitted(Lowered.of(self.pretrained.model, self._policy), (whole, across))
                if height > most[0] or width > most[1]:
                    raise SigeError(f"{path} is damaged: its network would see more than its picture")
                engine = self._engine(self.pretrained.configured(image_size=(height, width)))
        opened: AnySession = kind.open(engine or self.engine, path, history=history)
        return opened

    @property
    def _editing(self) -> Task:
        """What the network does. Raises `SigeError` where it edits nothing by itself."""
        if self.pretrained.task not in KINDS:
            raise SigeError(f"{self.pretrained.name} turns pictures into latents and back: it edits none by itself")
        return self.pretrained.task

    def _engine(self, of: zoo.Pretrained) -> Engine:
        return of.engine(self.device, self._policy, threads=self._threads)

    def _fitted(self, picture: Size, scale: float | None) -> Engine:
        """An engine for a picture (H, W) that is seen whole, at a scale or the smallest that memory has room for."""
        of = self.pretrained
        lowered = Lowered.of(of.model, self._policy)
        if scale is not None:
            real(scale, "the scale", 1, MOST)
        for step in scales() if scale is None else (scale,):
            engine = self._engine(of.configured(image_size=fitted(lowered, picture, step)))
            recordings = engine.recordings
            if scale is not None or recordings.step_nbytes(engine.executor.codecs[-1]) <= recordings.limit:
                return engine
        raise AssertionError("scales grow without end")


def load(
    name: str | Path, device: str = "cpu", *, quality: str = "balanced", threshold: int | None = None, threads: int = 0
) -> Model:
    """A model by name (`sige-mlx models` lists them) or by the path of its folder, on `device` "cpu" or "gpu"; the
    settings are those of `Model`. Raises `SigeError` when there is none.

        model = sige_mlx.load("blue-marble-128")
        model = sige_mlx.load("blue-marble-128", quality="fast", threads=2)
    """
    return Model(zoo.load(name), device, quality=quality, threshold=threshold, threads=threads)


def fitted(lowered: Lowered, picture: Size, scale: float = 1) -> Size:
    """The least size of pictures that a network without a size of its own can read, of which a window of a scale shows
    a picture whole."""
    height, width = (math.ceil(side / scale / lowered.granularity) * lowered.granularity for side in picture)
    return max(height, lowered.least_side), max(width, lowered.least_side)
