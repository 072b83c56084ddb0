"""Tiles: the units in which an edit is recomputed. Output pixel (y, x) belongs to tile (y // tile, x // tile)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sige_mlx.errors import SigeError
from sige_mlx.masks.difference import Mask


def active_tiles(
    mask: Mask, tile: int = 4, *, kernel: int = 3, stride: int = 1, padding: tuple[int, int] = (1, 1)
) -> Mask:
    """Tiles of a convolution's output that can see the edit.

    `mask` [..., H, W] is the edit at the input's resolution; `padding` counts pixels (before, after), alike for rows
    and columns. The result is bool [..., gh, gw], gh = ⌈output height / tile⌉: true where the mask touches the input
    window of the tile, which is (tile - 1) · stride + kernel pixels high and begins `padding[0]` pixels before pixel
    tile · stride · row. So a 3×3 convolution's 4×4 tile has the window 6×6, or 9×9 with stride 2; a 1×1's has itself.
    """
    if tile < 1 or kernel < 1 or stride < 1 or min(padding) < 0:
        raise SigeError(
            f"tiles of {tile} pixels for kernel {kernel}, stride {stride}, padding {padding}: the first three must be"
            " at least 1, the last at least 0"
        )
    window, pitch = (tile - 1) * stride + kernel, tile * stride
    for _ in range(2):  # rows, then columns
        outputs = max((mask.shape[-2] + sum(padding) - kernel) // stride + 1, 0)
        mask = _touched_rows(mask, -(-outputs // tile), window, pitch, padding[0]).swapaxes(-1, -2)
    return mask


def tile_list(active: Mask) -> npt.NDArray[np.int32]:
    """Active tiles of a grid [gh, gw] or [B, gh, gw] as int32 [N, 3] rows (image, tile row, tile column), in order."""
    return np.argwhere(_batched(active)).astype(np.int32)


def tile_grid(active: Mask) -> npt.NDArray[np.int32]:
    """Position of each tile in `tile_list(active)`, or -1 for tiles that are not active: int32 [B, gh, gw]."""
    active = _batched(active)
    grid = np.full(active.shape, -1, np.int32)
    grid[active] = np.arange(np.count_nonzero(active), dtype=np.int32)
    return grid


def _batched(active: Mask) -> Mask:
    if active.ndim not in (2, 3):
        raise SigeError(f"the grid of tiles is {active.shape}: it must be (rows, columns) or (images, rows, columns)")
    return active if active.ndim == 3 else active[None]


def _touched_rows(mask: Mask, count: int, window: int, pitch: int, before: int) -> Mask:
    """[..., H, W] -> [..., count, W]: row i is the OR of `window` rows from i · pitch - before on."""
    *leading, height, width = mask.shape
    # Long enough for the mask too: outputs · stride + kernel > before + H, and window ≥ kernel.
    padded = np.zeros((*leading, count * pitch + window, width), np.bool_)
    padded[..., before : before + height, :] = mask
    touched = np.zeros((*leading, count, width), np.bool_)
    for offset in range(window):
        touched |= padded[..., offset : offset + count * pitch : pitch, :]
    return touched
