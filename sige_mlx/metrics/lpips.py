"""Learned perceptual distances: LPIPS (Zhang et al. 2018) and, by its own name, ST-LPIPS (Ghildyal and Liu 2022)."""

from __future__ import annotations

from typing import Literal

import mlx.core as mx
import numpy as np
import numpy.typing as npt

from sige_mlx.errors import SigeError
from sige_mlx.metrics import weights
from sige_mlx.metrics.given import Batch, Masks, Pictures, Values, mask_of, masked_mean, pair
from sige_mlx.metrics.perceptual import PerceptualNetwork
from sige_mlx.metrics.resample import bilinear

Of = Literal["alex", "vgg"]

_TRUNKS = {"alex": "alexnet", "vgg": "vgg16"}
_RGB = 3


class Perceptual:
    """What the two have in common; `name` is what to call the numbers."""

    def __init__(self, network: PerceptualNetwork, name: str):
        self.network = network
        self.name = name

    def __call__(self, a: Pictures, b: Pictures, mask: Masks | None = None) -> Values:
        """How different each picture is from its counterpart, 0 for equal ones.

        Pictures are (H, W, 3), which gives a float, or (B, H, W, 3), which gives float64 (B,): RGB, uint8 or floats
        from 0 to 1. It is the sum over five layers of the mean over their planes. With a bool `mask`, (H, W) or
        (B, H, W), it is the mean over the mask of the `map`, as SIGE measures edited regions; with a mask of all pixels
        that is near the former and not equal to it, for the map enlarges the planes. Raises `SigeError` for shapes or
        types that do not fit, for pictures too small for the network, and for a mask with nothing in it.
        """
        first, second = self._checked(a, b)
        masks = mask_of(mask, first.planes, self.name)
        if masks is not None:
            return first.values(masked_mean(self._map(first, second), masks))
        planes = self.network(first.pixels, second.pixels)
        return first.values(sum((masked_mean(plane, None) for plane in planes), np.float64(0)))

    def map(self, a: Pictures, b: Pictures) -> npt.NDArray[np.float32]:
        """Where two pictures differ: (H, W) or (B, H, W), the sum over five layers of their planes, bilinearly enlarged
        to the pictures' size; the package lpips has it as `spatial=True`."""
        first, second = self._checked(a, b)
        found = np.array(self._map(first, second))
        return found[0] if first.single else found

    def _map(self, first: Batch, second: Batch) -> mx.array:
        size = first.planes[1:]
        planes = self.network(first.pixels, second.pixels)
        return mx.stack([bilinear(plane[..., None], size)[..., 0] for plane in planes]).sum(0)

    def _checked(self, a: Pictures, b: Pictures) -> tuple[Batch, Batch]:
        first, second = pair(a, b, self.name, _RGB)
        _, height, width = first.planes
        if min(height, width) < (least := self.network.backbone.least):
            raise SigeError(
                f"{self.name} takes pictures of {least}×{least} pixels or more, and this one is {width}×{height}"
                " (width × height)"
            )
        return first, second


class Lpips(Perceptual):
    """LPIPS, version 0.1, by the features of torchvision's AlexNet ("alex") or VGG16 ("vgg") and with the linear heads
    of its authors: the numbers of the package lpips. SIGE measures by AlexNet's.

    Its weights are two published files each, converted once with `sige-mlx convert`. Raises `SigeError`, which names
    the file and where its authors publish it, for one that is not on this machine.
    """

    def __init__(self, of: Of = "alex"):
        _check(of, "LPIPS")
        (backbone, _), (heads, _) = weights.load(_TRUNKS[of]), weights.load(f"lpips-{of}")
        super().__init__(PerceptualNetwork(backbone, heads), f"LPIPS ({of})")


class StLpips(Perceptual):
    """ST-LPIPS, by the blurred AlexNet ("alex") or VGG16 ("vgg") of its authors: the numbers of the package
    stlpips-pytorch with the variant "shift_tolerant". It is another measure than LPIPS, on a scale of its own.

    Its weights are in that package and are converted once with `sige-mlx convert`. Raises `SigeError`, which names the
    file and where its authors publish it, where they are not on this machine.
    """

    def __init__(self, of: Of = "alex"):
        _check(of, "ST-LPIPS")
        network, _ = weights.load(f"st-lpips-{of}")
        super().__init__(network, f"ST-LPIPS ({of})")


def _check(of: str, measure: str) -> None:
    if of not in _TRUNKS:
        raise SigeError(f"{measure} of {of!r}: it is of {' or '.join(_TRUNKS)}")
