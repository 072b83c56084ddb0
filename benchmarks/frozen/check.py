"""Running a case on an engine, and what is demanded of the result."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import mlx.core as mx
import numpy as np
import numpy.typing as npt

from benchmarks.frozen.case import Case, Image, LabelPass, Pass, Trajectory, error
from sige_mlx import samplers
from sige_mlx.benchmark.protocol import QUICK, Protocol, measure
from sige_mlx.engine import Engine
from sige_mlx.engine.gpu.launch import device
from sige_mlx.samplers.schedule import Schedule

DENSE_BOUND = 1e-4
"""Of a dense output, relative to the original's."""
PEER_BOUND = 1.001
"""Of an edit, in errors of the peer."""
ROUNDING = 1e-5
"""No edit is asked to be nearer to PyTorch than float32 sums in another order are."""

ONCE = Protocol(warmup=0, runs=1, repeats=1)
"""For the reference executor, which is an oracle, and the model of Metal: nobody waits to time them."""


@dataclass(frozen=True)
class Outcome:
    """What a case came to. Times are for one pass; MACs of a trajectory likewise."""

    case: str
    family: str
    steps: int
    edited: float
    dense_error: float
    edit_error: float
    edit_error_in_mask: float
    peer_error: float
    peer_error_in_mask: float
    edit_ms: float
    dense_ms: float
    macs: int
    peer_macs: int
    dense_macs: int
    problems: tuple[str, ...]


def check(name: str, family: str, case: Case, engine: Engine) -> Outcome:
    """Runs a case; raises `SigeError` when its images are not the network's."""
    if isinstance(case, LabelPass):
        case = case.encoded(engine.config)
    figures = _pass(case, engine) if isinstance(case, Pass) else _trajectory(case, engine)
    return Outcome(
        case=name,
        family=family,
        steps=len(case.timesteps) if isinstance(case, Trajectory) else 1,
        edited=float(case.mask.mean()),
        dense_error=figures.dense_error,
        edit_error=figures.edit_error,
        edit_error_in_mask=figures.edit_error_in_mask,
        peer_error=case.peer.error,
        peer_error_in_mask=case.peer.error_in_mask,
        edit_ms=figures.edit_ms,
        dense_ms=figures.dense_ms,
        macs=figures.macs,
        peer_macs=case.peer.macs,
        dense_macs=engine.macs,
        problems=tuple(_problems(figures, case)),
    )


@dataclass(frozen=True)
class _Figures:
    dense_error: float
    edit_error: float
    edit_error_in_mask: float
    unchanged: bool
    """Whether the edit gave the recorded output (a trajectory: the original), bit for bit."""
    edit_ms: float
    dense_ms: float
    macs: int


def _problems(figures: _Figures, case: Case) -> list[str]:
    """Everything out of bounds: NaN of ours is, but where the peer has no figure there is no bound."""
    problems = []
    if not figures.dense_error <= DENSE_BOUND:
        problems.append(f"the dense error {figures.dense_error:.2g} is above {DENSE_BOUND:g}")
    if not case.mask.any():  # the peer computes everything then, and we nothing
        return (
            problems if figures.unchanged else [*problems, "the mask is empty, yet the output is not the recorded one"]
        )
    for where, ours, theirs in (
        ("edit error", figures.edit_error, case.peer.error),
        ("edit error in the mask", figures.edit_error_in_mask, case.peer.error_in_mask),
    ):
        if not np.isnan(theirs) and not ours <= max(PEER_BOUND * theirs, ROUNDING):
            problems.append(f"the {where} {ours:.4g} is above {PEER_BOUND:g} times the peer's {theirs:.4g}")
    return problems


def _pass(case: Pass, engine: Engine) -> _Figures:
    conditions = [name for name in engine.lowered.graph.inputs if name != "x"]  # a timestep, or a log SNR
    given: dict[str, Any] = {name: np.full(case.batch, case.timestep, np.float32) for name in conditions}
    original = _array(engine.record(x=case.x_original, **given))
    prepared = engine.prepare(case.mask)
    outputs: dict[str, Image] = {}

    def run(what: str, compute: Callable[[], mx.array]) -> Callable[[], None]:
        return lambda: outputs.update({what: _array(compute())})

    calls = {
        "dense": run("dense", lambda: engine(x=case.x_edited, **given)),
        "edit": run("edit", lambda: engine.edit(prepared, x=case.x_edited, **given)),
    }
    timed = engine.device == "cpu" or (engine.device == "gpu" and device().identity is not None)
    times = measure(calls, QUICK if timed else ONCE)
    return _Figures(
        dense_error=max(error(original, case.dense_original), error(outputs["dense"], case.dense_edited)),
        edit_error=error(outputs["edit"], case.dense_edited),
        edit_error_in_mask=error(outputs["edit"], case.dense_edited, case.mask),
        unchanged=np.array_equal(outputs["edit"], original),
        edit_ms=times["edit"].ms,
        dense_ms=times["dense"].ms,
        macs=prepared.macs,
    )


def _trajectory(case: Trajectory, engine: Engine) -> _Figures:
    """Each step of the original is recorded just before its edit, so that a trajectory of any length fits in memory."""
    schedule = samplers.alphas_cumprod(samplers.linear_betas())
    prepared = engine.prepare(case.mask)
    dense_seconds = edit_seconds = 0.0

    def dense(t: int, x: Image) -> Image:
        nonlocal dense_seconds
        start = time.perf_counter()
        eps = _array(engine(x=x, t=_times(x, t)))
        dense_seconds += time.perf_counter() - start
        return eps

    def edit(t: int, x: Image) -> Image:
        nonlocal edit_seconds
        original = samplers.q_sample(case.original, t, case.noise, schedule)
        mx.eval(engine.record(x=original, t=_times(x, t)))
        start = time.perf_counter()
        eps = _array(engine.edit(prepared, x=x, t=_times(x, t)))
        edit_seconds += time.perf_counter() - start
        return eps

    ours, edited = _denoise(case, dense, schedule), _denoise(case, edit, schedule)
    steps = len(case.timesteps)
    return _Figures(
        dense_error=error(ours, case.dense),
        edit_error=error(edited, case.dense),
        edit_error_in_mask=error(edited, case.dense, case.mask),
        unchanged=np.array_equal(edited, case.original),
        edit_ms=1e3 * edit_seconds / steps,
        dense_ms=1e3 * dense_seconds / steps,
        macs=prepared.macs,
    )


def _denoise(case: Trajectory, network: Callable[[int, Image], Image], schedule: Schedule) -> Image:
    """DDIM, eta 0, from the noised edited image; after each step the unmasked pixels are the original's at the next
    timestep, and after the last the clean original's."""
    mask = np.broadcast_to(case.mask, case.edited.shape[:3])[..., None]
    x = samplers.q_sample(case.edited, case.timesteps[0], case.noise, schedule)
    for t, t_next in zip(case.timesteps, (*case.timesteps[1:], -1), strict=True):
        x = samplers.ddim_step(x, network(t, x), t, t_next, schedule)
        x = np.where(mask, x, samplers.q_sample(case.original, t_next, case.noise, schedule))
    return x


def _times(x: Image, t: int) -> npt.NDArray[np.float32]:
    return np.full(len(x), t, np.float32)


def _array(x: mx.array) -> Image:
    """The values, computed: MLX is lazy."""
    return np.asarray(x, np.float32)
