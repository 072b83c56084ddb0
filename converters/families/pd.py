"""The U-Net of Progressive Distillation, as in `church128-pd-unet.pth`."""

from __future__ import annotations

from sige_mlx.converters.families.family import Family, Layout, Shapes, dimension, parameter_shapes, whole
from sige_mlx.converters.families.unet import MAX_CHANNELS, joined_qkv, unet_shape, width
from sige_mlx.models.pd import PDConfig, PDUNet

_ATTENTION_SIZE = 32  # the networks of the paper have their first attention at 32 x 32


def infer(shapes: Shapes, image_size: int | None) -> tuple[PDConfig, tuple[str, ...]] | None:
    """Configuration of the network with tensors `shapes`; None if they are not a network's of this family."""
    shape = unet_shape(shapes)
    temb_ch = width(shapes, "temb.dense.0", "temb.dense.1") or dimension(
        shapes, 1, (name for name in shapes if name.endswith(".temb_proj.weight"))
    )
    if shape is None or not 0 < temb_ch <= MAX_CHANNELS:
        return None
    fields, remarks = shape.at(image_size, _ATTENTION_SIZE)
    head_dim, remark = shape.heads()
    fields |= {"out_ch": 2 * shape.in_ch, "temb_ch": temb_ch, "head_dim": head_dim}
    return PDConfig(**fields), (*remarks, *remark)


def layouts(config: PDConfig) -> tuple[Layout, ...]:
    """Our parameters, whose names are the checkpoint's but for its joined `qkv`."""
    shapes = parameter_shapes(PDUNet(config))
    return (Layout({name: whole(name, shape) for name, shape in shapes.items()} | joined_qkv(shapes)),)


FAMILY = Family("pd", infer, layouts)
