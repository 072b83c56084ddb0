"""What an edit by tokens came to, and a picture as a session has it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from sige_mlx.editing.images import Source
from sige_mlx.editing.result import EditResult, Way
from sige_mlx.editing.windows import Window
from sige_mlx.graph.tiling import ActiveTiles
from sige_mlx.masks.difference import Mask
from sige_mlx.tokens.active import ActiveTokens
from sige_mlx.tokens.view import Latents, View


@dataclass(frozen=True, kw_only=True)
class TokenResult(EditResult):
    """An edit's picture and what it cost; MACs are the transformer's, for all steps together. `levels` have one plane,
    of the tokens that the model sees of the picture, each a tile of its own; none where everything was computed."""

    source: Source
    window: Window
    tokens: tuple[int, int]
    """Image tokens that were computed, and all that the model sees of the picture."""
    text_tokens: tuple[int, int]

    @property
    def way(self) -> Way:
        return "tokens" if self.levels else "dense pass"


class Original(NamedTuple):
    """A picture as a session has it: with the prompt that is recorded, and what a window made of it, if any."""

    source: Source
    prompt: str
    window: Window | None
    latents: Latents | None

    @property
    def nbytes(self) -> int:
        return self.source.nbytes + (self.latents.nbytes if self.latents else 0)


def result_of(
    source: Source,
    region: Mask,
    active: ActiveTokens,
    view: View,
    steps: int,
    macs: int,
    start: float,
    recorded: float,
    notes: tuple[str, ...] = (),
) -> TokenResult:
    """What came of active tokens in a view, of what began at one time, and had recorded what was missing at another."""
    size, count = (view.plane.height, view.plane.width), view.plane.count
    dense_macs = view.pipeline.sizes.macs(active, recorded=False) * steps
    touched = np.zeros(count, np.bool_)
    touched[active.image[active.image < count]] = True
    return TokenResult(
        image=source.pixels,
        mask=region,
        levels={size: ActiveTiles.of(size, 1, touched.reshape(1, *size))} if macs < dense_macs else {},
        steps=steps,
        macs=macs,
        dense_macs=dense_macs,
        seconds=time.perf_counter() - recorded,
        dense_seconds=None,
        source=source,
        notes=notes,
        recording_seconds=recorded - start,
        window=view.window,
        tokens=(int(touched.sum()), count),
        text_tokens=(int(active.text.size), active.text_count),
    )
