"""The time of dense passes and edits on an M1 Pro, predicted call by call."""

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from benchmarks.prediction import bounds, expected, limits, plan, traffic
from benchmarks.prediction.bounds import Bounds
from benchmarks.prediction.counting import Counting
from benchmarks.prediction.expected import Expected
from sige_mlx import zoo
from sige_mlx.benchmark.blob import blob_mask
from sige_mlx.benchmark.protocol import Progress
from sige_mlx.engine.gpu.compiled import Step
from sige_mlx.engine.gpu.launch import Launch
from sige_mlx.engine.gpu.ops import Total
from sige_mlx.errors import SigeError
from sige_mlx.graph.lowered import Lowered
from sige_mlx.graph.policy import Output
from sige_mlx.graph.program import NONE, Counts
from sige_mlx.graph.tiling import Size

A_LAUNCH = limits.HOST_LAUNCH + limits.ENCODE


@dataclass(frozen=True)
class PredictedCall:
    """One call of a kernel."""

    layer: str
    kind: str
    """What it computes, and on which plane: "conv 64x64 tiles"."""
    kernel: str
    threadgroups: int
    macs: int
    nbytes: int
    """Moved from and to memory."""
    bounds: Bounds
    """What it takes at least."""
    expected: Expected
    """What it should take."""


@dataclass(frozen=True)
class PredictedPass:
    """A pass over the network, in order."""

    what: str
    percent: float | None
    """Of the pixels that the edit was to have; None for a dense pass."""
    calls: tuple[PredictedCall, ...]
    command_buffers: int
    """That MLX hands to the GPU."""

    @property
    def ms(self) -> float:
        """What it takes the GPU at least."""
        return sum(call.bounds.ms for call in self.calls)

    @property
    def gpu_ms(self) -> float:
        """What it should take the GPU."""
        return sum(call.expected.ms for call in self.calls) + 1e3 * (self.command_buffers - 1) * limits.COMMAND_BUFFER

    @property
    def host_ms(self) -> float:
        """What the host has to do: of it the GPU waits until the first command buffer is there."""
        return 1e3 * (limits.HOST_PREPARE + len(self.calls) * A_LAUNCH)

    @property
    def expected_ms(self) -> float:
        """What it should take from the mask on. Host and GPU work side by side once the first command buffer is there.
        How long the host takes to see that the last one is done is not in it."""
        first = min(limits.BUFFER_LAUNCHES, len(self.calls))
        after = 1e3 * (len(self.calls) - first) * A_LAUNCH
        return 1e3 * (limits.HOST_PREPARE + first * A_LAUNCH) + max(self.gpu_ms, after)

    @property
    def threadgroups(self) -> float:
        """The median of its convolutions."""
        return statistics.median([c.threadgroups for c in self.calls if c.kernel == "conv"] or [0])

    @property
    def macs(self) -> int:
        return sum(call.macs for call in self.calls)

    @property
    def dispatches(self) -> int:
        """Launches of kernels."""
        return len(self.calls)

    def by_kind(self) -> dict[str, list[PredictedCall]]:
        """Calls alike, the longest in all first."""
        groups: dict[str, list[PredictedCall]] = {}
        for call in self.calls:
            groups.setdefault(call.kind, []).append(call)
        return dict(sorted(groups.items(), key=lambda item: -sum(c.expected.ms for c in item[1])))


@dataclass(frozen=True)
class Predicted:
    """A model's dense pass, then for each edit one that computes the output everywhere, and one in its tiles only."""

    model: str
    image_size: Size
    precision: str
    passes: tuple[PredictedPass, ...]


def predict(
    model: str,
    percents: Sequence[float],
    *,
    threshold: int | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Predicted:
    """Predicts a named model, or that of a folder, on edits of each size, in float16, batch 1. Shapes are all that
    matters: weights are neither read nor drawn. Raises `SigeError` for a model or a size that is not there, and where
    kernels cannot be compiled."""
    if not percents:
        raise SigeError("there is no edit to predict: give at least one size, such as 1.2")
    counting = Counting(progress)
    network = zoo.network(model)
    outputs: tuple[Output, ...] = ("everywhere", "tiles")
    lowered = {o: Lowered.of(network.model, network.policy(threshold, o)) for o in outputs}
    passes = [_pass("dense", None, plan.dense(lowered["tiles"]), {}, counting)]
    for percent in percents:
        for output, of in lowered.items():
            tiling = of.tiling(blob_mask(of.image_size, percent, network.edit.dilation, seed))
            name = f"edit of {tiling.edited:.2%}" + ("" if output == "everywhere" else ", output in its tiles only")
            passes.append(_pass(name, percent, plan.edit(of, tiling), tiling.counts, counting))
    return Predicted(model, lowered["tiles"].image_size, plan.PRECISION, tuple(passes))


def _pass(what: str, percent: float | None, steps: Sequence[Step], counts: Counts, counting: Counting) -> PredictedPass:
    launches = [_launch(step) for step in steps]
    predicted = []
    for step, launch, counters in zip(steps, launches, counting.of(launches), strict=True):
        groups, nbytes = math.prod(launch.groups), traffic.moved(step.call)
        predicted.append(
            PredictedCall(
                layer=step.layer,
                kind=_kind(step),
                kernel=launch.kernel.name,
                threadgroups=groups,
                macs=0 if isinstance(step.call, Total) else step.op.work(counts).macs,
                nbytes=nbytes,
                bounds=bounds.of_kernel(nbytes, counters, groups),
                expected=expected.of_launch(launch, nbytes, counters, groups),
            )
        )
    return PredictedPass(what, percent, tuple(predicted), command_buffers(launches))


def command_buffers(launches: Sequence[Launch]) -> int:
    """How many MLX makes: it ends one after so many launches, or so many bytes of arrays that it had not before."""
    count, inside, nbytes = 0, 0, 0
    seen: set[int] = set()
    for launch in launches:
        if inside == 0:
            count, seen, nbytes = count + 1, set(), 0
        inside += 1
        nbytes += sum(a.nbytes for a in launch.inputs if id(a) not in seen)
        seen.update(map(id, launch.inputs))
        if inside >= limits.BUFFER_LAUNCHES or nbytes > limits.BUFFER_BYTES:
            inside = 0
    return count


def _launch(step: Step) -> Launch:
    if step.launch is None:
        raise SigeError(f"{step.layer} is more than any kernel takes, so nothing can be predicted of it")
    return step.launch


def _kind(step: Step) -> str:
    """What an op computes, and where it computes a plane, on which."""
    name = "total" if isinstance(step.call, Total) else type(step.op).__name__.lower()
    out = getattr(step.op, "out", None)
    return f"{name} {out.h}x{out.w} {'dense' if out.list == NONE else 'tiles'}" if out else name


def slowest(calls: Iterable[PredictedCall]) -> str:
    """What most of the time of calls should be spent at."""
    spent: dict[str, float] = {}
    for call in calls:
        spent[call.expected.by] = spent.get(call.expected.by, 0.0) + call.expected.ms
    return max(spent, key=lambda name: spent[name])
