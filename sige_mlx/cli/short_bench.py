"""A benchmark of seconds: what `sige-mlx doctor` says of speed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import mlx.core as mx

from sige_mlx import zoo
from sige_mlx.benchmark.blob import blob_mask
from sige_mlx.benchmark.protocol import Progress, Protocol, measure, measure_pauses
from sige_mlx.benchmark.workload import workload
from sige_mlx.engine import Engine
from sige_mlx.graph.policy import EditPolicy
from sige_mlx.models.ddpm import DDPMConfig, DDPMUNet

NETWORK = DDPMConfig(image_size=128, ch=32, ch_mult=(1, 2, 4), num_res_blocks=1, attn_resolutions=(32,))
EDITED = 1.2  # % of the pixels
PROTOCOL = Protocol(warmup=1, runs=2, repeats=3)


@dataclass(frozen=True)
class Speed:
    """Milliseconds of a dense pass and of an edit on a device; on a GPU also of an edit right after another, and of one
    after a pause."""

    device: str
    dense_ms: float
    edit_ms: float
    at_once_ms: float | None = None
    after_pause_ms: float | None = None

    @property
    def speedup(self) -> float:
        return self.dense_ms / self.edit_ms


def short_benchmark(devices: Sequence[str], threads: int = 0, progress: Progress | None = None) -> list[Speed]:
    """Times a small DDPM with random weights on each device; they take turns, so that their ratios hold. `threads` are
    the native engine's."""
    model = DDPMUNet(NETWORK)
    load = zoo.random_weights(model)
    calls: dict[str, Callable[[], None]] = {}
    for device in devices:
        engine = Engine(
            model, device, EditPolicy(64, "fresh head"), load=load, threads=threads if device == "cpu" else 0
        )
        calls |= {f"{device} {what}": call for what, call in _calls(engine).items()}
    times = measure(calls, PROTOCOL, progress=progress)
    pauses = {d: [t.ms for t in measure_pauses(calls[f"{d} edit"])] if d == "gpu" else [] for d in devices}
    return [Speed(d, times[f"{d} dense"].ms, times[f"{d} edit"].ms, *pauses[d]) for d in devices]


def _calls(engine: Engine) -> dict[str, Callable[[], None]]:
    """A dense pass and an edit, as things to be timed."""
    work, mask = workload(engine), blob_mask(engine.image_size, EDITED)
    engine.record(**work.original)
    prepared, edited = engine.prepare(mask), work.edited(mask)
    return {
        "dense": lambda: mx.eval(engine(**edited)),
        "edit": lambda: mx.eval(engine.edit(prepared, **edited)),
    }
