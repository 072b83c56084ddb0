"""The model of Metal (`metal/sim`) as a device of the GPU engine."""

from dataclasses import dataclass, field

import mlx.core as mx

from metal.sim import simulate
from sige_mlx.engine.gpu.launch import Dispatch, Launch


@dataclass
class Simulated:
    """The model of Metal: the kernel's text compiled for this processor and run thread by thread, in the order of
    `seed`; `count` asks it for counters, which takes longer. Without an `identity` kernels are not tried before their
    first use, for a mistake in one should show."""

    dispatches: list[Dispatch] | None = field(default=None)
    seed: int = 0
    count: bool = False
    identity: str | None = None
    unfit: str | None = None
    lazy: bool = False

    def run(self, launch: Launch) -> list[mx.array]:
        """The outputs; raises `SimError` for a kernel that is wrong."""
        run = simulate(launch.compiled(), **launch.arguments(), seed=self.seed, count=self.count)
        if self.dispatches is not None:
            self.dispatches.append(Dispatch(launch.kernel.specialisation, launch.groups, launch.threads, run.counted))
        return run.outputs
