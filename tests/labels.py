"""Label maps as the networks read them, written down once more and as plainly as can be."""

from __future__ import annotations

import mlx.core as mx
import numpy as np


def one_hot(labels: np.ndarray, instances: np.ndarray | None = None, classes: int = 35) -> mx.array:
    """(H, W) to (1, H, W, classes), with `instances` one channel more: 1 where a 4-neighbour is another instance."""
    planes = [labels == k for k in range(classes)]
    if instances is not None:
        h, w = instances.shape
        padded = np.pad(instances, 1, mode="edge")
        neighbours = [padded[1 + dy : 1 + dy + h, 1 + dx : 1 + dx + w] for dy, dx in ((0, 1), (1, 0), (0, -1), (-1, 0))]
        planes.append(np.any([n != instances for n in neighbours], axis=0))
    return mx.array(np.stack(planes, -1)[None].astype(np.float32))
