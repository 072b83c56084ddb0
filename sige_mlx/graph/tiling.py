"""This module finds the active tiles of an edit at every resolution of a network."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from sige_mlx.errors import SigeError
from sige_mlx.masks import active_tiles, mask_pyramid, tile_grid, tile_list

Size = tuple[int, int]


@dataclass(frozen=True)
class ActiveTiles:
    """`rows` int32 [N, 3] lists the tiles of one resolution (image, tile row, tile column); `grid` int32 [B, gh, gw]
    has the position of each tile in `rows`, or -1."""

    size: Size
    tile: int
    rows: npt.NDArray[np.int32]
    grid: npt.NDArray[np.int32]

    @classmethod
    def of(cls, size: Size, tile: int, active: npt.NDArray[np.bool_]) -> "ActiveTiles":
        """Returns those that are active, bool [B, gh, gw]."""
        return cls(size, tile, tile_list(active), tile_grid(active))

    def __len__(self) -> int:
        return len(self.rows)

    def pixels(self) -> npt.NDArray[np.bool_]:
        """Returns which pixels the tiles cover, bool [B, H, W]."""
        covered = np.repeat(np.repeat(self.grid >= 0, self.tile, axis=1), self.tile, axis=2)
        return covered[:, : self.size[0], : self.size[1]]


@dataclass(frozen=True)
class Tiling:
    """It has the active tiles of every resolution. `mask` bool [B, H, W] is the edit, dilated as its task asks."""

    mask: npt.NDArray[np.bool_]
    levels: Mapping[Size, ActiveTiles]

    def at(self, size: Size) -> ActiveTiles:
        """Returns the tiles of a plane whose size is one of the image's `halvings`."""
        return self.levels[size]

    @cached_property
    def counts(self) -> dict[Size, int]:
        """It counts the active tiles by the size of a plane."""
        return {size: len(level) for size, level in self.levels.items()}

    @property
    def edited(self) -> float:
        """The mask covers this share of the image, 0 to 1. It is the paper's measure of an edit."""
        return float(self.mask.mean()) if self.mask.size else 0.0

    @property
    def empty(self) -> bool:
        return not self.mask.any()


def halvings(size: Size) -> list[Size]:
    """Returns the sizes of planes whose tiles are known: the image's, halved and rounded up until a side is 1."""
    h, w = size
    sizes = [(h, w)]
    for _ in range(max(1, min(h, w)).bit_length() - 1):
        h, w = -(-h // 2), -(-w // 2)
        sizes.append((h, w))
    return sizes


def tiling(mask: npt.NDArray[np.bool_], batch: int = 1, tile: int = 4, dilation: int = 1) -> Tiling:
    """Returns the tiles of a mask [H, W], which is the same for the whole batch, or [B, H, W]. At every resolution a
    tile is active if a 3x3 convolution sees the mask from it (Li et al. 2022, section 3)."""
    if mask.ndim == 2:
        mask = np.broadcast_to(mask, (batch, *mask.shape))
    if mask.ndim != 3 or len(mask) != batch:
        raise SigeError(f"the mask is {mask.shape}: it must be (H, W), or ({batch}, H, W) for this batch")
    sizes = halvings((mask.shape[1], mask.shape[2]))
    levels = {}
    for size, level in zip(sizes, mask_pyramid(mask, len(sizes), dilation), strict=True):
        levels[size] = ActiveTiles.of(size, tile, active_tiles(level, tile))
    return Tiling(mask, levels)
