"""What a network made of a canvas, and what it was to be made with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypedDict

from sige_mlx.app.history import Packed
from sige_mlx.app.subjects import Part
from sige_mlx.editing.boxes import Box
from sige_mlx.editing.result import Way

MOST_TILES = 4096
"""Of which a page is told the places."""


class Figures(TypedDict):
    """What a render took, see `protocol`."""

    edited: float
    tiles: int
    all_tiles: int
    macs: int
    dense_macs: int
    ms: float
    engine_ms: float
    dense_ms: float | None
    recording_ms: float
    way: Way
    window: list[int] | None


@dataclass(frozen=True, eq=False)
class Found:
    """What a network made of the canvas."""

    seed: int | None
    part: Part | None
    """What accepting it puts into the original; None where that would not change."""
    box: Box | None
    """Where the result differs from that of the original; None for nowhere."""
    pixels: Packed | None
    """(H, W, 3) of it."""
    figures: Figures
    tiles: dict[str, Any] | None
    notes: tuple[str, ...] = ()

    @property
    def nbytes(self) -> int:
        """Bytes that it takes."""
        return sum(of.nbytes for of in (self.part, self.pixels) if of)

    @property
    def size(self) -> int:
        """Bytes that it takes when it is not compressed."""
        return sum(of.size for of in (self.part, self.pixels) if of)

    def squeeze(self) -> None:
        """Compresses what it keeps."""
        for of in (self.part, self.pixels):
            if of:
                of.squeeze()


@dataclass
class Settings:
    """What renders are made with. What is None a network has not."""

    model: str
    device: str
    quality: str | None = "balanced"
    seed: int | None = None
    strength: float | None = None
    steps: int | None = None
    scale: float | None = None
    prompt: str | None = None
