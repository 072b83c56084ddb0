"""The U-Net of DDPM and DDIM: the original checkpoints' layout, and that of `church256-ddpm-fused_unet.pth`."""

from __future__ import annotations

import re
from collections.abc import Sequence

from sige_mlx.converters.families.family import (
    Family,
    Layout,
    Shapes,
    Source,
    dimension,
    joined,
    parameter_shapes,
    whole,
)
from sige_mlx.errors import SigeError
from sige_mlx.models.ddpm import DDPMConfig, DDPMUNet

_ATTENTION_SIZE = 16  # every published network of the family has its first attention at 16 x 16
_BOTTOM_SIZE = 8  # of the lowest level in most of them
_GROUPS = 32  # of the group normalisations
_MAX_CHANNELS = 1 << 16
_MAX_LEVELS = 16


def infer(shapes: Shapes, image_size: int | None) -> tuple[DDPMConfig, tuple[str, ...]] | None:
    """Configuration of the network with tensors `shapes`; None if they are not a network's of this family.

    The image size is in no tensor: unless given, attention is taken to be at 16 x 16, else the bottom to be 8 x 8.
    Raises `SigeError` for an `image_size` the network cannot halve often enough.
    """
    ch = _width(shapes, "conv_in", "down.0.block.0.norm1")
    block = ("conv1", "norm2", "conv2")
    widths = _run(shapes, [f"down.{{}}.block.0.{layer}" for layer in block])
    blocks = len(_run(shapes, [f"down.0.block.{{}}.{layer}" for layer in block]))
    if not ch or ch % _GROUPS or any(w % ch for w in widths) or not 0 < len(widths) <= _MAX_LEVELS:
        return None
    in_ch = shapes.get("conv_in.weight", ())[1:2] or (3,)
    out_ch = _width(shapes, "conv_out") or in_ch[0]
    if not all(0 < n <= _MAX_CHANNELS for n in (*widths, *in_ch, out_ch)):
        return None
    # One tensor promises a block; a file with too few for blocks of eight or ten each must not make us build them.
    if len(widths) * blocks * 8 > len(shapes):
        return None
    attention = [i for i in range(len(widths)) if any(name.startswith(f"down.{i}.attn.") for name in shapes)]
    remarks: tuple[str, ...] = ()
    if image_size is None:
        image_size = _ATTENTION_SIZE << attention[0] if attention else _BOTTOM_SIZE << (len(widths) - 1)
        remarks = (f"no tensor tells the image size: {image_size} x {image_size} assumed",)
    elif image_size <= 0 or image_size % (1 << (len(widths) - 1)):
        raise SigeError(f"image size {image_size} is no multiple of {1 << (len(widths) - 1)}, which its levels need")
    config = DDPMConfig(
        image_size=image_size,
        ch=ch,
        ch_mult=tuple(w // ch for w in widths),
        num_res_blocks=blocks,
        attn_resolutions=tuple(image_size >> i for i in attention),
        in_ch=in_ch[0],
        out_ch=out_ch,
    )
    return config, remarks


def layouts(config: DDPMConfig) -> tuple[Layout, ...]:
    """Our parameters from the original layout, whose names they keep, and from the fused one."""
    shapes = parameter_shapes(DDPMUNet(config))
    original = {name: whole(name, shape) for name, shape in shapes.items()}
    return Layout(original), Layout({**original, **_joined_qkv(shapes), **_joined_temb_proj(shapes)})


def _width(shapes: Shapes, *layers: str) -> int:
    """The first dimension that most weights and biases of `layers` agree on; 0 if there are none."""
    return dimension(shapes, 0, (f"{layer}.{leaf}" for layer in layers for leaf in ("weight", "bias")))


def _run(shapes: Shapes, layers: Sequence[str]) -> list[int]:
    """Widths of the stages numbered 0, 1, 2 … as far as they go; `layers` has a field {} for the number."""
    widths: list[int] = []
    while width := _width(shapes, *(layer.format(len(widths)) for layer in layers)):
        widths.append(width)
    return widths


def _joined_qkv(shapes: Shapes) -> dict[str, Source]:
    """The fused attention: `q`, `k` and `v` in one convolution `qkv`."""
    fused: dict[str, Source] = {}
    for name in shapes:
        block, is_query, leaf = name.rpartition(".q.")
        if is_query:
            fused |= joined(f"{block}.qkv.{leaf}", {(n := f"{block}.{x}.{leaf}"): shapes[n] for x in "qkv"})
    return fused


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
