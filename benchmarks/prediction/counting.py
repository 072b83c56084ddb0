"""Counters of launches: a few threadgroups of each on the model of Metal, one launch for all that are alike."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from metal import sim
from metal.sim import Counters
from sige_mlx.benchmark.protocol import Progress
from sige_mlx.engine.gpu.launch import Launch
from sige_mlx.errors import SigeError

SAMPLED = 2
"""Threadgroups of a launch that are run. They differ in the edges and recorded pixels that they see, and in little
else."""


class Counting:
    """Counters by launch, each found once. Raises `SigeError` where a compiler for the model of Metal lacks."""

    def __init__(self, progress: Progress | None = None) -> None:
        if sim.compiler() is None:
            raise SigeError("a prediction compiles the kernels: install clang 17 or newer, or the package ziglang")
        self._progress = progress
        self._counters: dict[Any, Counters] = {}

    def of(self, launches: Sequence[Launch]) -> list[Counters]:
        """The counters of a sample of each launch's threadgroups; their number is among them."""
        alike = {_key(launch): launch for launch in launches}
        missing = {key: launch for key, launch in alike.items() if key not in self._counters}
        self._compile(list(missing.values()))
        for key, launch in missing.items():
            count = int(np.prod(launch.groups))
            chosen = np.random.default_rng(0).choice(count, min(count, SAMPLED), replace=False)
            ran = sim.simulate(launch.compiled(), **launch.arguments(), count=True, only=chosen.tolist())
            self._counters[key] = ran.counters
        return [self._counters[_key(launch)] for launch in launches]

    def _compile(self, launches: Sequence[Launch]) -> None:
        """Compiles kernels side by side; what was compiled once on a machine is kept."""
        kernels = {launch.kernel.specialisation: launch for launch in launches}
        jobs = [sim.compiling(k.compiled(), **k.arguments(), count=True) for k in kernels.values()]
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            for done, _ in enumerate(pool.map(lambda job: job(), jobs), 1):
                if self._progress:
                    self._progress("compile", done, len(jobs))


def _key(launch: Launch) -> Any:
    """Launches of one kernel with the same numbers on arrays of the same shapes count alike."""
    shapes = tuple(a.shape for a in launch.inputs)
    params = launch.inputs[launch.kernel.inputs.index("params")]
    return launch.kernel.specialisation, launch.groups, shapes, np.asarray(params).tobytes()
