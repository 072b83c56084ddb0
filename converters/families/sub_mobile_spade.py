"""GAN Compression's generator: `sub_mobile_spade-WIDTHS.pth`, and its fused variant."""

from __future__ import annotations

from collections import Counter

from sige_mlx.converters.families.family import Family, Layout, Shapes, parameter_shapes, whole
from sige_mlx.converters.families.spade import (
    MAX_CHANNELS,
    NORMS,
    batch_counts,
    infer_common,
    is_separable,
    joined_shared,
)
from sige_mlx.models.sub_mobile_spade import FACTORS, HIDDEN, SubMobileSPADEConfig, SubMobileSPADEGenerator


def infer(shapes: Shapes, image_size: int | None) -> tuple[SubMobileSPADEConfig, tuple[str, ...]] | None:
    """Configuration of the network with tensors `shapes`, its widths from their sizes; None if they are not a network's
    of this family. What no tensor tells is as in `spade.infer_common`."""
    common = infer_common(shapes, image_size)
    if common is None or not is_separable(shapes) or common[0]["num_upsampling_layers"] == "most":
        return None
    widths = [_width(shapes, {"fc.weight": FACTORS["head_0"], "fc.bias": FACTORS["head_0"]})]
    for block, factor in FACTORS.items():
        told = {f"{block}.conv_0.weight": factor, f"{block}.conv_0.bias": factor}
        told |= {f"{block}.{norm}.mlp_{part}.conv.0.bias": HIDDEN for norm in NORMS for part in ("gamma", "beta")}
        widths.append(_width(shapes, told))
    if not all(0 < width <= MAX_CHANNELS for width in widths):
        return None
    settings, remark = common
    return SubMobileSPADEConfig(**settings, config_str="_".join(map(str, widths))), (remark,)


def layouts(config: SubMobileSPADEConfig) -> tuple[Layout, ...]:
    """Our parameters from the published layout, whose names they keep, and from the fused one."""
    shapes = parameter_shapes(SubMobileSPADEGenerator(config))
    published = {name: whole(name, shape) for name, shape in shapes.items()}
    unused = batch_counts(shapes)
    return Layout(published, unused), Layout(published | joined_shared(shapes), unused)


def _width(shapes: Shapes, told: dict[str, int]) -> int:
    """The width that most of the tensors `told` agree on, each being so many times as long; 0 if none is there."""
    votes = Counter(shapes[name][0] // factor for name, factor in told.items() if shapes.get(name))
    return max(votes, key=votes.__getitem__, default=0)


FAMILY = Family("sub_mobile_spade", infer, layouts)
