"""The U-Net of Dhariwal & Nichol 2021 without classes, as `lsun_bedroom.pt` and `256x256_diffusion_uncond.pt` have it.

Their blocks are numbered in the order in which they run, one number for a residual block and the attention behind it:
`input_blocks` go down and end a level with a block that halves the plane, `output_blocks` go up and double it within a
level's last one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from sige_mlx.converters.families.family import (
    Family,
    Layout,
    Read,
    Rows,
    Shape,
    Shapes,
    Source,
    dimension,
    parameter_shapes,
    whole,
)
from sige_mlx.converters.families.unet import MAX_CHANNELS, UNetShape
from sige_mlx.models.adm import ADMConfig, ADMUNet
from sige_mlx.models.unet import GROUPS

_ATTENTION_SIZE = 32  # every published network of the family has its first attention at 32 x 32
_BLOCK = {  # ours, theirs
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "temb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "nin_shortcut": "skip_connection",
}
_ALONE = {
    "temb.dense.0": "time_embed.0",
    "temb.dense.1": "time_embed.2",
    "conv_in": "input_blocks.0.0",
    "norm_out": "out.0",
    "conv_out": "out.2",
}
_DOUBLING = re.compile(r"output_blocks\.\d{1,4}\.[12]\.(?:in_layers|emb_layers|out_layers)\.")
_NUMBER = re.compile(r"output_blocks\.(\d{1,4})\.0\.")


@dataclass(frozen=True)
class Pointwise(Source):
    """The weight of a 1x1 convolution that the checkpoint keeps as one of a line of pixels: (O, I, 1)."""

    @property
    def built_shape(self) -> Shape:
        o, i, _ = super().built_shape
        return (o, 1, 1, i)

    def build(self, read: Read) -> np.ndarray:
        return super().build(read)[:, None, None, :, 0]


@dataclass(frozen=True)
class SinesFirst(Source):
    """The weight that reads an embedding of cosines, then sines, where ours has the sines first."""

    def build(self, read: Read) -> np.ndarray:
        cosines, sines = np.split(super().build(read), 2, axis=1)
        return np.concatenate([sines, cosines], axis=1)


def infer(shapes: Shapes, image_size: int | None) -> tuple[ADMConfig, tuple[str, ...]] | None:
    """Configuration of the network with tensors `shapes`; None if they are not a network's of this family."""
    shape = _shape(shapes)
    if shape is None:
        return None
    fields, size = shape.at(image_size, _ATTENTION_SIZE)
    head_dim, heads = shape.heads()
    return ADMConfig(**fields, head_dim=head_dim), (*size, *heads)


def layouts(config: ADMConfig) -> tuple[Layout, ...]:
    """Our parameters from the authors' layout: with variances behind the noise in the output, as they are published, or
    with the noise alone."""
    shapes = parameter_shapes(ADMUNet(config))
    return tuple(Layout({n: _source(n, s, config, heads) for n, s in shapes.items()}) for heads in (2, 1))


def _shape(shapes: Shapes) -> UNetShape | None:
    """What the tensors tell, some of which may be missing."""
    levels = 1 + len({name.split(".")[1] for name in shapes if _DOUBLING.match(name)})
    count = 1 + max((int(found[1]) for name in shapes if (found := _NUMBER.match(name))), default=-1)
    ch = dimension(shapes, 0, (f"input_blocks.0.0.{leaf}" for leaf in ("weight", "bias")))
    # One tensor promises a block; a file with too few for blocks of ten each must not make us build them.
    if not ch or ch % GROUPS or count % levels or not levels < count <= len(shapes) // 10:
        return None
    blocks = count // levels - 1
    first = [1 + level * (blocks + 1) for level in range(levels)]
    leaves = [f"{layer}.{leaf}" for layer in ("in_layers.2", "out_layers.3") for leaf in ("weight", "bias")]
    widths = [dimension(shapes, 0, (f"input_blocks.{i}.0.{leaf}" for leaf in leaves)) for i in first]
    attention = (i for i in range(levels) if any(name.startswith(f"input_blocks.{first[i]}.1.") for name in shapes))
    in_ch = dimension(shapes, 1, ("input_blocks.0.0.weight",)) or 3
    written = dimension(shapes, 0, ("out.2.weight", "out.2.bias")) or in_ch
    if not all(0 < n <= MAX_CHANNELS for n in (*widths, in_ch, written)) or any(width % ch for width in widths):
        return None
    out_ch = in_ch if written == 2 * in_ch else written
    return UNetShape(ch, tuple(width // ch for width in widths), blocks, in_ch, out_ch, tuple(attention))


def _source(name: str, shape: Shape, config: ADMConfig, heads: int) -> Source:
    """Where a parameter of ours, of this shape in PyTorch, is; the output has so many pictures."""
    layer, _, leaf = name.rpartition(".")
    if layer == "conv_out":
        rows = Rows(f"out.2.{leaf}", (heads * shape[0], *shape[1:]), 0, shape[0])
        return Source((rows,))
    if name == "temb.dense.0.weight":
        return SinesFirst(whole(f"{_ALONE[layer]}.{leaf}", shape).rows)
    above, _, part = layer.rpartition(".")
    if part not in ("q", "k", "v", "proj_out"):
        return whole(f"{_theirs(layer, config)}.{leaf}", shape)
    kind = Pointwise if leaf == "weight" else Source
    line = shape[:3] if leaf == "weight" else shape
    if part == "proj_out":
        return kind(whole(f"{_theirs(layer, config)}.{leaf}", line).rows)
    # Of each head q, then k, then v.
    qkv, d = f"{_theirs(above, config)}.qkv.{leaf}", config.head_dim
    starts = range("qkv".index(part) * d, 3 * shape[0], 3 * d)
    return kind(tuple(Rows(qkv, (3 * shape[0], *line[1:]), start, start + d) for start in starts))


def _theirs(layer: str, config: ADMConfig) -> str:
    """What a layer of ours, or a block of them, is called there."""
    if layer in _ALONE:
        return _ALONE[layer]
    stage, *rest = layer.split(".")
    if stage == "mid":
        place, inside = f"middle_block.{('block_1', 'attn_1', 'block_2').index(rest[0])}", rest[1:]
    else:
        level, kind, per_level = int(rest[0]), rest[1], config.num_res_blocks + 1
        resampling = kind in ("downsample", "upsample")
        block, inside = (config.num_res_blocks, rest[2:]) if resampling else (int(rest[2]), rest[3:])
        if stage == "down":
            place = f"input_blocks.{1 + level * per_level + block}.{int(kind == 'attn')}"
        else:
            attends = config.image_size >> level in config.attn_resolutions
            child = {"block": 0, "attn": 1, "upsample": 1 + attends}[kind]
            place = f"output_blocks.{(len(config.ch_mult) - 1 - level) * per_level + block}.{child}"
    return ".".join([place, *(_BLOCK.get(part, part) for part in inside)])


FAMILY = Family("adm", infer, layouts)
