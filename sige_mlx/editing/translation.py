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
from sige_mlx.editing.one_pass import OnePassSession
from sige_mlx.editing.recording import Progress
from sige_mlx.editing.result import DenseResult, EditResult
from sige_mlx.engine import Engine
from sige_mlx.errors import SigeError
from sige_mlx.pictures import ImageLike


class TranslationSession(OnePassSession[Source]):
    """A picture open for editing under a network that translates it.

    `original` is the path of a picture, a Pillow image or (H, W, 3) uint8, of the engine's size
    (`Pretrained.configured` makes a network for another). `eps` and `dilation` make the mask of an edit that brings
    none, as in an `EditSession`; both default to the model's. `history` is how many bytes undoing may keep. Raises
    `SigeError` for another size, and for a network that does more than read a picture and write one.
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
        words = "the original is {}, and both must have one size"
        self.reader = PictureReader(engine.policy, engine.image_size, eps, dilation, words)
        super().__init__(engine, self.reader.original(original), history)

    @property
    def source(self) -> Source:
        """The original with all that a file of it has."""
        return self.given

    @property
    def original(self) -> Picture:
        """As the network sees it: (H, W, 3), sRGB."""
        return self.given.pixels

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
        """
        painted = self.reader.read(self.source, edited, mask)
        result = self._edit(self._seen(painted), painted.region, progress, once)
        source = self.source.changed(result.image, np.ones_like(painted.region))
        self.pending = replace(result, source=source, notes=painted.notes)
        return self.pending

    def dense(
        self, edited: ImageLike | Source, mask: ImageLike | None = None, progress: Progress | None = None
    ) -> DenseResult:
        """The same translation with nothing reused: what `edit` is compared with. A norm takes its statistics of the
        whole picture, so even what was not edited comes out a little different."""
        return self._dense(self._seen(self.reader.read(self.source, edited, mask)), progress)

    def mask(self, edited: ImageLike | Source, mask: ImageLike | None = None) -> npt.NDArray[np.bool_]:
        """The region an edit would recompute: `mask` as drawn, else the dilated difference. Bool (H, W)."""
        return self.reader.read(self.source, edited, mask).region

    @property
    def _settings(self) -> dict[str, Any]:
        return {"eps": float(self.reader.eps), "dilation": int(self.reader.dilation)}

    @classmethod
    def _of(cls, engine: Engine, given: Source, settings: dict[str, Any], history: int | None) -> TranslationSession:
        return cls(engine, given, history=history, **settings)

    def _read(self, given: Source) -> Source:
        return self.reader.original(given)

    @staticmethod
    def _size(given: Source) -> int:
        return given.nbytes

    def _input(self, given: Source) -> mx.array:
        return to_model(given.pixels)

    def _seen(self, painted: Painted) -> Source:
        """What the network is to see: the picture that was painted into, and outside the region the original."""
        return self.source.changed(painted.source.pixels, painted.region, painted.source)


def _check_network(engine: Engine) -> None:
    graph = engine.lowered.graph
    read, written = (graph.nodes[i].shape[-1] for i in (graph.inputs["x"], graph.output))
    if (read, written) != (3, 3):
        raise SigeError(f"this network reads {read} channels and writes {written}: pictures need 3 and 3")
    if set(graph.inputs) != {"x"}:
        raise SigeError(f"this network takes {', '.join(graph.inputs)}: one that translates takes a picture alone")
