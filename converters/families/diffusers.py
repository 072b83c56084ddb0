"""Residual networks as diffusers names them, `diffusion_pytorch_model.safetensors` and `.bin`: the U-Net of DDPM, its
UNet2DModel, and the parts of which its autoencoders are made."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from sige_mlx.converters.families.family import Layout, Read, Shape, Shapes, Source, whole

DIALECT = "diffusers"
"""What the U-Net's layouts are called."""

Names = tuple[tuple[str, str], ...]  # ours, theirs

_BEGINNINGS: Names = (
    ("temb.dense.0.", "time_embedding.linear_1."),
    ("temb.dense.1.", "time_embedding.linear_2."),
    ("mid.block_1.", "mid_block.resnets.0."),
    ("mid.block_2.", "mid_block.resnets.1."),
    ("mid.attn_1.", "mid_block.attentions.0."),
    ("down.", "down_blocks."),
    ("up.", "up_blocks."),
    ("norm_out.", "conv_norm_out."),
)
_PARTS: Names = (
    (".block.", ".resnets."),
    (".attn.", ".attentions."),
    (".downsample.", ".downsamplers.0."),
    (".upsample.", ".upsamplers.0."),
    (".temb_proj.", ".time_emb_proj."),
    (".nin_shortcut.", ".conv_shortcut."),
    (".norm.", ".group_norm."),
)
ATTENTION: tuple[Names, ...] = (
    ((".q.", ".to_q."), (".k.", ".to_k."), (".v.", ".to_v."), (".proj_out.", ".to_out.0.")),
    ((".q.", ".query."), (".k.", ".key."), (".v.", ".value."), (".proj_out.", ".proj_attn.")),  # before 0.17
)
"""Both namings of attention's layers."""


@dataclass(frozen=True)
class Dense(Source):
    """The weight of a 1x1 convolution that the checkpoint keeps as a dense layer's (O, I), the one tensor of `rows`."""

    @property
    def built_shape(self) -> Shape:
        o, i = self.rows[0].shape
        return (o, 1, 1, i)

    def build(self, read: Read) -> np.ndarray:
        return read(self.rows[0].name)[:, None, None, :]


def layouts(shapes: Shapes) -> tuple[Layout, ...]:
    """The parameters `shapes`, by our names and as PyTorch has them, from either naming of attention's layers."""
    levels = 1 + max(int(name.split(".")[1]) for name in shapes if name.startswith("up."))
    return tuple(
        Layout({name: source(theirs(name, levels, attention), shape) for name, shape in shapes.items()}, {}, DIALECT)
        for attention in ATTENTION
    )


def is_theirs(names: Iterable[str]) -> bool:
    """Whether these are names of a network of diffusers, DDPM's or another."""
    return any("down_blocks." in name for name in names)


def by_our_names(shapes: Shapes) -> Shapes:
    """The tensors `shapes` of a UNet2DModel, some of which may be missing, by our names; others as they are."""
    levels = len({name.split(".")[1] for name in shapes if name.startswith(("down_blocks.", "up_blocks."))})
    return {_ours(name, levels): shape for name, shape in shapes.items()} if levels else shapes


def source(name: str, shape: Shape) -> Source:
    """The tensor of one of their names, for a parameter of ours that has this shape as PyTorch has it."""
    if name.endswith(tuple(other + "weight" for names in ATTENTION for _, other in names)):
        return Dense(whole(name, shape[:2]).rows)
    return whole(name, shape)


def theirs(name: str, levels: int, attention: Names) -> str:
    """Their name of a parameter of a network with so many levels."""
    for ours, theirs in _BEGINNINGS:
        if name.startswith(ours):
            name = theirs + name.removeprefix(ours)
            break
    for ours, theirs in (*_PARTS, *attention):
        name = name.replace(ours, theirs)
    return _turned("up_blocks.", name, levels)


def _ours(name: str, levels: int) -> str:
    for ours, theirs in _BEGINNINGS:
        if name.startswith(theirs):
            name = ours + name.removeprefix(theirs)
            break
    for ours, theirs in (*_PARTS, *(pair for attention in ATTENTION for pair in attention)):
        name = name.replace(theirs, ours)
    return _turned("up.", name, levels)


def _turned(beginning: str, name: str, levels: int) -> str:
    """The name with its level counted from the other end: there the first level up is the lowest."""
    found = re.match(re.escape(beginning) + r"(\d{1,3})\.", name)
    return f"{beginning}{levels - 1 - int(found[1])}.{name[found.end() :]}" if found else name
