"""The U-Net of DDPM and DDIM: the original checkpoints' layout, `church256-ddpm-fused_unet.pth`'s, and diffusers'."""

from __future__ import annotations

import re

from sige_mlx.converters.families import diffusers
from sige_mlx.converters.families.family import Family, Layout, Shapes, Source, joined, parameter_shapes, whole
from sige_mlx.converters.families.unet import joined_qkv, unet_shape
from sige_mlx.models.ddpm import DDPMConfig, DDPMUNet

_ATTENTION_SIZE = 16  # every published network of the family has its first attention at 16 x 16


def infer(shapes: Shapes, image_size: int | None) -> tuple[DDPMConfig, tuple[str, ...]] | None:
    """Configuration of the network with tensors `shapes`; None if they are not a network's of this family."""
    shape = unet_shape(diffusers.by_our_names(shapes))
    if shape is None:
        return None
    fields, remarks = shape.at(image_size, _ATTENTION_SIZE)
    return DDPMConfig(**fields), remarks


def layouts(config: DDPMConfig) -> tuple[Layout, ...]:
    """Our parameters from the original layout, whose names they keep, from the fused one and from diffusers'."""
    shapes = parameter_shapes(DDPMUNet(config))
    original = {name: whole(name, shape) for name, shape in shapes.items()}
    fused = {**original, **joined_qkv(shapes), **_joined_temb_proj(shapes)}
    return Layout(original), Layout(fused), *diffusers.layouts(shapes)


def _joined_temb_proj(shapes: Shapes) -> dict[str, Source]:
    """The fused time embedding: the `temb_proj` of all blocks in one layer, in the order the blocks run."""
    fused: dict[str, Source] = {}
    for leaf in ("weight", "bias"):
        names = sorted((n for n in shapes if n.endswith(f".temb_proj.{leaf}")), key=_execution_order)
        fused |= joined(f"temb.dense.2.{leaf}", {name: shapes[name] for name in names})
    return fused


def _execution_order(name: str) -> tuple[int, int, int]:
    """Sorts the blocks' parameters as the network runs them: down the levels, the middle, up from the lowest level."""
    found = re.match(r"(down|mid|up)\.(?:(\d+)\.block\.|block_)(\d+)\.", name)
    assert found, name
    stage = ("down", "mid", "up").index(found[1])
    level = int(found[2] or 0)
    return stage, -level if found[1] == "up" else level, int(found[3])


FAMILY = Family("ddpm", infer, layouts)
