"""Small checkpoints of known networks, in PyTorch's layout."""

from __future__ import annotations

import numpy as np

from sige_mlx.converters.families.family import parameter_shapes
from sige_mlx.models.ddpm import DDPMConfig, DDPMUNet

Arrays = dict[str, np.ndarray]

SMALL = DDPMConfig(image_size=32, ch=32, ch_mult=(1, 2), num_res_blocks=1, attn_resolutions=(16,))


def ddpm(config: DDPMConfig = SMALL, seed: int = 0) -> Arrays:
    """A state dict of the published layout, with random values."""
    rng = np.random.default_rng(seed)
    shapes = parameter_shapes(DDPMUNet(config))
    return {name: rng.standard_normal(shape, np.float32) for name, shape in shapes.items()}


def fused_ddpm(arrays: Arrays) -> Arrays:
    """The fused layout of the same network: the rows of every q, k and v together, and those of every `temb_proj`.

    The time embedding's rows are in the order in which the network uses them: down, middle, up from the lowest level.
    """
    fused = {name: value for name, value in arrays.items() if ".temb_proj." not in name}
    for name in arrays:
        if ".q." in name:
            parts = [fused.pop(name.replace(".q.", f".{part}.")) for part in "qkv"]
            fused[name.replace(".q.", ".qkv.")] = np.concatenate(parts)
    levels = 1 + max(int(name.split(".")[1]) for name in arrays if name.startswith("down."))
    for leaf in ("weight", "bias"):
        rows = []
        for level in range(levels):
            rows += _numbered(arrays, f"down.{level}.block.{{}}.temb_proj.{leaf}")
        rows += [arrays[f"mid.block_{i}.temb_proj.{leaf}"] for i in (1, 2)]
        for level in reversed(range(levels)):
            rows += _numbered(arrays, f"up.{level}.block.{{}}.temb_proj.{leaf}")
        fused[f"temb.dense.2.{leaf}"] = np.concatenate(rows)
    return fused


def _numbered(arrays: Arrays, name: str) -> list[np.ndarray]:
    return [arrays[name.format(i)] for i in range(100) if name.format(i) in arrays]
