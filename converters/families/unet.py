"""What the tensors of a diffusion family's U-Net tell, whichever family it is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sige_mlx.converters.families.family import Shapes, Source, dimension, joined
from sige_mlx.errors import SigeError
from sige_mlx.models.unet import GROUPS

MAX_CHANNELS = 1 << 16
_MAX_LEVELS = 16
_HEAD_DIM = 64  # of published networks with more heads than one
_BOTTOM_SIZE = 8  # of the lowest level in most published networks


@dataclass(frozen=True)
class UNetShape:
    """Fields of a configuration; `attention` are the levels that have it, by their distance from the image's."""

    ch: int
    ch_mult: tuple[int, ...]
    num_res_blocks: int
    in_ch: int
    out_ch: int
    attention: tuple[int, ...]

    def heads(self) -> tuple[int, tuple[str, ...]]:
        """Channels of an attention head, and a remark: no tensor tells. They are as many as in published networks, if
        that divides every width over which the network attends: those of levels with attention, and the bottom's."""
        head_dim = math.gcd(_HEAD_DIM, *(self.ch * self.ch_mult[level] for level in (*self.attention, -1)))
        return head_dim, (f"no tensor tells the width of an attention head: {head_dim} assumed",)

    def at(self, image_size: int | None, attention_size: int) -> tuple[dict[str, Any], tuple[str, ...]]:
        """Fields of a configuration for images of a size, and remarks. The size is in no tensor: unless given, the
        first attention is taken to be at `attention_size`, without any the bottom to be 8 x 8. Raises `SigeError` for
        a size that the network cannot halve often enough."""
        remarks: tuple[str, ...] = ()
        multiple = 1 << (len(self.ch_mult) - 1)
        if image_size is None:
            image_size = attention_size << self.attention[0] if self.attention else _BOTTOM_SIZE * multiple
            remarks = (f"no tensor tells the image size: {image_size} x {image_size} assumed",)
        elif image_size <= 0 or image_size % multiple:
            raise SigeError(f"image size {image_size} is no multiple of {multiple}, which its levels need")
        fields = {name: value for name, value in asdict(self).items() if name != "attention"}
        return fields | {
            "image_size": image_size,
            "attn_resolutions": tuple(image_size >> level for level in self.attention),
        }, remarks


def unet_shape(shapes: Shapes) -> UNetShape | None:
    """The U-Net with tensors `shapes`, some of which may be missing; None if they are no U-Net's."""
    ch = width(shapes, "conv_in", "down.0.block.0.norm1")
    block = ("conv1", "norm2", "conv2")
    widths = _run(shapes, [f"down.{{}}.block.0.{layer}" for layer in block])
    blocks = len(_run(shapes, [f"down.0.block.{{}}.{layer}" for layer in block]))
    if not ch or ch % GROUPS or any(w % ch for w in widths) or not 0 < len(widths) <= _MAX_LEVELS:
        return None
    in_ch = (shapes.get("conv_in.weight", ())[1:2] or (3,))[0]
    out_ch = width(shapes, "conv_out") or in_ch
    if not all(0 < n <= MAX_CHANNELS for n in (*widths, in_ch, out_ch)):
        return None
    # One tensor promises a block; a file with too few for blocks of eight or ten each must not make us build them.
    if len(widths) * blocks * 8 > len(shapes):
        return None
    attention = (i for i in range(len(widths)) if any(name.startswith(f"down.{i}.attn.") for name in shapes))
    return UNetShape(ch, tuple(w // ch for w in widths), blocks, in_ch, out_ch, tuple(attention))


def width(shapes: Shapes, *layers: str) -> int:
    """The first dimension that most weights and biases of `layers` agree on; 0 if there are none."""
    return dimension(shapes, 0, (f"{layer}.{leaf}" for layer in layers for leaf in ("weight", "bias")))


def joined_qkv(shapes: Shapes) -> dict[str, Source]:
    """Attention whose `q`, `k` and `v` a checkpoint keeps in one convolution `qkv`, all of q before all of k."""
    sources: dict[str, Source] = {}
    for name in shapes:
        block, is_query, leaf = name.rpartition(".q.")
        if is_query:
            sources |= joined(f"{block}.qkv.{leaf}", {(n := f"{block}.{x}.{leaf}"): shapes[n] for x in "qkv"})
    return sources


def _run(shapes: Shapes, layers: Sequence[str]) -> list[int]:
    """Widths of the stages numbered 0, 1, 2 … as far as they go; `layers` has a field {} for the number."""
    widths: list[int] = []
    while found := width(shapes, *(layer.format(len(widths)) for layer in layers)):
        widths.append(found)
    return widths
