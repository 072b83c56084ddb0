"""Editing the picture that a network translates into another (CycleGAN, pix2pix): record the network on the original
once, then recompute only what an edit of it changes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import mlx.core as mx
import numpy as np
import numpy.typing as npt

from sige_mlx.editing.colour import Picture
from sige_mlx.editing.edits import Painted, PictureReader
from sige_mlx.editing.images import Source, to_model
from sige_mlx.editing.of_pictures import OfPictures
from sige_mlx.editing.one_pass import OnePassSession
from sige_mlx.editing.recording import Progress
from sige_mlx.editing.result import DenseResult, EditResult
from sige_mlx.editing.windows import over
from sige_mlx.engine import Engine
from sige_mlx.errors import SigeError
from sige_mlx.masks import dilate
from sige_mlx.masks.difference import Mask
from sige_mlx.pictures import ImageLike


class TranslationSession(OnePassSession[Source], OfPictures):
    """A picture open for editing under a network that translates it.

    `original` is the path of a picture, a Pillow image or (H, W, 3) uint8, of any size. One of another size than the
    engine's is seen whole: mirrored beyond its borders where it is smaller, else at a scale, and then what the network
    changes of it is carried over to the picture, whose detail stays (`Pretrained.configured` makes a network for
    another size, `Model.session` the best one). `eps` and `dilation` make the mask of an edit that brings
    none, as in an `EditSession`; both default to the model's. `history` is how many bytes undoing may keep. Raises
    `SigeError` for a network that does more than read a picture and write one.

        session = sige_mlx.TranslationSession(engine, "sea.png")
        result = session.edit("island.png")
    """

    def __init__(
        self,
        engine: Engine,
        original: ImageLike | Source,
        *,
        eps: float | None = None,
        dilation: int | None = None,
        history: int | None = None,
    ):
        _check_network(engine)
        source = Source.of(original, name="the original")
        self.reader = PictureReader(engine.policy, source.size, eps, dilation)
        super().__init__(engine, source, over(source.size, engine.image_size), history)

    def edit(
        self,
        edited: ImageLike | Source,
        mask: ImageLike | None = None,
        progress: Progress | None = None,
        *,
        once: bool = False,
    ) -> EditResult:
        """The edited picture's translation, computed anew in the tiles that read where the picture differs from the
        original or where `mask` (white is edited) says; all else is the original's translation.

        The result waits in `pending` until `commit` or `revert`. Of an edit that is the only one, `once`, nothing is
        recorded where the dense pass is cheaper than that; then all of the picture is the edited one's translation.
        Raises `SigeError` for pictures or masks of another size, and for what is none.

            session = sige_mlx.TranslationSession(engine, "sea.png")
            sige_mlx.save_image(session.edit("island.png").picture, "translated.png")
        """
        painted = self.reader.read(self.source, edited, mask)
        region, whole = self._regions(painted)
        result = self._edit(self._with(painted, whole), region, whole, progress, once)
        source = self.source.changed(result.image, np.ones_like(whole))
        self.pending = replace(result, source=source, notes=painted.notes)
        return self.pending

    def dense(
        self, edited: ImageLike | Source, mask: ImageLike | None = None, progress: Progress | None = None
    ) -> DenseResult:
        """The same translation with nothing reused: what `edit` is compared with. A norm takes its statistics of the
        whole picture, so even what was not edited comes out a little different."""
        painted = self.reader.read(self.source, edited, mask)
        return self._dense(self._with(painted, self._regions(painted)[1]), progress)

    def mask(self, edited: ImageLike | Source, mask: ImageLike | None = None) -> npt.NDArray[np.bool_]:
        """The region an edit would recompute: `mask` as drawn, else the dilated difference. Bool (H, W)."""
        return self._regions(self.reader.read(self.source, edited, mask))[1]

    @property
    def _settings(self) -> dict[str, Any]:
        return {"eps": float(self.reader.eps), "dilation": int(self.reader.dilation)}

    @classmethod
    def _of(cls, engine: Engine, given: Source, settings: dict[str, Any], history: int | None) -> TranslationSession:
        return cls(engine, given, history=history, **settings)

    def _input(self, seen: Picture) -> mx.array:
        return to_model(seen)

    def _enlarged(self, given: Source, made: Picture) -> Picture:
        return self._window.carried(made, self._seen(given, self._window), given.pixels)

    def _regions(self, painted: Painted) -> tuple[Mask, Mask]:
        """What is rendered anew, in the network's pixels and in the picture's."""
        region = dilate(self._window.touched(painted.mask), painted.grow)
        return region, self._window.spread(region) if painted.grow else painted.mask

    def _with(self, painted: Painted, region: Mask) -> Source:
        """What the network is to see: the picture that was painted into, and outside the region the original."""
        return self.source.changed(painted.source.pixels, region, painted.source)


def _check_network(engine: Engine) -> None:
    graph = engine.lowered.graph
    read, written = (graph.nodes[i].shape[-1] for i in (graph.inputs["x"], graph.output))
    if (read, written) != (3, 3):
        raise SigeError(f"this network reads {read} channels and writes {written}: pictures need 3 and 3")
    if set(graph.inputs) != {"x"}:
        raise SigeError(f"this network takes {', '.join(graph.inputs)}: one that translates takes a picture alone")
