"""A folder of frozen cases as others make them, of tiny networks; our reference executor stands in for PyTorch."""

from __future__ import annotations

import dataclasses
import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from sige_mlx import samplers
from sige_mlx.converters.families.spade import layouts
from sige_mlx.engine import Engine
from sige_mlx.masks import dilate
from sige_mlx.models.ddpm import DDPMConfig, DDPMUNet
from sige_mlx.models.spade import SPADEConfig, SPADEGenerator
from sige_mlx.nn.module import parameters
from tests.converters.networks import spade
from tests.labels import one_hot
from tests.tiny import edited_labels, instances, labels

CONFIG = DDPMConfig(image_size=32, ch=32, ch_mult=(1, 1, 2), num_res_blocks=1, attn_resolutions=(8, 16))
LABELS = SPADEConfig(crop_size=64, num_upsampling_layers="normal", ngf=2, nhidden=4)
TIMESTEPS = (300, 150, 20)
WEIGHTS = """
import json, zlib
import numpy as np

def make(manifest_path):
    state = {}
    for name, shape in json.load(open(manifest_path)).items():
        rng = np.random.default_rng(zlib.crc32(name.encode()))
        drawn = rng.standard_normal(shape, np.float32)
        state[name] = 0.5 + abs(drawn) if name.endswith("running_var") else np.float32(0.1) * drawn
    return state
"""
SCHEDULE = samplers.alphas_cumprod(samplers.linear_betas())


def weight(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """What WEIGHTS makes, in our layout; `shape` is in ours."""
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    if len(shape) != 4:
        return np.float32(0.1) * rng.standard_normal(shape, np.float32)
    o, h, w, i = shape
    return np.float32(0.1) * rng.standard_normal((o, i, h, w), np.float32).transpose(0, 2, 3, 1)


def engine(batch: int = 1) -> Engine:
    """The network by the reference executor."""
    model = DDPMUNet(CONFIG)
    shapes = {name: p.shape for name, p in parameters(model).items()}
    return Engine(model, "reference", batch=batch, load=lambda name: weight(name, shapes[name]))


def write_network(folder: Path, name: str) -> None:
    """A manifest with its configuration, and `weights.py`."""
    (folder / "manifests").mkdir(parents=True, exist_ok=True)
    (folder / "cases").mkdir(exist_ok=True)
    (folder / "weights.py").write_text(WEIGHTS)
    ours = {path: list(p.shape) for path, p in parameters(DDPMUNet(CONFIG)).items()}
    manifest = {path: [s[0], s[3], s[1], s[2]] if len(s) == 4 else s for path, s in ours.items()}
    (folder / "manifests" / f"{name}.json").write_text(json.dumps(manifest))
    model = {key: getattr(CONFIG, key) for key in ("ch", "ch_mult", "num_res_blocks", "attn_resolutions")}
    settings = {"model": {**model, "sparse_resolution_threshold": 16}, "image_size": CONFIG.image_size}
    (folder / "manifests" / f"{name}.config.json").write_text(json.dumps(settings))


def write_label_network(folder: Path, name: str) -> None:
    """The same of a network of label maps."""
    write_network(folder, name)
    (folder / "manifests" / f"{name}.json").write_text(json.dumps({k: list(a.shape) for k, a in spade(LABELS).items()}))
    (folder / "manifests" / f"{name}.config.json").write_text(json.dumps(dataclasses.asdict(LABELS)))


def a_label_pass(folder: Path, name: str) -> dict[str, Any]:
    """One pass of the network `name` of the folder; the peer is as good as our reference executor."""
    made: dict[str, Any] = {}
    exec(WEIGHTS, made)
    state = made["make"](folder / "manifests" / f"{name}.json")
    sources = layouts(LABELS)[0].sources
    net = Engine(SPADEGenerator(LABELS), "reference", load=lambda path: sources[path].build(state.__getitem__))
    maps = {"labels": labels(), "instances": instances(), "labels_edited": edited_labels()}
    maps["instances_edited"] = np.where(edited_labels() == labels(), instances(), 26099)
    x, x_edited = one_hot(maps["labels"], maps["instances"]), one_hot(maps["labels_edited"], maps["instances_edited"])
    mask = dilate((np.asarray(x) != np.asarray(x_edited)).any((0, 3)), 1)
    dense_original, dense_edited = np.asarray(net.record(x=x)), np.asarray(net(x=x_edited))
    ours = np.asarray(net.edit(net.prepare(mask), x=x_edited))
    peer = {"peer_edited": dense_edited + np.float32(1.01) * (ours - dense_edited), "peer_macs": np.int64(1e6)}
    return {**maps, "mask": mask, "dense_original": dense_original, "dense_edited": dense_edited, **peer}


def corner(size: int = 32) -> np.ndarray:
    """A mask that touches two borders."""
    mask = np.zeros((size, size), np.bool_)
    mask[:9, size - 7 :] = True
    return mask


def a_pass(mask: np.ndarray, batch: int = 1) -> dict[str, Any]:
    """One pass; the peer is as good as our reference executor, and a hundredth worse."""
    original, edited, noise = _images(mask, batch)
    t = 250
    x_original, x_edited = (samplers.q_sample(x, t, noise, SCHEDULE) for x in (original, edited))
    net, times = engine(batch), np.full(batch, t, np.float32)
    dense_original = np.asarray(net.record(x=x_original, t=times))
    dense_edited = np.asarray(net(x=x_edited, t=times))
    ours = np.asarray(net.edit(net.prepare(mask), x=x_edited, t=times))
    return {
        **{"original": original, "edited": edited, "noise": noise, "timestep": np.float32(t), "mask": mask},
        **{"x_original": x_original, "x_edited": x_edited},
        **{"dense_original": dense_original, "dense_edited": dense_edited},
        "peer_edited": dense_edited + np.float32(1.01) * (ours - dense_edited),
        "peer_macs": np.int64(1e6),
    }


def a_trajectory(mask: np.ndarray) -> dict[str, Any]:
    """A few steps; the peer is anyone."""
    original, edited, noise = _images(mask, 1)
    net = engine()
    x = samplers.q_sample(edited, TIMESTEPS[0], noise, SCHEDULE)
    for t, t_next in zip(TIMESTEPS, (*TIMESTEPS[1:], -1), strict=True):
        eps = np.asarray(net(x=x, t=[float(t)]))
        kept = samplers.q_sample(original, t_next, noise, SCHEDULE)
        x = np.where(mask[None, ..., None], samplers.ddim_step(x, eps, t, t_next, SCHEDULE), kept)
    peer_error = {"peer_error": np.float64(10), "timesteps": np.array(TIMESTEPS)}
    return {"original": original, "edited": edited, "noise": noise, "mask": mask, "dense": x, **peer_error}


def _images(mask: np.ndarray, batch: int) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    original, other, noise = rng.standard_normal((3, batch, *mask.shape[-2:], 3), np.float32)
    return [original, np.where(mask[..., None], other, original), noise]
