"""A GPU that is lazy as a Mac's is: MLX's operations compute what each kernel would, so that MLX can trace them."""

from __future__ import annotations

from typing import Any

import mlx.core as mx
import pytest

from benchmarks.simulated.device import Simulated
from sige_mlx.engine.gpu import executor, launch
from sige_mlx.engine.gpu.compiled import Compiled, Step
from sige_mlx.engine.gpu.launch import Launch
from sige_mlx.engine.gpu.placing import substituted


class ByMlx(Simulated):
    """Told of every program that is made ready for it, it knows a launch by its struct of numbers."""

    def __init__(self, identity: str | None = None):
        super().__init__(identity=identity, lazy=True)
        self.steps: dict[int, tuple[Compiled, Step]] = {}

    def know(self, compiled: Compiled) -> None:
        self.steps |= {id(step.launch.inputs[0]): (compiled, step) for step in compiled.steps if step.launch}

    def run(self, of: Launch) -> list[mx.array]:
        assert of.kernel.inputs[0] == "params"
        compiled, step = self.steps[id(of.inputs[0])]
        arrays = {v: a for v, a in zip(step.reads, of.inputs, strict=True) if v is not None}
        return substituted(step.call, compiled.placing, arrays).by_mlx()


def use_by_mlx(monkeypatch: pytest.MonkeyPatch) -> None:
    """Engines on the GPU run on such a device from now on."""
    device = ByMlx()

    class Ready(executor.Ready):
        def __init__(self, compiled: Compiled, *arguments: Any):
            device.know(compiled)
            super().__init__(compiled, *arguments)

    monkeypatch.setattr(executor, "Ready", Ready)
    monkeypatch.setattr(launch, "_in_place_of_the_gpu", lambda: device)
