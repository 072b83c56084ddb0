"""Strokes of random size and place, each timed from its mask to an output that is computed."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import mlx.core as mx
import numpy as np
import numpy.typing as npt

from benchmarks.host.device import Counting
from sige_mlx import zoo
from sige_mlx.benchmark.blob import blob_mask
from sige_mlx.benchmark.figures import dispatches
from sige_mlx.benchmark.protocol import Progress
from sige_mlx.benchmark.workload import Inputs, workload
from sige_mlx.engine import Engine, PreparedEdit
from sige_mlx.engine.gpu.launch import use
from sige_mlx.masks.difference import Mask

Milliseconds = npt.NDArray[np.float64]
"""One number for each stroke."""

SMALLEST, LARGEST = 0.1, 30.0
"""Percent of the pixels: sizes are drawn evenly in their logarithm."""


@dataclass(frozen=True)
class Host:
    """What strokes took on the host, in milliseconds; the first one is aside, for in it programs are compiled for edits
    of all sizes."""

    model: str
    device: str
    first_ms: float
    prepare_ms: Milliseconds
    """From a mask to an edit that is ready to run: its tiles are found, then bound."""
    bind_ms: Milliseconds
    """Of that, from tiles to arrays that a program is given."""
    edit_ms: Milliseconds | None = None
    """One sampler step on the GPU, its launches counted and not run; None on the CPU, which runs its own."""
    kernels: int = 0
    """Kernels that the recording and the first stroke needed."""
    kernels_later: int = 0
    """Other kernels that later strokes needed."""
    launches: float = 0.0
    """Launches of a stroke, on average."""

    @property
    def us_a_launch(self) -> float | None:
        """Microseconds of a step for each of its launches."""
        return None if self.edit_ms is None else 1e3 * float(np.median(self.edit_ms)) / self.launches

    @property
    def total_ms(self) -> Milliseconds:
        """All of a stroke that is not the device's."""
        return self.prepare_ms if self.edit_ms is None else self.prepare_ms + self.edit_ms


def strokes(size: tuple[int, int], count: int, dilation: int, seed: int = 0) -> list[Mask]:
    """Masks of edits of random size and place."""
    rng = np.random.default_rng(seed)
    percents = np.exp(rng.uniform(np.log(SMALLEST), np.log(LARGEST), count))
    return [blob_mask(size, p, dilation, int(rng.integers(2**31))) for p in percents]


def measure(model: str, count: int, device: str, progress: Progress | None = None) -> Host:
    """Times `count` strokes on a named model with random weights, after one that is timed apart. On the GPU they are
    timed in float32, for in float16 MLX converts the picture, which is a Mac's GPU's work but this processor's here;
    kernels and launches are those of float16."""
    pretrained = zoo.random(model)
    policy = pretrained.policy()
    with use(Counting):
        engine = pretrained.engine(device, policy, precision="float32")
    masks = strokes(engine.image_size, count + 1, policy.dilation)
    work = workload(engine)
    if device == "gpu":
        engine.record(**work.original)
    seconds: dict[str, list[float]] = {"prepare": [], "bind": [], "edit": []}
    for i, mask in enumerate(masks):
        prepared = _timed(seconds["prepare"], partial(engine.prepare, mask))
        _timed(seconds["bind"], partial(engine.executor.bind, prepared.tiling, prepared.statistics))
        if device == "gpu":
            changed = work.edited(mask)
            mx.eval(changed)
            _timed(seconds["edit"], partial(_edit, engine, prepared, changed))
        if progress:
            progress(model, i + 1, len(masks))
    first = sum(taken[0] for taken in seconds.values() if taken)
    later = {name: 1e3 * np.array(taken[1:]) for name, taken in seconds.items() if taken}
    counted = _counted(pretrained, masks) if device == "gpu" else ()
    return Host(model, device, 1e3 * first, later["prepare"], later["bind"], later.get("edit"), *counted)


def _counted(pretrained: zoo.Pretrained, masks: Sequence[Mask]) -> tuple[int, int, float]:
    """Kernels of the recording and the first stroke, other kernels of later ones, and launches of a stroke."""
    counting = Counting()
    with use(lambda: counting):
        engine = pretrained.engine("gpu", pretrained.policy())
    work = workload(engine)
    engine.record(**work.original)
    kernels, launches = 0, []
    for mask in masks:
        prepared = engine.prepare(mask)
        engine.edit(prepared, **work.original)  # lazy: what is never asked for is never computed
        kernels = kernels or len(counting.kernels)
        launches.append(dispatches(engine, prepared) or 0)
    return kernels, len(counting.kernels) - kernels, float(np.mean(launches))


def _edit(engine: Engine, prepared: PreparedEdit, inputs: Inputs) -> None:
    mx.eval(engine.edit(prepared, **inputs))


def _timed(into: list[float], run: Callable[[], Any]) -> Any:
    start = time.perf_counter()
    result = run()
    into.append(time.perf_counter() - start)
    return result
