"""One benchmark of a model on this machine: everything that is published about it comes from the same run."""

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import mlx.core as mx
import numpy as np

from sige_mlx.benchmark.blob import blob_mask
from sige_mlx.benchmark.isolated import peak_memory, sgemm_gflops
from sige_mlx.benchmark.profile import Profile, profile
from sige_mlx.benchmark.protocol import QUICK, Progress, Protocol, Timing, measure, measure_pauses
from sige_mlx.benchmark.workload import Inputs, engine_for, workload
from sige_mlx.engine import Engine, PreparedEdit
from sige_mlx.errors import SigeError
from sige_mlx.graph.tiling import Size
from sige_mlx.masks import dilate
from sige_mlx.masks.difference import Mask

PROFILED_RUNS = 5


@dataclass(frozen=True)
class EditFigures:
    """An edit of about `percent` % of the pixels."""

    percent: float
    edited: float
    """Share of the pixels under the dilated mask, 0 to 1."""
    tiles: dict[Size, tuple[int, int]]
    """Active and all tiles by plane size."""
    macs: int
    edit_ms: float
    prepare_ms: float
    """Masks and tiles: the price of selecting what to compute, once an edit."""
    speedup: float
    """Dense over edit, both of this run."""
    dispatches: int | None = None
    """Kernels that an edit launches on the GPU."""
    at_once_ms: float | None = None
    """On the GPU, `edit_ms` right after another edit, and after a pause."""
    after_pause_ms: float | None = None


@dataclass(frozen=True)
class Figures:
    """A model's figures; times in milliseconds for one pass, memory in bytes."""

    model: str
    device: str
    simd: str | None
    threads: int
    image_size: Size
    protocol: Protocol
    dense_ms: float
    dense_repeats_ms: tuple[float, ...]
    record_ms: float
    empty_edit_ms: float
    first_prepare_ms: float
    """Of an engine's first edit, which also lowers the program that later ones share."""
    cores: float
    """Processors that this process had on average while it was timed; far below `threads`, other programs took them."""
    macs: int
    edits: tuple[EditFigures, ...]
    recorded_nbytes: int
    """Kept of one sampler step, for all edits."""
    codec: str
    """In which its planes are kept."""
    peak_nbytes: int
    """Of a process that loads the weights, records one step for the first edit and makes that."""
    gpu_peak_nbytes: int | None = None
    """Of those that MLX had allocated at most, on the GPU."""
    sgemm_gflops: float | None = None
    profiles: tuple[Profile, ...] = ()


@dataclass(frozen=True)
class _Edit:
    """An edit made ready to run."""

    percent: float
    inputs: Inputs
    prepared: PreparedEdit
    prepare: Timing


def run(
    model: str,
    percents: Sequence[float],
    *,
    device: str = "cpu",
    threads: int = 0,
    random: bool = False,
    threshold: int | None = None,
    quality: str = "balanced",
    protocol: Protocol,
    profiled: bool = False,
    seed: int = 0,
    progress: Progress | None = None,
    drawn: Sequence[Callable[[Size], Mask]] = (),
) -> Figures:
    """Benchmarks a named model or a model folder on edits of each size; `random` weights need no checkpoint, and
    `threshold` is the plane side from which edits use tiles, where it is not the model's own, `quality` that of
    `EditPolicy.of_quality`. Each of `drawn` gives one edit more: its mask for images of a size (H, W), not dilated yet.
    Raises `SigeError` for a model, device, size or quality that is not there."""
    if not percents:
        raise SigeError("there is no edit to measure: give at least one size, such as 1.2")
    engine = engine_for(model, device, threads, random, threshold, quality)
    if profiled and device != "cpu":
        raise SigeError(f"device {device!r} cannot be profiled: only 'cpu' runs one op at a time")
    work = workload(engine, seed)
    original = work.original
    size = engine.image_size
    masks = [blob_mask(size, percent, engine.policy.dilation, seed) for percent in percents]
    masks += [dilate(draw(size), engine.policy.dilation) for draw in drawn]
    sizes = [*percents, *(100 * float(mask.mean()) for mask in masks[len(percents) :])]
    start = time.perf_counter()
    engine.prepare(masks[0])
    first_prepare_ms = 1e3 * (time.perf_counter() - start)
    empty = engine.prepare(np.zeros(size, np.bool_))
    record = measure({"record": _evaluated(lambda: engine.record(**original))}, QUICK)["record"]
    edits = [_prepared(engine, p, m, work.edited(m)) for p, m in zip(sizes, masks, strict=True)]

    calls = {
        "dense": _evaluated(lambda: engine(**edits[0].inputs)),
        "empty": _evaluated(lambda: engine.edit(empty, **original)),
    }
    for i, edit in enumerate(edits):
        calls[f"edit {i}"] = _edit_call(engine, edit.prepared, edit.inputs)
    start, used = time.perf_counter(), time.process_time()
    times = measure(calls, protocol, progress=progress)
    cores = (time.process_time() - used) / (time.perf_counter() - start)

    count = _threads(engine)
    resident, allocated = peak_memory(model, device, threads, random, threshold, quality, percents[0], seed)
    return Figures(
        model=model,
        device=device,
        simd=_simd(device),
        threads=count,
        image_size=size,
        protocol=protocol,
        dense_ms=times["dense"].ms,
        dense_repeats_ms=times["dense"].repeats,
        record_ms=record.ms,
        empty_edit_ms=times["empty"].ms,
        first_prepare_ms=first_prepare_ms,
        cores=cores,
        macs=engine.macs,
        edits=tuple(_figures(engine, edit, times["dense"], times[f"edit {i}"]) for i, edit in enumerate(edits)),
        recorded_nbytes=engine.recordings.nbytes,
        codec=engine.recordings.codec,
        peak_nbytes=resident,
        gpu_peak_nbytes=allocated,
        sgemm_gflops=sgemm_gflops(count) if profiled else None,
        profiles=_profiles(engine, edits) if profiled else (),
    )


