"""What is judged: a model that edits by several methods, and other models that render the same edits densely."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sige_mlx import zoo
from sige_mlx.editing import EditSession, LabelSession, TranslationSession
from sige_mlx.editing.baselines import METHODS as BASELINES
from sige_mlx.editing.baselines import Session, baseline
from sige_mlx.editing.colour import Picture
from sige_mlx.editing.images import Source
from sige_mlx.editing.label_maps import Ids, colours
from sige_mlx.editing.labels import MapReader
from sige_mlx.engine import Engine
from sige_mlx.errors import SigeError
from sige_mlx.evaluation.cases import Case
from sige_mlx.evaluation.scenes import size_of
from sige_mlx.graph.policy import EditPolicy
from sige_mlx.masks.difference import Mask
from sige_mlx.pictures import Size, opened
from sige_mlx.zoo import Pretrained

DENSE, EDIT = "dense", "edit"
OF_QUALITY = "edit:"
"""What the method of an edit of another quality than the settings' begins with; the quality follows."""

SIZES = 2
"""Of pictures, for which engines are kept at a time."""

THIN = "thin:"
"""What the method of a narrower copy of a model begins with; its share of the channels follows."""


@dataclass(frozen=True)
class Made:
    """What a method made of an edit, and what that cost."""

    image: Picture
    macs: int
    seconds: float


@dataclass(frozen=True)
class Settings:
    """How models are run: those of the command line. `sampling` are a diffusion session's arguments."""

    device: str = "cpu"
    threads: int = 0
    tiles_from: int | None = None
    quality: str = "balanced"
    sampling: Mapping[str, Any] | None = None


class Subject:
    """A model, the methods by which its edits are judged, and the others that some of these are. Raises `SigeError` for
    a method that there is not, and for a model that does another task."""

    def __init__(self, pretrained: Pretrained, methods: Sequence[str], settings: Settings = Settings()):
        self.pretrained, self.settings = pretrained, settings
        self.methods = tuple(dict.fromkeys([DENSE, *methods]))
        own = [m for m in self.methods if m in (DENSE, EDIT, *BASELINES) or m.startswith(OF_QUALITY)]
        self.policies = {EDIT: self._policy(settings.quality)}
        """By the methods that compute edits: how."""
        self.policies |= {m: self._policy(m.removeprefix(OF_QUALITY)) for m in own if m.startswith(OF_QUALITY)}
        self.others = {method: self._other(method) for method in self.methods if method not in own}
        self._engines: dict[tuple[str, Size | None], Engine] = {}

    def _other(self, method: str) -> Pretrained:
        own = self.pretrained
        name = f"{own.name}-{method.removeprefix(THIN)}" if method.startswith(THIN) else method
        try:
            other = zoo.load(name)
        except SigeError as error:
            known = f"{DENSE}, {EDIT}, {OF_QUALITY}QUALITY, {', '.join(BASELINES)}"
            raise SigeError(f"the method {method!r} is none of {known}, nor a second model: {error}") from error
        if other.task != own.task:
            raise SigeError(f"{method} is for {other.task} and {own.name} for {own.task}: they render no edit alike")
        return other

    def _policy(self, quality: str) -> EditPolicy:
        return self.pretrained.policy(self.settings.tiles_from, quality=quality)

    def render(self, case: Case) -> tuple[Mask, dict[str, Made]]:
        """The mask (H, W) of an edit and what every method makes of it, the dense pass first. Raises `SigeError` for an
        edit of nothing, and for files that do not fit the model."""
        session = self._session(self.pretrained, case, EDIT)
        of_labels = isinstance(session, LabelSession)
        if (case.mask if of_labels else case.instances) is not None:
            told = "a mask, which is for pictures" if of_labels else "instances, which are for label maps"
            raise SigeError(f"{case.name} has {told}: leave that away")
        more = case.edited_instances if of_labels else case.mask
        mask = session.mask(case.edited, more)
        if not mask.any():
            raise SigeError(f"{case.name}: nothing is edited, so there is nothing to judge")
        made = {}
        for method in self.methods:
            if method == DENSE:
                dense = session.dense(case.edited, more)
                made[method] = Made(dense.image, session.engine.macs * session.steps, dense.seconds)
            elif method in self.policies:
                edits = session if method == EDIT else self._session(self.pretrained, case, method)
                result = edits.edit(case.edited, more)
                made[method] = Made(result.image, result.macs, result.seconds)
            elif method in BASELINES:
                part = baseline(session, method, case.edited, more)
                made[method] = Made(part.image, part.macs, part.seconds)
            else:
                other = self._session(self.others[method], case, method)
                dense = other.dense(case.edited, more)
                made[method] = Made(dense.image, other.engine.macs * other.steps, dense.seconds)
        return mask, made

    def maps(self, case: Case) -> Ids:
        """The class of each pixel of an edited label map (H, W)."""
        return self._maps(case)[1]

    def shown(self, case: Case) -> tuple[Picture, Picture]:
        """A case before and after the edit, as pictures; of label maps in their colours."""
        if self.pretrained.task == "labels":
            before, after = (colours(ids, self.pretrained.palette) for ids in self._maps(case))
            return before, after
        size = self._size(case) or size_of(self.pretrained)
        before, after = (Source.of(given, size).pixels for given in (case.original, case.edited))
        return before, after

    def _maps(self, case: Case) -> tuple[Ids, Ids]:
        """The classes before and after an edit."""
        reader = MapReader(self.pretrained.model.config, size_of(self.pretrained), self.pretrained.palette)
        before = reader.read(case.original, None)
        return before[0], reader.read(case.edited, None, before)[0]

    def _size(self, case: Case) -> Size | None:
        """Of a case's pictures (H, W), which a network that translates takes as they are."""
        if self.pretrained.task != "translation":
            return None
        read = opened(case.original, "the original").pixels
        return (read.shape[0], read.shape[1]) if isinstance(read, np.ndarray) else (read.height, read.width)

    def _session(self, of: Pretrained, case: Case, method: str) -> Session:
        engine = self._engine(of, self._size(case), method)
        if of.task == "labels":
            labels = MapReader(of.model.config, engine.image_size, of.palette).read(case.original, None)[0]
            return LabelSession(engine, labels, case.instances, palette=of.palette)
        original = Source.of(case.original, engine.image_size, "the original")
        if of.task == "translation":
            return TranslationSession(engine, original)
        return EditSession(engine, original, **(self.settings.sampling or {}))

    def _engine(self, of: Pretrained, size: Size | None, method: str) -> Engine:
        """Made once for each model and size of pictures; those for another size than the last few are given up, as
        each has the weights."""
        key = method, size
        if key not in self._engines:
            sizes = list(dict.fromkeys(of_size for _, of_size in self._engines))
            if size not in sizes and len(sizes) >= SIZES:
                self._engines = {kept: engine for kept, engine in self._engines.items() if kept[1] != sizes[0]}
            fitted = of if size is None else of.configured(image_size=size)
            policy = self.policies.get(method) or fitted.policy()
            self._engines[key] = fitted.engine(self.settings.device, policy, threads=self.settings.threads)
        return self._engines[key]
