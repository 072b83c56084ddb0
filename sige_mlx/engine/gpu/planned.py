"""What an edit launches, found without running anything: arrays have a shape and a type, and MLX never makes them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import mlx.core as mx

from sige_mlx.engine.gpu import kernels
from sige_mlx.engine.gpu.binding import Affines, Record, Running
from sige_mlx.engine.gpu.calls import Attention, Call, Conv, Depthwise, Norm, Paste
from sige_mlx.engine.gpu.executor import tile_arrays
from sige_mlx.engine.gpu.forms import forms
from sige_mlx.engine.gpu.kernels import outputs
from sige_mlx.engine.gpu.launch import Launch, in_device_memory
from sige_mlx.engine.gpu.weights import PANEL, k_groups
from sige_mlx.graph import program as p
from sige_mlx.graph.lowered import Lowered
from sige_mlx.graph.program import NONE, Kind, Program
from sige_mlx.graph.tiling import Tiling


@dataclass(frozen=True)
class PlannedCall:
    """A call of the layer `layer`; `launch` is None where no kernel takes it and MLX's operations run it."""

    layer: str
    call: Call
    launch: Launch | None


def planned(lowered: Lowered, tiling: Tiling, dtype: mx.Dtype) -> list[PlannedCall]:
    """The calls of one step of an edit, in order, values and weights being of `dtype`. The lists of tiles are the
    edit's, filled up as the executor fills them; every other array is zeros that were not made."""
    if tiling.empty:
        return []
    record = Record()
    recorded = _running(lowered.recording, {}, record, dtype, lambda layer, call: None)
    record.arrays["value", lowered.graph.output] = recorded.run()
    found: list[PlannedCall] = []

    def tell(layer: str, call: Call) -> None:
        launches = ((form, kernels.launch(form)) for _, form in forms(call))
        found.append(PlannedCall(layer, *next((of for of in launches if of[1] is not None), (call, None))))

    _running(lowered.edit, tile_arrays(lowered.edit, tiling), record, dtype, tell).run()
    return found


def planned_dense(lowered: Lowered, dtype: mx.Dtype) -> list[PlannedCall]:
    """The calls of a dense pass, which MLX's operations run."""
    found: list[PlannedCall] = []

    def tell(layer: str, call: Call) -> None:
        found.append(PlannedCall(layer, call, None))

    _running(lowered.dense, {}, Record(), dtype, tell).run()
    return found


def _running(
    program: Program,
    tiles: Mapping[int, mx.array],
    record: Record,
    dtype: mx.Dtype,
    tell: Callable[[str, Call], None],
) -> Running:
    def compute(call: Call, key: Any) -> list[mx.array]:
        tell(running.layer, call)
        return [mx.zeros(shape, of) for shape, of in _results(call)]

    fixed = _parameters(program, dtype) | dict(tiles)
    running = Running(program, fixed, _affines(program), record, compute, dtype)
    return running


def _parameters(program: Program, dtype: mx.Dtype) -> dict[int, mx.array]:
    """Stand-ins for inputs, weights, and what else a network has."""
    found = {}
    for i, slot in enumerate(program.buffers):
        if slot.kind is Kind.INPUT:
            found[i] = mx.zeros(slot.shape, dtype if len(slot.shape) == 4 else mx.float32)
        elif slot.kind is Kind.BIAS:
            found[i] = in_device_memory(mx.zeros(slot.shape))
        elif slot.kind is Kind.PARAM:
            found[i] = mx.zeros(slot.shape)
    for op in program.ops:
        if isinstance(op, p.Conv):
            groups = sum(k_groups(s.kh, s.kw, s.x.c) for s in op.source)
            found[op.weight] = mx.zeros((-(-op.c_out // PANEL), groups, 4, 8, 8), dtype)
        elif isinstance(op, p.Depthwise) and op.weight != NONE:
            found[op.weight] = mx.zeros((op.source.kh * op.source.kw, op.c), dtype)
    return found


def _affines(program: Program) -> Affines:
    """Stand-ins for norms that are the same every time."""
    slots = [s for s in program.buffers if s.kind is Kind.FOLDED and s.key[0] == "scale"]
    return {(s.key, ("shift", *s.key[1:])): mx.zeros((2, 1, *s.shape)) for s in slots}


def _results(call: Call) -> list[tuple[tuple[int, ...], mx.Dtype]]:
    """Shape and type of what `twins.run` gives."""
    if isinstance(call, Conv | Depthwise):
        dtype = call.weight.dtype if isinstance(call, Conv) else call.dtype
        return [*outputs.made(call.epilogue, dtype).values()]
    if isinstance(call, Norm):
        return [((2, call.n, call.channels), mx.float32)]
    if isinstance(call, Attention):
        return [(call.shape, call.q.array.dtype)]
    assert isinstance(call, Paste)
    x = call.x
    return [((x.n, x.h, x.w, x.c), x.dtype)]
