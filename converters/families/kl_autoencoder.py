"""The autoencoder of latent diffusion: its authors' layout, and diffusers' AutoencoderKL and AutoencoderKLFlux2."""

from __future__ import annotations

from sige_mlx.converters.families import diffusers
from sige_mlx.converters.families.family import (
    Family,
    Layout,
    Rows,
    Shape,
    Shapes,
    Source,
    dimension,
    parameter_shapes,
    whole,
)
from sige_mlx.models.kl_autoencoder import KLAutoencoder, KLAutoencoderConfig
from sige_mlx.models.unet import GROUPS, MAX_BLOCKS

_HALVES = ("encoder", "decoder")
_BETWEEN = {"encoder.quant_conv.": "quant_conv.", "decoder.post_quant_conv.": "post_quant_conv."}
"""Ours, and both layouts' names."""

_MAX_LEVELS = 8
_COUNT = "bn.num_batches_tracked"


def infer(shapes: Shapes, image_size: int | None) -> tuple[KLAutoencoderConfig, tuple[str, ...]] | None:
    """Configuration of the network with tensors `shapes`; None if they are not a network's of this family."""
    levels, wide = 0, []
    while levels < _MAX_LEVELS:
        names = [
            f"encoder.{down}.{levels}.{block}.0.conv2.weight"
            for down, block in (("down", "block"), ("down_blocks", "resnets"))
        ]
        if not (width := dimension(shapes, 0, names)):
            break
        wide.append(width)
        levels += 1
    ch = dimension(shapes, 0, ["encoder.conv_in.weight"])
    latents = dimension(shapes, 1, ["decoder.conv_in.weight"])
    blocks = 0
    while any(f"encoder.{of}.{blocks}.conv1.weight" in shapes for of in ("down.0.block", "down_blocks.0.resnets")):
        blocks += 1
    if not wide or ch < 1 or ch % GROUPS or not latents or any(width % ch for width in wide):
        return None
    if not 1 <= blocks <= MAX_BLOCKS or max(wide) > 1 << 16 or latents > 1 << 16:
        return None
    factor = 2 ** (levels - 1)
    side = image_size or KLAutoencoderConfig.image_size[0]
    config = KLAutoencoderConfig(
        (-(-side // factor) * factor,) * 2,
        latents,
        ch,
        tuple(width // ch for width in wide),
        blocks,
        any(name in shapes for name in ("quant_conv.weight", "post_quant_conv.weight")),
        "bn.running_mean" in shapes,
    )
    return config, ()


def layouts(config: KLAutoencoderConfig) -> tuple[Layout, ...]:
    """Our parameters from the authors' layout, whose names they mostly keep, and from diffusers'."""
    shapes = parameter_shapes(KLAutoencoder(config))
    unused: Shapes = {_COUNT: ()} if config.patched else {}
    levels = len(config.ch_mult)
    ours = {name: _source(_joined(name), shape, name, config) for name, shape in shapes.items()}
    theirs = (
        {name: _source(_by_them(name, levels, names), shape, name, config) for name, shape in shapes.items()}
        for names in diffusers.ATTENTION
    )
    return Layout(ours, unused), *(Layout(sources, unused) for sources in theirs)


def _joined(name: str) -> str:
    for ours, plain in _BETWEEN.items():
        if name.startswith(ours):
            return plain + name.removeprefix(ours)
    return name


def _by_them(name: str, levels: int, attention: diffusers.Names) -> str:
    half, _, rest = (joined := _joined(name)).partition(".")
    return f"{half}.{diffusers.theirs(rest, levels, attention)}" if half in _HALVES else joined


def _source(name: str, shape: Shape, ours: str, config: KLAutoencoderConfig) -> Source:
    last = "encoder.quant_conv." if config.quantised else "encoder.conv_out."
    if ours.startswith(last):  # means, and behind them the logarithms of variances
        return Source((Rows(name, (2 * shape[0], *shape[1:]), 0, shape[0]),))
    return diffusers.source(name, shape) if len(shape) > 1 else whole(name, shape)


FAMILY = Family("kl_autoencoder", infer, layouts)
