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
        planes = self.network(first.pixels, second.pixels)
        return first.values(
            _summed(planes) if masks is None else masked_mean(_enlarged(planes, first.planes[1:]), masks)
        )

    def features(self, picture: Pictures) -> list[mx.array]:
        """What `between` compares of a picture (H, W, 3): they are the greater part of a call's work, and need be made
        once where a picture is compared with several. Raises `SigeError` as a call does."""
        return self.network.features(self._checked(picture, picture)[0].pixels)

    def between(self, a: list[mx.array], b: list[mx.array], mask: Masks) -> tuple[float, float]:
        """How different two pictures with these `features` are in a mask, bool (H, W) as the pictures are, and as a
        whole: the numbers of a call with the mask, and of one without."""
        planes = self.network.planes(a, b)
        shape = (1, *np.shape(mask))
        inside = masked_mean(_enlarged(planes, shape[1:]), mask_of(mask, shape, self.name))
        return float(inside[0]), float(_summed(planes)[0])

    def map(self, a: Pictures, b: Pictures) -> npt.NDArray[np.float32]:
        """Where two pictures differ: (H, W) or (B, H, W), the sum over five layers of their planes, bilinearly enlarged
        to the pictures' size; the package lpips has it as `spatial=True`."""
        first, second = self._checked(a, b)
        found = np.array(_enlarged(self.network(first.pixels, second.pixels), first.planes[1:]))
        return found[0] if first.single else found

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


def _summed(planes: list[mx.array]) -> npt.NDArray[np.float64]:
    """The sum of the means over the planes, for each picture."""
    return np.sum([masked_mean(plane, None) for plane in planes], 0)


def _enlarged(planes: list[mx.array], size: tuple[int, ...]) -> mx.array:
    """The sum (B, H, W) of the planes, each at the pictures' size."""
    height, width = size
    return mx.stack([bilinear(plane[..., None], (height, width))[..., 0] for plane in planes]).sum(0)


def _check(of: str, measure: str) -> None:
    if of not in _TRUNKS:
        raise SigeError(f"{measure} of {of!r}: it is of {' or '.join(_TRUNKS)}")
