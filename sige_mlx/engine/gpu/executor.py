"""The GPU executor: dense passes by MLX's own operations, edits by the kernels of `metal/`."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import mlx.core as mx
import numpy as np
import numpy.typing as npt

from sige_mlx.cache import cache_folder
from sige_mlx.engine.gpu import kernels, twins
from sige_mlx.engine.gpu.binding import Compute, Record, Running
from sige_mlx.engine.gpu.calls import Call, Conv
from sige_mlx.engine.gpu.launch import Device, device
from sige_mlx.engine.gpu.parameters import Parameters
from sige_mlx.engine.gpu.trust import Trust
from sige_mlx.engine.native.weights import Loader
from sige_mlx.graph.plan import Edit, Plan
from sige_mlx.graph.program import Kind, Program

Inputs = Mapping[str, mx.array]


@dataclass(frozen=True)
class PreparedEdit:
    """An edit's program with its tiles on the GPU: lists are as long as their bucket."""

    program: Program
    tiles: Mapping[int, mx.array]


class GpuExecutor:
    """Runs, records and edits one network on the GPU. `load` gives its parameters by name; activations and weights are
    stored as `dtype`, float16 or float32. Kernels run on this machine's GPU, or `where` one asks for."""

    def __init__(self, plan: Plan, load: Loader, dtype: mx.Dtype, where: Device | None = None):
        self.plan = plan
        self.dtype = dtype
        self.device = where or device()
        self.trust = Trust(self.device, cache_folder())
        self.parameters = Parameters(plan.fused, plan.dense, load, dtype)

    def run(self, inputs: Inputs) -> mx.array:
        """The dense output."""
        output = self._run(self.plan.dense, inputs, {}, Record(), _by_mlx)
        mx.eval(output)
        return output

    def record(self, inputs: Inputs) -> tuple[mx.array, Record]:
        """The dense output, and the arrays that edits need."""
        record = Record()
        output = self._run(self.plan.recording, inputs, {}, record, _by_mlx)
        record.arrays["value", self.plan.graph.output] = output.astype(self.dtype)
        mx.eval(output, record.all())
        return output, record

    def prepare(self, edit: Edit) -> PreparedEdit:
        """An edit's program, and its tiles."""
        tiles = {}
        for i, slot in enumerate(edit.program.slots):
            if slot.kind is Kind.ROWS:
                tiles[i] = mx.array(filled(edit.tiling.at(slot.key).rows))
            elif slot.kind is Kind.GRID:
                tiles[i] = mx.array(edit.tiling.at(slot.key).grid)
        return PreparedEdit(edit.program, tiles)

    def edit(self, prepared: PreparedEdit, record: Record, inputs: Inputs) -> mx.array:
        """The output for edited inputs."""
        output = self._run(prepared.program, inputs, prepared.tiles, record, self._by_kernels)
        mx.eval(output)
        return output

    def _run(
        self, program: Program, inputs: Inputs, tiles: Mapping[int, mx.array], record: Record, compute: Compute
    ) -> mx.array:
        given = {}
        for i, slot in enumerate(program.slots):
            if slot.kind is Kind.INPUT:
                x = inputs[slot.key]
                given[i] = x.astype(self.dtype) if x.ndim == 4 else x
        fixed = self.parameters.of(program) | given | dict(tiles)
        return Running(program, fixed, record, compute, self.dtype).run().astype(mx.float32)

    def _by_kernels(self, call: Call, key: Any) -> list[mx.array]:
        if isinstance(call, Conv):
            call = self.parameters.phased(key, call)
        launch = kernels.launch(call)
        if launch is None or not self.trust.allows(launch, call):
            return twins.run(call)
        return self.device.run(launch)


def _by_mlx(call: Call, key: Any) -> list[mx.array]:
    return twins.run(call)


def filled(rows: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
    """A list of tiles [N, 3] filled up to its bucket: what is made for one edit then serves others of about its size."""
    return np.concatenate([rows, np.full((bucket(len(rows)) - len(rows), 3), -1, np.int32)])


def bucket(tiles: int) -> int:
    """The least 2^k or 3 * 2^k that is no less."""
    size = 4
    while size < tiles:
        size = size * 3 // 2 if size & (size - 1) == 0 else size * 4 // 3
    return size
