"""Masks of an edit: what differs, at every resolution, and the tiles to recompute."""

from sige_mlx.masks.difference import difference_mask, dilate, mask_pyramid
from sige_mlx.masks.tiles import active_tiles, tile_grid, tile_list
from sige_mlx.masks.user import user_mask

__all__ = ["active_tiles", "difference_mask", "dilate", "mask_pyramid", "tile_grid", "tile_list", "user_mask"]
