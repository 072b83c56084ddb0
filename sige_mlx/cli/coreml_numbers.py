"""Numbers that go with a package: pictures, noise, and what the CPU engine makes of an edit. An app checks itself by
them, as the example in `converters/coreml/Example` does."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np

from sige_mlx import families, zoo
from sige_mlx.converters.coreml import saved
from sige_mlx.errors import SigeError
from sige_mlx.masks import difference_mask, dilate

STEPS, STRENGTH = 3, 0.5
BOUND = 2e-2
"""So much may the result of a package in float16 be away, of its size: rounding of every step adds up."""


def check_numbers(network: zoo.Pretrained) -> None:
    """Raises `SigeError` for a network that denoises no pictures by timesteps: before anything is computed."""
    if families.named(network.family).denoising is not families.named("ddpm").denoising:
        raise SigeError("--numbers are of networks that denoise pictures by timesteps, such as those of ddpm and adm")


def write_numbers(network: zoo.Pretrained, package: Path, folder: Path) -> None:
    """Writes `folder`: a picture, the same painted over, noise, the mask of the edit and its result, as float32 planes,
    and numbers.json. Raises `SigeError` where no bucket holds the edit."""
    about, family = saved.read(package).about, families.named(network.family)
    policy = network.policy()
    engine = network.engine("cpu", replace(policy, large=None, dense_from=math.inf))
    (h, w), rng = engine.image_size, np.random.default_rng(0)
    y, x = np.mgrid[:h, :w] / h
    smooth = np.stack([60 + 90 * x, 80 + 90 * y, 160 - 80 * x * y], -1) + rng.integers(0, 12, (h, w, 3))
    original = smooth.astype(np.uint8)
    painted = original.copy()
    painted[h // 3 : h // 3 + h // 12, w // 3 : w // 3 + w // 9] = (210, 190, 120)
    mask = dilate(difference_mask(original, painted, policy.eps), policy.dilation)
    counts = engine.lowered.tiling(mask).counts
    needed = max(counts[size] for size in engine.lowered.planes)
    tiles = {of["tiles"]: of["statistics"] for of in about["functions"].values() if "tiles" in of}
    bucket = next((tiles[bucket] for bucket in sorted(tiles) if bucket >= needed), None)
    if bucket is None:
        raise SigeError(f"the edit of --numbers has {needed} tiles: give a bucket so large")
    if bucket != engine.policy.statistics:
        engine = engine.under(replace(engine.policy, statistics=bucket))
    noise = rng.standard_normal((1, h, w, 3)).astype(np.float32)
    before, after = (mx.array(picture.astype(np.float32)[None] / 127.5 - 1) for picture in (original, painted))
    result = _denoised(engine, family, before, after, mask, mx.array(noise))
    folder.mkdir(parents=True, exist_ok=True)
    arrays = {"original": before, "painted": after, "noise": noise, "mask": mask[None, ..., None], "result": result}
    for name, array in arrays.items():
        planes = np.asarray(array, np.float32)[0].transpose(2, 0, 1)
        (folder / f"{name}.f32").write_bytes(np.ascontiguousarray(planes, "<f4").tobytes())
    told = {"steps": STEPS, "strength": STRENGTH, "bound": BOUND, "size": [h, w]}
    (folder / "numbers.json").write_text(json.dumps(told))


def _denoised(engine: Any, family: families.Family, before: mx.array, after: mx.array, mask: Any, noise: Any) -> Any:
    """The edit as sessions compute it, without rounding."""
    channels = engine.config.in_ch, engine.config.out_ch
    assert family.denoising is not None
    denoising = family.denoising.of(channels, "ddim", STEPS, STRENGTH)
    prepared, region = engine.prepare(mask), mx.array(mask)[None, ..., None]
    step = denoising.start(lambda t: noise)
    x = denoising.noised(after, denoising.levels[0], noise)
    for i, level in enumerate(denoising.levels):
        kept, condition = denoising.noised(before, level, noise), denoising.condition(level)
        engine.record(i, x=kept, **condition)
        x = mx.where(region, x, kept)
        x = step(i, x, engine.edit(prepared, i, x=x, **condition))
    return mx.where(region, x, before)
