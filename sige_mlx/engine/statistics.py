"""Statistics of norms as records hold them: the moments of groups of channels, and the maps that these make.

A record holds, for every norm whose statistics edits take from it, `scale` and `shift` float32 (B, C), by which kernels
normalise; `moments` float64 (B, 2, G), the mean and the biased variance of each of G groups; and `gain` float64
(B, 2, C), what the norm does to a channel of mean 0 and variance 1: its weight and bias, those of a FiLM with them.
"""

import numpy as np
import numpy.typing as npt

Doubles = npt.NDArray[np.float64]
Floats = npt.NDArray[np.float32]


def affine(moments: Doubles, gain: Doubles, eps: float) -> tuple[Floats, Floats]:
    """Returns the scale and the shift, float32 (B, C), that a norm has with these moments."""
    width = gain.shape[2] // moments.shape[2]
    mean, variance = np.repeat(moments, width, axis=2).swapaxes(0, 1)
    scale = gain[:, 0] / np.sqrt(variance + eps)
    return scale.astype(np.float32), (gain[:, 1] - mean * scale).astype(np.float32)


def of_sums(sums: Doubles, pixels: int, groups: int) -> Doubles:
    """Returns the moments of groups of channels, from the sums of their values and of their squares, (B, 2, C), over so
    many pixels."""
    mean, square = _by_group(sums, pixels, groups)
    return np.stack([mean, np.maximum(square - mean**2, 0)], axis=1)


def moved(moments: Doubles, difference: Doubles, pixels: int) -> Doubles:
    """Returns the moments after the sums of the channels have changed by `difference`, (B, 2, C)."""
    mean, variance = moments.swapaxes(0, 1)
    by_mean, by_square = _by_group(difference, pixels, moments.shape[2])
    change = by_square - by_mean * (2 * mean + by_mean)  # of E[x²] - E[x]²
    return np.stack([mean + by_mean, np.maximum(variance + change, 0)], axis=1)


def estimated(moments: Doubles, before: Doubles, after: Doubles, eps: float) -> Doubles:
    """Returns moments after an edit that took the same moments of another pass from `before` to `after`: every mean
    moves by the difference, every variance by the ratio. `eps` is the norm's, below which a variance tells nothing."""
    mean, variance = moments.swapaxes(0, 1)
    by_mean, ratio = after[:, 0] - before[:, 0], (after[:, 1] + eps) / (before[:, 1] + eps)
    return np.stack([mean + by_mean, np.maximum((variance + eps) * ratio - eps, 0)], axis=1)


def _by_group(sums: Doubles, pixels: int, groups: int) -> Doubles:
    """Returns the means over the pixels and the channels of a group, first (2), then (B, G)."""
    b, _, c = sums.shape
    means: Doubles = sums.reshape(b, 2, groups, c // groups).sum(3).swapaxes(0, 1) / (pixels * (c // groups))
    return means
