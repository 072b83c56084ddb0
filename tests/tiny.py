"""A network small enough to edit pictures within a test, with random weights."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from sige_mlx import zoo
from sige_mlx.engine import Engine
from sige_mlx.models.ddpm import DDPMConfig, DDPMUNet
from sige_mlx.nn.module import parameters

SIZE = 32
CONFIG = DDPMConfig(
    image_size=SIZE,
    ch=32,
    ch_mult=(1, 2),
    num_res_blocks=1,
    attn_resolutions=(16,),
    sparse_resolution_threshold=32,
    mask_dilate_radius=1,
)


def tiny_engine(device: str = "cpu") -> Engine:
    model = DDPMUNet(CONFIG)
    return Engine(model, device, load=zoo.random_weights(model))


def write_tiny_model(folder: Path, config: DDPMConfig = CONFIG) -> Path:
    """A model folder as `sige-mlx convert` leaves one."""
    folder.mkdir(parents=True)
    model = DDPMUNet(config)
    load = zoo.random_weights(model)
    save_file({name: np.ascontiguousarray(load(name)) for name in parameters(model)}, folder / "model.safetensors")
    described = {"format": 1, "family": "ddpm", "config": dataclasses.asdict(config)}
    (folder / "config.json").write_text(json.dumps(described))
    return folder


def original(size: int = SIZE) -> np.ndarray:
    """A smooth picture with some grain, uint8 (H, W, 3)."""
    rng = np.random.default_rng(1)
    y, x = np.mgrid[:size, :size] / size
    smooth = np.stack([40 + 60 * x, 60 + 80 * y, 120 + 60 * x * y], -1)
    return (smooth + rng.integers(0, 12, smooth.shape)).astype(np.uint8)


def painted(size: int = SIZE) -> np.ndarray:
    """The same with a flat stroke of 6 x 6 pixels from (8, 10)."""
    picture = original(size)
    picture[8:14, 10:16] = (200, 160, 60)
    return picture
