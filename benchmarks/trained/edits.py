"""Local edits as people make them: a blob of a photograph recoloured, or painted over."""

import colorsys

import numpy as np

from sige_mlx.benchmark.blob import blob_mask
from sige_mlx.editing.images import Picture
from sige_mlx.errors import SigeError

KINDS = {"recoloured": 0.5, "painted": 1.0}
"""How far the colours of an edit are moved to a flat one: half-way, texture and shading stay; all the way, a brush."""

SIZES = (1.2, 5.0, 15.0)
"""Edits in percent of the pixels, as in the paper."""


def edited(picture: Picture, kind: str, percent: float, seed: int) -> Picture:
    """The picture (H, W, 3) with a blob of `percent` % of its pixels moved to a vivid colour. The blob's outline and
    place and the colour are drawn with `seed`: of one seed, larger blobs hold the smaller ones. Raises `SigeError` for
    another kind of edit or an impossible size."""
    if kind not in KINDS:
        raise SigeError(f"there is no edit {kind!r}: choose {' or '.join(KINDS)}")
    blob = blob_mask(picture.shape[:2], percent, seed=seed)[..., None]
    colour = 255 * np.array(colorsys.hsv_to_rgb(np.random.default_rng(seed).random(), 0.8, 0.8))
    moved = np.rint(picture + KINDS[kind] * (colour - picture)).astype(np.uint8)
    return np.where(blob, moved, picture)
