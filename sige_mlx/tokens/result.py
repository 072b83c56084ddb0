"""What an edit by tokens came to, and a picture as a session has it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from sige_mlx.editing.colour import Picture
from sige_mlx.editing.images import Source
from sige_mlx.editing.windows import Window
from sige_mlx.tokens.view import Latents


@dataclass(frozen=True)
class TokenResult:
    """A picture and what it cost; MACs are the transformer's, for all steps together."""

    source: Source
    mask: npt.NDArray[np.bool_]
    """(H, W): the edit, in the picture's own pixels. Outside it the picture is the original, exactly."""
    tokens: tuple[int, int]
    """Image tokens that were computed, and all that the model sees of the picture."""
    text_tokens: tuple[int, int]
    steps: int
    macs: int
    dense_macs: int
    seconds: float
    recording_seconds: float
    window: Window
    notes: tuple[str, ...] = ()

    @property
    def image(self) -> Picture:
        """(H, W, 3) uint8."""
        return self.source.pixels

    @property
    def picture(self) -> Image.Image:
        """As `save_image` should have it, see `EditResult`."""
        return self.source.image


class Original(NamedTuple):
    """A picture as a session has it: with the prompt that is recorded, and what a window made of it, if any."""

    source: Source
    prompt: str
    window: Window | None
    latents: Latents | None

    @property
    def nbytes(self) -> int:
        return self.source.nbytes + (self.latents.nbytes if self.latents else 0)
