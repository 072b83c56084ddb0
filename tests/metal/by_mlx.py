"""A GPU that is lazy as a Mac's is: MLX's operations compute what each kernel would, so that MLX can trace them."""

from __future__ import annotations

from typing import Any

import mlx.core as mx
import pytest

from benchmarks.simulated.device import Simulated
from sige_mlx.engine.gpu import executor, launch
from sige_mlx.engine.gpu.compiled import Compiled, Step
from sige_mlx.engine.gpu.launch import Launch
from sige_mlx.engine.gpu.parameters import Parameters
from sige_mlx.engine.gpu.placing import Placing, substituted


class ByMlx(Simulated):
    """Told of every program that is made ready for it, it knows a launch by its struct of numbers."""

    def __init__(self, identity: str | None = None):
        super().__init__(identity=identity, lazy=True)
        self.steps: dict[int, tuple[Placing, dict[int, mx.array], Step]] = {}

    def know(self, compiled: Compiled, parameters: Parameters) -> None:
        placing = compiled.placing
        constants = {v: parameters.array(of, compiled.arranged.get(of)) for of, v in placing.parameters.items()}
        for step in compiled.steps:
            if step.launch is not None:
                self.steps[id(step.launch.inputs[0])] = placing, constants, step

    def run(self, of: Launch) -> list[mx.array]:
        assert of.kernel.inputs[0] == "params"
        placing, constants, step = self.steps[id(of.inputs[0])]
        read = {v: a for v, a in zip(step.reads, of.inputs, strict=True) if v is not None}
        return substituted(step.call, placing, constants | read).by_mlx()


def by_mlx(call: Any, like: Any = None) -> None:
    """In place of `Call.launch`: no call has a kernel."""


def use_by_mlx(monkeypatch: pytest.MonkeyPatch) -> None:
    """Engines on the GPU run on such a device from now on."""
    device = ByMlx()

    class Ready(executor.Ready):
        def __init__(self, compiled: Compiled, parameters: Parameters, *arguments: Any):
            device.know(compiled, parameters)
            super().__init__(compiled, parameters, *arguments)

    monkeypatch.setattr(executor, "Ready", Ready)
    monkeypatch.setattr(launch, "_in_place_of_the_gpu", lambda: device)
