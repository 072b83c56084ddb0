"""Label maps of made-up scenes, for timing without a data set."""

import numpy as np

from sige_mlx.editing.label_maps import Ids

AREAS = 40


def random_scene(size: tuple[int, int], classes: int, rng: np.random.Generator) -> tuple[Ids, Ids]:
    """Labels and instances (H, W): areas around random points, each an object of a random class."""
    centres = rng.random((AREAS, 2)) * size
    y, x = np.mgrid[: size[0], : size[1]]
    distance = [np.hypot(y - cy, x - cx) for cy, cx in centres]
    areas = np.argmin(distance, axis=0).astype(np.int32)
    return rng.integers(0, classes, AREAS, np.int32)[areas], areas
