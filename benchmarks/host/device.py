"""A device that launches nothing: every launch is counted, and an operation of MLX with its inputs stands for it, so
that MLX traces, keeps and schedules as many operations as on a Mac."""

import mlx.core as mx

from sige_mlx.engine.gpu.launch import Dispatch, Launch


class Counting:
    """`kernels` holds the specialisation of every kernel that was launched; those of launches that MLX repeats by
    itself are there from the first time."""

    identity: str | None = None
    """Nothing is tried on it."""
    unfit: str | None = None

    def __init__(self) -> None:
        self.dispatches: list[Dispatch] | None = None
        self.lazy = True
        self.kernels: set[str] = set()
        self._nothing: dict[mx.Dtype, mx.array] = {}

    def run(self, launch: Launch) -> list[mx.array]:
        """Arrays without memory of their own that depend on the launch's inputs."""
        self.kernels.add(launch.kernel.specialisation)
        inputs = launch.arguments()["inputs"]
        outputs = [mx.as_strided(self._zero(dtype), shape, [0] * len(shape)) for shape, dtype in launch.outputs]
        depending: list[mx.array] = mx.depends(outputs, inputs)
        return depending

    def _zero(self, dtype: mx.Dtype) -> mx.array:
        if dtype not in self._nothing:
            self._nothing[dtype] = mx.zeros((1,), dtype)
            mx.eval(self._nothing[dtype])
        return self._nothing[dtype]
