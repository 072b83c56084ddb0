"""The tiny autoencoders TAESD and TAEF2: their authors' two files, a half each, and diffusers' AutoencoderTiny."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sige_mlx.converters.families.family import (
    Family,
    Layout,
    Read,
    Shape,
    Shapes,
    Source,
    dimension,
    parameter_shapes,
    whole,
)
from sige_mlx.models.taesd import FACTOR, TinyAutoencoder, TinyAutoencoderConfig

_MOST = 1 << 16
_CLAMP = 3.0
"""What latents are brought into, on both sides of 0; ours are a third of them."""

_FIRST, _LAST = "decoder.layers.0.weight", ("encoder.layers.14.weight", "encoder.layers.14.bias")


@dataclass(frozen=True)
class Scaled(Source):
    """A tensor times a number."""

    factor: float = 1.0

    def build(self, read: Read) -> np.ndarray:
        return np.asarray(super().build(read), np.float32) * np.float32(self.factor)


def infer(shapes: Shapes, image_size: int | None) -> tuple[TinyAutoencoderConfig, tuple[str, ...]] | None:
    """Configuration of the network with tensors `shapes`; None if they are not a network's of this family."""
    width = dimension(shapes, 0, ["encoder.layers.0.weight", "encoder.0.weight"])
    latents = dimension(shapes, 0, ["encoder.layers.14.weight", "encoder.14.weight"])
    if not 1 <= width <= _MOST or not 1 <= latents <= _MOST:
        return None
    side = image_size or TinyAutoencoderConfig.image_size[0]
    pooled = any(".pool." in name for name in shapes)
    return TinyAutoencoderConfig((-(-side // FACTOR) * FACTOR,) * 2, latents, width, pooled), ()


def layouts(config: TinyAutoencoderConfig) -> tuple[Layout, ...]:
    """Our parameters from diffusers' layout, whose names they have, and from the authors', where the decoder's layers
    are counted with the clamp before them."""
    shapes = parameter_shapes(TinyAutoencoder(config))
    theirs = {name: _source(name, name, shape) for name, shape in shapes.items()}
    return Layout(theirs), Layout({name: _source(name, _by_authors(name), shape) for name, shape in shapes.items()})


def _by_authors(name: str) -> str:
    half, _, index, rest = name.split(".", 3)
    return f"{half}.{int(index) + (half == 'decoder')}.{rest}"


def _source(ours: str, name: str, shape: Shape) -> Source:
    if ours in _LAST:
        return Scaled(whole(name, shape).rows, 1 / _CLAMP)
    return Scaled(whole(name, shape).rows, _CLAMP) if ours == _FIRST else whole(name, shape)


FAMILY = Family("taesd", infer, layouts)
