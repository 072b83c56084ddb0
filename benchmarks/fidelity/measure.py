"""Every edit under every policy, against the dense pass of the same edit."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.fidelity.scenes import Scene
from sige_mlx.benchmark.protocol import Protocol, measure
from sige_mlx.editing.baselines import Session
from sige_mlx.editing.recording import Progress
from sige_mlx.engine import Engine
from sige_mlx.masks.difference import Mask
from sige_mlx.metrics import psnr

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Edit:
    """One edit of one original under one policy."""

    policy: str
    scene: str
    kind: str
    percent: float
    psnr: float
    """In the mask, dB, to the dense pass; infinite where they are equal."""
    seam: float
    """Grey levels by which the picture steps further at the mask's border than that of the dense pass."""
    macs: float
    """Of the dense pass's multiply-accumulates."""
    time: float
    """Of its time, the median of rounds in which they took turns."""


def measured(
    engines: Mapping[str, Engine],
    scenes: Sequence[Scene],
    sizes: Sequence[float],
    rounds: int,
    seed: int,
    progress: Progress,
) -> Iterator[Edit]:
    """Measures every kind and size of edit of every scene; each has a blob and a colour of its own."""
    cases = [(scene, i, kind, size) for i, scene in enumerate(scenes) for kind in scene.kinds for size in sizes]
    sessions: dict[str, Session] = {}
    for done, (scene, i, kind, percent) in enumerate(cases):
        progress("fidelity", done, len(cases))
        if kind == scene.kinds[0] and percent == sizes[0]:
            sessions = {name: scene.open(engine) for name, engine in engines.items()}
        yield from _case(sessions, scene, kind, percent, scene.edited(kind, percent, seed + i), rounds)
    progress("fidelity", len(cases), len(cases))


def _case(
    sessions: Mapping[str, Session], scene: Scene, kind: str, percent: float, edited: Any, rounds: int
) -> Iterator[Edit]:
    whole = next(iter(sessions.values()))
    dense = whole.dense(edited).image
    results = {name: session.edit(edited) for name, session in sessions.items()}
    calls = {name: lambda s=session: s.edit(edited) for name, session in sessions.items()}
    took = measure({"": lambda: whole.dense(edited), **calls}, Protocol(warmup=0, runs=1, repeats=rounds))
    for name, result in results.items():
        likeness = psnr(result.image, dense, 255, result.mask)
        seam = step(result.image, result.mask) - step(dense, result.mask)
        ratios = [e / d for e, d in zip(took[name].repeats, took[""].repeats, strict=True)]
        macs = result.macs / result.dense_macs
        yield Edit(name, scene.name, kind, percent, likeness, seam, macs, median(ratios))


def step(picture: Pixels, mask: Mask) -> float:
    """The mean difference, in grey levels, of pixels beside each other of which one is in the mask; 0 without any."""
    steps = []
    for axis in (0, 1):
        across = np.diff(mask.astype(np.int8), axis=axis) != 0
        steps.append(np.abs(np.diff(picture.astype(np.int16), axis=axis)).mean(-1)[across])
    found = np.concatenate(steps)
    return float(found.mean()) if found.size else 0.0
