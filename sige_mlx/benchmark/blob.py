"""Edits of a wanted size, for timing without a picture."""

import numpy as np

from sige_mlx import arguments
from sige_mlx.errors import SigeError
from sige_mlx.masks import dilate
from sige_mlx.masks.difference import Mask

WAVES = (2, 3, 4)  # lobes of the outline
DEPTH = 0.15  # of each, as a share of the radius


def blob_mask(size: tuple[int, int], percent: float, dilation: int = 0, seed: int = 0) -> Mask:
    """A lobed blob, dilated by `dilation` pixels as the mask of an edit is: bool (H, W).

    Of the blobs of one outline and centre, both drawn with `seed`, it is the one whose dilated mask covers the share of
    the plane nearest to `percent` %: `mask.mean()` tells how near. The smallest has one pixel before dilation. Raises
    `SigeError` unless 0 < percent ≤ 100.
    """
    if not 0 < percent <= 100:
        raise SigeError(f"an edit of {percent:g} % of the pixels was asked for: it must be above 0 and at most 100")
    seed = arguments.seed(seed)
    order = np.argsort(_distance(size, seed), axis=None, kind="stable")  # the blobs are its beginnings

    def grown(pixels: int) -> Mask:
        blob = np.zeros(size, np.bool_)
        blob.flat[order[:pixels]] = True
        return dilate(blob, dilation)

    wanted = percent / 100 * order.size
    low, high = 1, order.size
    while low < high:
        middle = (low + high) // 2
        low, high = (middle + 1, high) if grown(middle).sum() < wanted else (low, middle)
    above, below = grown(low), grown(max(low - 1, 1))
    return below if wanted - below.sum() < above.sum() - wanted else above


def _distance(size: tuple[int, int], seed: int) -> np.ndarray:
    """Each pixel's distance from the centre, in radii of the outline there; the centre is in the middle half."""
    rng = np.random.default_rng(seed)
    cy, cx = np.asarray(size) * (0.25 + 0.5 * rng.random(2))
    y, x = np.mgrid[: size[0], : size[1]]
    angle = np.arctan2(y - cy, x - cx)
    outline = 1 + sum(DEPTH * np.cos(n * angle + 2 * np.pi * rng.random()) for n in WAVES)
    distance: np.ndarray = np.hypot(y - cy, x - cx) / outline
    return distance
