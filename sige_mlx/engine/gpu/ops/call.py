"""An op of a program with its arrays in place. A Metal kernel runs it (`launch`), or plain MLX operations (`by_mlx`):
these are what kernels are tried against, and what replaces one that is refused."""

from abc import ABC, abstractmethod
from enum import Enum
from typing import TYPE_CHECKING, Any, ClassVar

import mlx.core as mx

from sige_mlx.engine.gpu.launch import MAX_BUFFERS, Kernel, Launch
from sige_mlx.engine.gpu.ops.epilogue import Results
from sige_mlx.engine.gpu.ops.operands import Arrays, Struct
from sige_mlx.engine.gpu.structs import pack
from sige_mlx.engine.weights import Loader
from sige_mlx.graph.program import Slot

if TYPE_CHECKING:
    from sige_mlx.engine.gpu.ops.sampling import Sampling
    from sige_mlx.engine.gpu.placing import Placing


class Arrangement(Enum):
    """What the weights of a convolution can be made into for a kernel."""

    PHASES = "phases"
    TRANSFORMED = "transformed"


class Call(ABC):
    """One op, its arrays given."""

    kernel: ClassVar[str]
    """The folder of `metal/` that its kernel is in."""

    @classmethod
    @abstractmethod
    def of(cls, op: Any, placing: "Placing") -> "Call":
        """The call of an op of a program, of the op's own type."""

    @classmethod
    def writes(cls, op: Any) -> list[Slot]:
        """The slots that an op writes its results into, in their order; those behind the last result are NONE."""
        return [op.dst]

    @classmethod
    def packed(cls, op: Any, written: Any, load: Loader, dtype: mx.Dtype) -> mx.array:
        """The weights of an op as its kernel takes them; `written` is the fused operation that the op is part of."""
        raise TypeError(f"{cls.__name__} has no weights")

    @property
    @abstractmethod
    def results(self) -> Results:
        """What it gives, in order."""

    @abstractmethod
    def by_mlx(self) -> list[mx.array]:
        """The results by MLX's operations."""

    @abstractmethod
    def sample(self, sampling: "Sampling") -> "Call":
        """A small call with random arrays that, where it can, needs the same kernel."""

    @abstractmethod
    def _launch(self, blocking: Any) -> Launch | None: ...

    def launch(self, blocking: Any = None) -> Launch | None:
        """The launch of its kernel, in the blocking that should be fastest or in another; None where the call is beyond
        what the kernel takes."""
        made = self._launch(blocking)
        return made if made is None or len(made.inputs) + len(made.outputs) <= MAX_BUFFERS else None

    def arrangements(self) -> list[Arrangement | None]:
        """How its weights may be arranged, what should be fastest first; the last is None, as they are packed."""
        return [None]

    def form(self, arrangement: Arrangement | None) -> "Call":
        """The call for weights in an arrangement, which are a placeholder: arranging takes time and memory, and a
        kernel may be refused."""
        return self

    def in_parts(self) -> "list[tuple[Call, ...]]":
        """How it can be computed by one kernel after the other, what should be fastest first; the last is itself. What
        a part gives, the next has a placeholder for."""
        return [(self,)]

    @property
    def listed(self) -> mx.array | None:
        """The tiles whose results are read, where they are listed."""
        return None

    def _launched(
        self,
        struct: tuple[str, Struct],
        arrays: Arrays,
        defines: tuple[tuple[str, int], ...],
        template: tuple[tuple[str, Any], ...],
        groups: tuple[int, int, int],
        threads: int,
        blocking: Any = None,
    ) -> Launch:
        inputs, results = {"params": pack(*struct), **arrays}, self.results
        kernel = Kernel(self.kernel, tuple(inputs), tuple(results), defines, template)
        return Launch(kernel, [*inputs.values()], groups, threads, [*results.values()], blocking)
