"""GauGAN's generator: `spade.pth`, `fused_spade.pth`, and `latest_net_G.pth` of SPADE's own release. What it shares
with GAN Compression's (`sub_mobile_spade`) is here too."""

from __future__ import annotations

from typing import Any

from sige_mlx.converters.families.family import (
    Family,
    Layout,
    Shape,
    Shapes,
    Source,
    dimension,
    joined,
    parameter_shapes,
    split,
    whole,
)
from sige_mlx.models.spade import MIDDLE, SPADEConfig, SPADEGenerator

NORMS = ("norm_0", "norm_1", "norm_s")  # of a block, in the order in which the fused checkpoints join their layers
MAX_CHANNELS = 1 << 16

_DATASETS: dict[int, dict[str, Any]] = {
    36: {"input_nc": 35, "crop_size": 512, "aspect_ratio": 2.0, "num_upsampling_layers": "more"},  # Cityscapes
    184: {"input_nc": 183},  # COCO-Stuff
}
"""By channels of the input: the published networks that see instances."""

_SQUARE: dict[str, Any] = {"crop_size": 256, "aspect_ratio": 1.0, "num_upsampling_layers": "normal"}


def infer(shapes: Shapes, image_size: int | None) -> tuple[SPADEConfig, tuple[str, ...]] | None:
    """Configuration of the network with tensors `shapes`; None if they are not a network's of this family.

    Picture size, up-sampling and the meaning of the last input channel are in no tensor: those of the published network
    with as many channels are taken, with the width `image_size` if it is given.
    """
    if is_separable(shapes):
        return None
    common = infer_common(shapes, image_size)
    layers = ("fc", *(f"{block}.conv_{i}" for block in MIDDLE for i in (0, 1)))
    width = dimension(shapes, 0, (f"{layer}.bias" for layer in layers))
    scales = [name for name in shapes if name.endswith((".mlp_gamma.weight", ".mlp_gamma_beta.weight"))]
    nhidden = dimension(shapes, 1, scales)
    if common is None or width % 16 or not all(0 < n <= MAX_CHANNELS for n in (width, nhidden)):
        return None
    settings, remark = common
    return SPADEConfig(**settings, ngf=width // 16, nhidden=nhidden), (remark,)


def is_separable(shapes: Shapes) -> bool:
    """Whether scale and shift are computed by separable convolutions, as GAN Compression does."""
    return any(".mlp_gamma.conv." in name for name in shapes)


def infer_common(shapes: Shapes, image_size: int | None) -> tuple[dict[str, Any], str] | None:
    """The settings that all label-to-image networks have, and a remark on what is assumed; None for other networks."""
    first = [name for name in shapes if name == "fc.weight" or name.endswith(".mlp_shared.0.weight")]
    semantic_nc = dimension(shapes, 1, first)
    output_nc = dimension(shapes, 0, ("conv_img.weight", "conv_img.bias")) or 3
    if not all(0 < n <= MAX_CHANNELS for n in (semantic_nc, output_nc)):
        return None
    dataset = _DATASETS.get(semantic_nc)
    settings = {"input_nc": semantic_nc, "no_instance": dataset is None, "output_nc": output_nc, **_SQUARE}
    settings |= dataset or {}
    if any(name.startswith("up_4.") for name in shapes):
        settings["num_upsampling_layers"] = "most"
    if image_size is not None:
        settings["crop_size"] = image_size
    channels = "no instance edges" if settings["no_instance"] else "instance edges in the last"
    remark = (
        f"no tensor tells the picture's size, the up-sampling and what the input's {semantic_nc} channels mean: width"
        f" {settings['crop_size']}, width by height {settings['aspect_ratio']:g}, up-sampling"
        f" {settings['num_upsampling_layers']!r} and {channels} assumed"
    )
    return settings, remark


def layouts(config: SPADEConfig) -> tuple[Layout, ...]:
    """Our parameters from the published layout and from the fused one."""
    shapes = parameter_shapes(SPADEGenerator(config))
    published = {name: _scale_and_shift(name, s) if _is_joint(name) else whole(name, s) for name, s in shapes.items()}
    fused = {name: whole(name, shape) for name, shape in shapes.items()} | joined_shared(shapes)
    unused = batch_counts(shapes)
    return Layout(published, unused), Layout(fused, unused)


def joined_shared(shapes: Shapes) -> dict[str, Source]:
    """The fused layouts: the first layer of all SPADEs of a block in one convolution `mlp_shared`."""
    fused: dict[str, Source] = {}
    for name in shapes:
        block, is_first, leaf = name.rpartition(".norm_0.mlp_shared.0.")
        if is_first:
            names = (f"{block}.{norm}.mlp_shared.0.{leaf}" for norm in NORMS)
            fused |= joined(f"{block}.mlp_shared.0.{leaf}", {n: shapes[n] for n in names if n in shapes})
    return fused


def batch_counts(shapes: Shapes) -> dict[str, Shape]:
    """What batch normalisation counts in training, and nothing reads afterwards."""
    means = (name for name in shapes if name.endswith(".running_mean"))
    return {name.replace("running_mean", "num_batches_tracked"): () for name in means}


def _is_joint(name: str) -> bool:
    return ".mlp_gamma_beta." in name


def _scale_and_shift(name: str, shape: Shape) -> Source:
    half = (shape[0] // 2, *shape[1:])
    return split({name.replace("mlp_gamma_beta", part): half for part in ("mlp_gamma", "mlp_beta")})


FAMILY = Family("spade", infer, layouts)