def _pauses(engine: Engine, edit: _Edit) -> dict[str, float]:
    from sige_mlx.engine.gpu.executor import GpuExecutor

    if not isinstance(engine.executor, GpuExecutor) or engine.executor.device.identity is None:
        return {}
    at_once, later = measure_pauses(_edit_call(engine, edit.prepared, edit.inputs))
    return {"at_once_ms": at_once.ms, "after_pause_ms": later.ms}


def _prepared(engine: Engine, percent: float, mask: np.ndarray, inputs: Inputs) -> _Edit:
    prepare = measure({"prepare": lambda: engine.prepare(mask)}, QUICK)["prepare"]
    return _Edit(percent, inputs, engine.prepare(mask), prepare)


def _figures(engine: Engine, edit: _Edit, dense: Timing, took: Timing) -> EditFigures:
    tiling = edit.prepared.tiling
    return EditFigures(
        percent=edit.percent,
        edited=tiling.edited,
        tiles={size: (len(tiling.at(size)), tiling.at(size).grid.size) for size in engine.lowered.planes},
        macs=edit.prepared.macs,
        edit_ms=took.ms,
        prepare_ms=edit.prepare.ms,
        speedup=dense.ms / took.ms,
        dispatches=dispatches(engine, edit.prepared),
        **_pauses(engine, edit),
    )


def dispatches(engine: Engine, prepared: PreparedEdit) -> int | None:
    """Kernels that an edit launches on the GPU; None on another device."""
    from sige_mlx.engine.gpu.executor import GpuExecutor

    if not isinstance(engine.executor, GpuExecutor):
        return None
    return 0 if prepared.bound is None else prepared.bound.launches


def _profiles(engine: Engine, edits: Sequence[_Edit]) -> tuple[Profile, ...]:
    passes: dict[str, tuple[PreparedEdit | None, Inputs]] = {"dense": (None, edits[0].inputs)}
    for edit in edits:
        passes[f"edit {edit.percent:g} %"] = (edit.prepared, edit.inputs)
    profiles = []
    for what, (prepared, inputs) in passes.items():
        runs = [engine.profile(prepared, **inputs) for _ in range(PROFILED_RUNS)]
        counts = prepared.tiling.counts if prepared else {}
        profiles.append(profile(what, runs[0][0], counts, np.mean([seconds for _, seconds in runs], axis=0)))
    return tuple(profiles)


def _evaluated(call: Callable[[], mx.array]) -> Callable[[], None]:
    """MLX is lazy: a result has cost nothing until it is asked for."""
    return lambda: mx.eval(call())


def _edit_call(engine: Engine, prepared: PreparedEdit, inputs: Inputs) -> Callable[[], None]:
    return _evaluated(lambda: engine.edit(prepared, **inputs))


def _threads(engine: Engine) -> int:
    threads: int = getattr(engine.executor, "threads", 0)
    return threads or os.cpu_count() or 1


def _simd(device: str) -> str | None:
    if device != "cpu":
        return None
    from sige_mlx.engine.native import blas, library

    return library.simd() + (f", large products by {of}" if (of := blas.in_use()) else "")
