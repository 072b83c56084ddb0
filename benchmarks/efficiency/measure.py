"""A model's table: every size of edit on every device, and how alike the devices' pictures are."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.efficiency.edits import stroke
from sige_mlx import benchmark
from sige_mlx.benchmark.isolated import peak_memory
from sige_mlx.benchmark.protocol import Progress
from sige_mlx.benchmark.workload import engine_for, workload
from sige_mlx.graph.tiling import Size
from sige_mlx.masks import dilate
from sige_mlx.masks.difference import Mask
from sige_mlx.metrics import psnr


@dataclass(frozen=True)
class Setting:
    """How everything of a run is measured."""

    percents: tuple[float, ...]
    protocol: benchmark.Protocol = benchmark.PAPER
    threads: int = 0
    random: bool = True
    threshold: int | None = None
    quality: str = "fast"
    seed: int = 0


@dataclass(frozen=True)
class OnDevice:
    """The figures of a model on a device; the last of their edits is the stroke. `peaks` are (resident bytes, bytes
    that MLX had allocated on a GPU), at most, of processes that make one edit each, from loading the weights on; that
    of the stroke makes a blob of its size."""

    figures: benchmark.Figures
    peaks: tuple[tuple[int, int | None], ...]


@dataclass(frozen=True)
class Agreement:
    """How alike the outputs of two devices are, in dB: of the dense pass, and of each edit under its mask. White minus
    black is the range of the first device's dense output; None stands for equal ones."""

    devices: tuple[str, str]
    dense: float | None
    edits: tuple[float | None, ...]


def measured(model: str, devices: Sequence[str], setting: Setting, progress: Progress) -> tuple[OnDevice, ...]:
    """Measures a model on each device. Raises `SigeError` as `benchmark.run` does."""
    return tuple(_measured(model, device, setting, progress) for device in devices)


def _measured(model: str, device: str, s: Setting, progress: Progress) -> OnDevice:
    figures = figures_of(model, device, s.percents, s, progress, drawn=[stroke])
    peaks = [(figures.peak_nbytes, figures.gpu_peak_nbytes)]
    for edit in figures.edits[1:]:
        peaks.append(peak_memory(model, device, s.threads, s.random, s.threshold, s.quality, edit.percent, s.seed))
    return OnDevice(figures, tuple(peaks))


def figures_of(
    model: str, device: str, percents: Sequence[float], s: Setting, progress: Progress, **options: Any
) -> benchmark.Figures:
    """What `benchmark.run` finds under a setting; `options` are more of its own."""
    return benchmark.run(
        model,
        percents,
        device=device,
        threads=s.threads,
        random=s.random,
        threshold=s.threshold,
        quality=s.quality,
        protocol=s.protocol,
        seed=s.seed,
        progress=progress,
        **options,
    )


def masks_of(size: Size, dilation: int, setting: Setting) -> list[Mask]:
    """The dilated masks of a setting's edits, the stroke's last."""
    blobs = [benchmark.blob_mask(size, percent, dilation, setting.seed) for percent in setting.percents]
    return [*blobs, dilate(stroke(size), dilation)]


def agreement(model: str, devices: tuple[str, str], s: Setting) -> Agreement:
    """Compares what two devices compute of the same inputs."""
    (first, masks), (second, _) = (_outputs(model, device, s) for device in devices)
    white = float(np.ptp(first[0]))
    found = [_likeness(a, b, white, m) for a, b, m in zip(first, second, masks, strict=True)]
    return Agreement(devices, found[0], tuple(found[1:]))


def _outputs(model: str, device: str, s: Setting) -> tuple[list[np.ndarray], list[Mask]]:
    """Outputs (H, W, C) of the dense pass and of each edit, and where each is compared."""
    engine = engine_for(model, device, s.threads, s.random, s.threshold, s.quality)
    work = workload(engine, s.seed)
    masks = masks_of(engine.image_size, engine.policy.dilation, s)
    engine.record(**work.original)
    edits = [engine.edit(engine.prepare(mask), **work.edited(mask)) for mask in masks]
    outputs = [np.array(output[0]) for output in (engine(**work.original), *edits)]
    return outputs, [np.ones(engine.image_size, np.bool_), *masks]


def _likeness(a: np.ndarray, b: np.ndarray, white: float, mask: Mask) -> float | None:
    """PSNR in dB, None for equal ones."""
    found = float(psnr(a, b, white, mask))
    return found if np.isfinite(found) else None
