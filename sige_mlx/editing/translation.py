"""Editing the picture that a network translates into another (CycleGAN, pix2pix): record the network on the original
once, then recompute only what an edit of it changes."""

import mlx.core as mx
import numpy as np
import numpy.typing as npt

from sige_mlx.editing.images import Picture, picture, to_model
from sige_mlx.editing.one_pass import OnePassSession
from sige_mlx.editing.recording import Progress
from sige_mlx.editing.result import DenseResult, EditResult
from sige_mlx.editing.session import ImageLike, edited_region
from sige_mlx.engine import Engine
from sige_mlx.errors import SigeError


class TranslationSession(OnePassSession[Picture]):
    """A picture open for editing under a network that translates it.

    `original` is a Pillow image or (H, W, 3) uint8 of the engine's size (`Pretrained.configured` makes a network for
    another). `eps` and `dilation` make the mask of an edit that brings none, as in an `EditSession`; both default to
    the model's. Raises `SigeError` for another size, and for a network that does more than read a picture and write
    one.
    """

    def __init__(self, engine: Engine, original: ImageLike, *, eps: float | None = None, dilation: int | None = None):
        _check_network(engine)
        super().__init__(engine, picture(original, engine.image_size, "the original"))
        self.eps = engine.config.eps if eps is None else eps
        self.dilation = engine.config.mask_dilate_radius if dilation is None else dilation

    def edit(self, edited: ImageLike, mask: ImageLike | None = None, progress: Progress | None = None) -> EditResult:
        """The edited picture's translation, computed anew where the picture differs from the original or where `mask`
        (white is edited) says; all else is the original's translation.

        The result waits in `pending` until `commit` or `revert`. Raises `SigeError` for pictures or masks of another
        size.
        """
        return self._edit(*self._read(edited, mask), progress)

    def dense(self, edited: ImageLike, mask: ImageLike | None = None, progress: Progress | None = None) -> DenseResult:
        """The same translation with nothing reused: what `edit` is compared with. A norm takes its statistics of the
        whole picture, so even what was not edited comes out a little different."""
        return self._dense(self._read(edited, mask)[0], progress)

    def mask(self, edited: ImageLike, mask: ImageLike | None = None) -> npt.NDArray[np.bool_]:
        """The region an edit would recompute: `mask` as drawn, else the dilated difference. Bool (H, W)."""
        return self._read(edited, mask)[1]

    def _input(self, original: Picture) -> mx.array:
        return to_model(original)

    def _read(self, edited: ImageLike, mask: ImageLike | None) -> tuple[Picture, npt.NDArray[np.bool_]]:
        """The picture that the network is to see, which outside the region is the original, and the region."""
        pixels = picture(edited, self.engine.image_size, "the edited image")
        region = edited_region(self.original, pixels, mask, self.eps, self.dilation)
        return np.where(region[..., None], pixels, self.original), region


def _check_network(engine: Engine) -> None:
    graph = engine.lowered.graph
    read, written = (graph.nodes[i].shape[-1] for i in (graph.inputs["x"], graph.output))
    if (read, written) != (3, 3):
        raise SigeError(f"this network reads {read} channels and writes {written}: pictures need 3 and 3")
    if set(graph.inputs) != {"x"}:
        raise SigeError(f"this network takes {', '.join(graph.inputs)}: one that translates takes a picture alone")
