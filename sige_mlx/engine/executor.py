"""What executors are, and which one runs a network on a device."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import mlx.core as mx
import mlx.nn
import numpy as np
import numpy.typing as npt

from sige_mlx.engine.changes import Replaced
from sige_mlx.engine.recordings import Codec, Holder, Record
from sige_mlx.engine.statistics import Doubles
from sige_mlx.engine.weights import Loader
from sige_mlx.graph.lowered import Lowered
from sige_mlx.graph.policy import Statistics
from sige_mlx.graph.program import Program
from sige_mlx.graph.tiling import Tiling
from sige_mlx.nn.module import parameters
from sige_mlx.nn.precisions import PRECISIONS

DEVICES = ("cpu", "gpu", "reference")


class Executor(Holder, Protocol):
    """One way to run a network. Inputs are those of its graph by name, and embeddings by themselves; `bind` makes the
    tiles of an edit ready, `edit` takes what it gives, as `commit` takes what `bind_commit` gives. In both, arrays that
    are given take the place of recorded ones: `given` makes them of what another executor's `measure` gives, which is
    the moments of all norms."""

    def run(self, inputs: Mapping[Any, Any]) -> mx.array: ...

    def record(
        self, inputs: Mapping[Any, Any], codec: Codec, only: Tiling | None = None
    ) -> tuple[mx.array, Record]: ...

    def measure(self, inputs: Mapping[Any, Any]) -> Mapping[Any, Doubles]: ...

    def given(self, record: Any, measured: Mapping[Any, Doubles], estimated: bool) -> Mapping[Any, Any]: ...

    def bind(self, tiling: Tiling, statistics: Statistics) -> Any: ...

    def edit(self, bound: Any, record: Any, inputs: Mapping[Any, Any], given: Mapping[Any, Any] = ...) -> mx.array: ...

    def output(self, record: Any) -> mx.array: ...

    def give_output(self, record: Any, output: mx.array) -> None: ...

    def bind_commit(self, tiling: Tiling, statistics: Statistics) -> Any: ...

    def commit(
        self, bound: Any, record: Any, inputs: Mapping[Any, Any], given: Mapping[Any, Any] = ...
    ) -> tuple[mx.array, Replaced]: ...

    def swap(self, record: Any, replaced: Replaced) -> Replaced: ...

    def expect(self, bound: Any, record: Any) -> None: ...

    @property
    def weights_nbytes(self) -> int: ...

    @property
    def keeps(self) -> str:
        """All that says how it keeps a step; nothing where that cannot be stored in a file."""
        ...

    def store(self, record: Any) -> tuple[Codec, list[npt.NDArray[Any]]]: ...

    def restored(self, codec: Codec, arrays: Sequence[npt.NDArray[Any]]) -> Record: ...


class ProgramExecutor(Executor, Protocol):
    """An executor of programs."""

    def keep(
        self, program: Program, inputs: Mapping[Any, Any], recorded: Mapping[Any, Any] = ...
    ) -> tuple[mx.array, Mapping[Any, Any]]: ...


def executor_of(
    lowered: Lowered, model: mlx.nn.Module, device: str, load: Loader | None, threads: int, precision: str
) -> Executor:
    """Returns the executor of a network on a device."""
    if device == "reference":
        from sige_mlx.engine.reference import ReferenceExecutor

        params = parameters(model)
        return ReferenceExecutor(lowered, params if load is None else {k: mx.array(load(k)) for k in params})
    return executor_of_programs(lowered, model, device, load, threads, precision)


def executor_of_programs(
    lowered: Lowered, model: mlx.nn.Module, device: str, load: Loader | None, threads: int, precision: str
) -> ProgramExecutor:
    """Returns the executor of a network's programs on "cpu" or "gpu"."""
    params = parameters(model)
    load = load or (lambda name: np.asarray(params[name].astype(mx.float32)))
    if device == "gpu":
        from sige_mlx.engine.gpu.executor import GpuExecutor

        return GpuExecutor(lowered, load, PRECISIONS[precision])
    from sige_mlx.engine.native.executor import NativeExecutor

    return NativeExecutor(lowered, load, threads)
