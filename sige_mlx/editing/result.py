"""What an edit came to."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from sige_mlx.editing.colour import Picture
from sige_mlx.editing.images import Source
from sige_mlx.editing.windows import Window
from sige_mlx.engine import Engine, PreparedEdit
from sige_mlx.graph.tiling import ActiveTiles, Size

Way = Literal["tiles", "tokens", "dense pass"]
"""Only the tiles, or tokens, that an edit touches, or everything."""


class DenseResult(NamedTuple):
    """An edit for which nothing was reused."""

    image: Picture
    seconds: float


@dataclass(frozen=True)
class EditResult:
    """A picture and what it cost. MACs and seconds are for all steps together."""

    image: Picture
    """(H, W, 3) uint8; what the edit left alone is the original, exactly: every pixel outside `mask`, and of a label
    edit every pixel outside the active tiles."""
    mask: npt.NDArray[np.bool_]
    """(H, W): the edit, in the picture's own pixels."""
    levels: Mapping[Size, ActiveTiles]
    """The active tiles of the planes that the network computes in tiles; none where the way was the dense pass."""
    steps: int
    macs: int
    dense_macs: int
    seconds: float
    """Of choosing the tiles and of all steps, without what was recorded first."""
    dense_seconds: float | None
    """What as many dense steps take: the median time of recording one, times the steps. None when nothing was recorded,
    because the edit was empty."""
    source: Source | None = None
    """The picture with all that a file of it should keep; None where there is no more than `image`."""
    notes: tuple[str, ...] = ()
    """What a user should know of how the pictures were read, a sentence each."""
    recording_seconds: float = 0.0
    """Of recording what was missing, before the edit."""
    window: Window | None = None
    """What the network saw of the picture; None where no session says."""
    edit_macs: int | None = None
    """What the edit takes of an original that is recorded; None for what `macs` says."""

    @property
    def way(self) -> Way:
        """How the picture was computed."""
        return "tiles" if self.levels else "dense pass"

    @property
    def total_seconds(self) -> float:
        """Of recording and edit together."""
        return self.recording_seconds + self.seconds

    @property
    def picture(self) -> Image.Image:
        """The result as `save_image` should have it: in the original's colour profile, with its transparency, its EXIF
        data and its resolution, pixels that were not edited exactly as they were in the file."""
        return self.source.image if self.source else Image.fromarray(self.image)

    @property
    def tiles(self) -> dict[Size, tuple[int, int]]:
        """Active and all tiles by plane size."""
        return {size: (len(level), level.grid.size) for size, level in self.levels.items()}

    @property
    def edited(self) -> float:
        """Share of the pixels under the mask, 0 to 1."""
        return float(self.mask.mean())


def edit_result(
    engine: Engine,
    prepared: PreparedEdit,
    image: Picture,
    mask: npt.NDArray[np.bool_],
    steps: int,
    macs: int,
    seconds: float,
    dense_seconds: float | None,
    recording_seconds: float,
) -> EditResult:
    """The result of running a prepared edit for some steps, which took `macs` together."""
    levels = {} if prepared.dense else prepared.tiling.levels
    return EditResult(
        image=image,
        mask=mask,
        levels={size: levels[size] for size in prepared.lowered.planes if size in levels},
        steps=steps,
        macs=macs,
        dense_macs=engine.macs * steps,
        seconds=seconds,
        dense_seconds=dense_seconds,
        recording_seconds=recording_seconds,
    )


def result_of_dense(
    engine: Engine, planned: PreparedEdit, dense: DenseResult, mask: npt.NDArray[np.bool_], steps: int
) -> EditResult:
    """The same of an edit that was planned, and computed as dense passes because that was the cheapest way."""
    macs = engine.macs * steps
    return EditResult(
        image=dense.image,
        mask=mask,
        levels={},
        steps=steps,
        macs=macs,
        dense_macs=macs,
        seconds=dense.seconds,
        dense_seconds=dense.seconds,
        edit_macs=planned.macs * steps,
    )
