"""Networks small enough to edit and translate pictures and label maps within a test, with random weights."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from sige_mlx import families, zoo
from sige_mlx.engine import Engine
from sige_mlx.families import build
from sige_mlx.graph.policy import EditPolicy
from sige_mlx.models.ddpm import DDPMConfig
from sige_mlx.models.pd import PDConfig
from sige_mlx.models.resnet_generator import ResnetGenerator, ResnetGeneratorConfig
from sige_mlx.models.spade import LabelToImageConfig, SPADEConfig, SPADEGenerator
from sige_mlx.models.sub_mobile_spade import SubMobileSPADEConfig
from sige_mlx.nn.module import parameters

SIZE = 32
CONFIG = DDPMConfig(
    image_size=SIZE,
    ch=32,
    ch_mult=(1, 2),
    num_res_blocks=1,
    attn_resolutions=(16,),
)
PD_CONFIG = PDConfig(
    image_size=SIZE,
    ch=32,
    ch_mult=(1, 2),
    num_res_blocks=1,
    attn_resolutions=(16,),
    head_dim=32,
    temb_ch=48,
)
LABEL_SIZE = (32, 64)
LABEL_CONFIG = SPADEConfig(crop_size=64, num_upsampling_layers="normal", ngf=4, nhidden=8)

TRANSLATION_CONFIG = ResnetGeneratorConfig(image_size=(32, 48), ngf=8, n_blocks=2)

Config = DDPMConfig | PDConfig | LabelToImageConfig | ResnetGeneratorConfig

EDITS: dict[type, dict[str, Any]] = {
    DDPMConfig: {"tiles_from": 32, "dilation": 1},
    PDConfig: {"tiles_from": 16, "dilation": 1},
    SPADEConfig: {"tiles_from": 16},
    SubMobileSPADEConfig: {"tiles_from": 16},
    ResnetGeneratorConfig: {"large": None},
}
"""What edits of small networks are computed by, where it is not the family's."""


def policy_of(config: Any, **settings: Any) -> EditPolicy:
    """How edits of a small network are computed."""
    return dataclasses.replace(families.of(config).policy(config), **{**EDITS[type(config)], **settings})


def tiny_engine(device: str = "cpu", config: DDPMConfig | PDConfig = CONFIG, **settings: Any) -> Engine:
    """`settings` are those of the policy that are not the small networks'."""
    model = build(*described(config))
    return Engine(model, device, policy_of(config, **settings), load=zoo.random_weights(model))


def described(config: Any) -> tuple[str, dict[str, Any]]:
    """Family and fields of a configuration."""
    family = next(name for name, known in families.FAMILIES.items() if known.config is type(config))
    return family, dataclasses.asdict(config)


def write_tiny_model(folder: Path, config: Config = CONFIG, **settings: Any) -> Path:
    """A model folder as `sige-mlx convert` leaves one; `settings` are those of the policy that are not the small
    networks'."""
    folder.mkdir(parents=True)
    family, fields = described(config)
    model = build(family, fields)
    load = zoo.random_weights(model)
    save_file({name: np.ascontiguousarray(load(name)) for name in parameters(model)}, folder / "model.safetensors")
    edit = {name: getattr(policy_of(config, **settings), name) for name in zoo.EDIT}
    content = {"format": zoo.FORMAT, "family": family, "config": fields, "edit": edit}
    (folder / "config.json").write_text(json.dumps(content))
    return folder


def original(size: int = SIZE, width: int | None = None) -> np.ndarray:
    """A smooth picture with some grain, uint8 (H, W, 3), square unless it has a `width`."""
    rng = np.random.default_rng(1)
    y, x = np.mgrid[:size, : width or size] / size
    smooth = np.stack([40 + 60 * x, 60 + 80 * y, 120 + 60 * x * y], -1)
    return (smooth + rng.integers(0, 12, smooth.shape)).astype(np.uint8)


def painted(size: int = SIZE, width: int | None = None) -> np.ndarray:
    """The same with a flat stroke of 6 x 6 pixels from (8, 10)."""
    picture = original(size, width)
    picture[8:14, 10:16] = (200, 160, 60)
    return picture


def translation_engine(
    device: str = "cpu", config: ResnetGeneratorConfig = TRANSLATION_CONFIG, **settings: Any
) -> Engine:
    """`settings` are those of the policy that are not the configuration's."""
    model = ResnetGenerator(config)
    return Engine(model, device, policy_of(config, **settings), load=zoo.random_weights(model))


def label_engine(device: str = "cpu", config: LabelToImageConfig = LABEL_CONFIG) -> Engine:
    model = SPADEGenerator(config)
    return Engine(model, device, policy_of(config), load=zoo.random_weights(model))


def labels() -> np.ndarray:
    """Sky over buildings over road, with a car: Cityscapes ids, uint8 (H, W)."""
    ids = np.full(LABEL_SIZE, 7, np.uint8)
    ids[:20] = 11
    ids[:8] = 23
    ids[18:24, 40:50] = 26
    return ids


def instances() -> np.ndarray:
    """The same with two cars side by side: int32 (H, W)."""
    ids = labels().astype(np.int32)
    ids[18:24, 40:45] = 26000
    ids[18:24, 45:50] = 26001
    return ids


def edited_labels() -> np.ndarray:
    """A tree beside the road, 6 x 4 pixels from (14, 10)."""
    ids = labels()
    ids[14:20, 10:14] = 21
    return ids
