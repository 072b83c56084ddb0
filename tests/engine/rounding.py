"""What a network computes in float64, and how far the rounding of float32 may take a result from that.

How much of one rounding error reaches the output is the network's own: a norm of few pixels, a modulation, a mean of
many deviations enlarge it thousands of times. So no one number bounds the errors of all networks; the bound is
measured on the same network, image and edit. In float64 every weight, every pixel of the image and every value that an
operation makes is moved by one unit of roundoff, up or down at random; variances are moved as if they were sums of
squares less squared means, which is how executors that run tile by tile have to take them. The mean square of what
that does to the output is the noise. It depends on no BLAS and on no executor.

An executor may be `ROUNDINGS` times as far off. The noise rounds factors and results once, about 3 units squared. A
sum of n products that float32 adds up one after the other has near 0.1 n units squared: 20 times the noise for n =
600, which is the longest here. The transforms of Winograd's F(4x4, 3x3) add and subtract what is up to 8 times as
large as the result: 64 times. The two together stay under 100, and a bound is a mean square over few outputs, so twice
that; the most that is seen is 52. The smallest mistakes, such as a pixel too few, are off by a million times the noise.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from typing import Any

import mlx.core as mx
import mlx.nn
import numpy as np
import numpy.typing as npt
import pytest

from sige_mlx.engine import Engine
from sige_mlx.engine.estimates import shrunk
from sige_mlx.engine.recordings import Record
from sige_mlx.engine.reference import ReferenceExecutor
from sige_mlx.graph.ir import Graph, Input
from sige_mlx.graph.lowered import Lowered
from sige_mlx.graph.policy import Statistics
from sige_mlx.graph.tiling import Tiling
from sige_mlx.nn.ops import GroupNorm, InstanceNorm, Op
from tests.engine.compare import EVERYWHERE, edited, image, nmse
from tests.graph.networks import Mask
from tests.policies import OUTPUTS, policy

ROUNDINGS = 200
FLOAT32 = 2.0**-24
"""The unit of roundoff: half the distance of 1 and the next number."""

Floats = npt.NDArray[np.floating[Any]]
Arrays = Mapping[str, mx.array]


@dataclass(frozen=True)
class Exact:
    """An output in float64, and the normalised mean square of what rounding does to it."""

    value: npt.NDArray[np.float64]
    noise: float

    def assert_near(self, found: Any, what: str = "output", times: float = ROUNDINGS) -> None:
        """`found` is this output but for so many times the noise."""
        error = nmse(found, self.value)
        assert error <= times * self.noise, f"{what}: {error:.2e}, {error / self.noise:.0f} times the noise"


def assert_agree(
    model: mlx.nn.Module, mask: Mask, tiles_from: int = 8, statistics: Statistics = "fresh head", **options: Any
) -> None:
    """The native engine and the reference are right to float32's rounding, densely and in edits, with and without the
    pixels outside of their tiles."""
    for output in OUTPUTS:
        of = policy(tiles_from, output, statistics)
        native, reference = (Engine(model, device, of, **options) for device in EVERYWHERE)
        assert_exact([native, reference], reference, mask)


def assert_exact(
    engines: Sequence[Engine], reference: Engine, mask: Mask, unit: float = FLOAT32, times: float = ROUNDINGS
) -> None:
    """Each engine, all of one policy, computes what `reference` means: the dense pass, and an edit under the mask."""
    inputs = image(reference)
    changed = edited(inputs, mask)
    dense, result = exact(reference, inputs, changed, mask, unit)
    for engine in engines:
        dense.assert_near(engine.record(**inputs), f"{engine.device}, dense", times)
        found = engine.edit(engine.prepare(mask), **changed)
        result.assert_near(found, f"{engine.device}, edit, output {engine.policy.output}", times)


def exact(
    reference: Engine,
    inputs: Mapping[str, Floats],
    changed: Mapping[str, Floats] | None = None,
    mask: Mask | None = None,
    unit: float = FLOAT32,
    commits: Sequence[tuple[Mapping[str, Floats], Mask]] = (),
) -> list[Exact]:
    """The dense output for `inputs`, and with a mask that of its edit for `changed`; `unit` is the executor's of
    roundoff. What is to be committed before that edit, inputs and their masks, is."""
    lowered, graph, params = reference.lowered, reference.lowered.graph, reference.executor.params
    small = reference._half.lowered if "estimated" in reference.policy.all_statistics else None
    edits = [*commits] if changed is None or mask is None else [*commits, (changed, mask)]
    tilings = [lowered.tiling(mask) for _, mask in edits]
    changes = [changed for changed, _ in edits]
    of = _widened(params), _widened(inputs), map(_widened, changes), tilings
    values = _run(lowered, graph, *of, small and ReferenceExecutor(small, of[0]))
    noises = np.full(len(values), unit**2)  # the output is rounded, whatever the network does
    for seed in range(2):
        noise = _Noise(seed, unit)
        of_graph, of_params = noise.of_results(graph), {name: noise(p) for name, p in _widened(params).items()}
        of = of_params, noise.of_image(inputs), map(noise.of_image, changes), tilings
        shrinking = small and ReferenceExecutor(small, of_params)
        if shrinking:
            shrinking.graph = noise.of_results(shrinking.graph)
        rounded = _run(lowered, of_graph, *of, shrinking)
        noises += [nmse(r, v) / 2 for r, v in zip(rounded, values, strict=True)]
    return [Exact(v, float(n)) for v, n in zip(values, noises, strict=True)]


class _Noise:
    """Moves every number by one unit of roundoff of its own, up or down."""

    def __init__(self, seed: int, unit: float):
        self.seed = seed
        self.unit = unit
        self.rng = np.random.default_rng(seed)

    def __call__(self, x: mx.array, rng: np.random.Generator | None = None) -> mx.array:
        factor = 1 + self.unit * (2.0 * (rng or self.rng).integers(0, 2, x.shape) - 1)
        return x * mx.array(factor, dtype=mx.float64)

    def of_image(self, inputs: Mapping[str, Floats]) -> dict[str, mx.array]:
        """The same noise for an image and an edited one, which are the same pixels but in the mask. Time steps, the
        inputs that are no image, are whole numbers."""
        return {
            name: self(x, np.random.default_rng(self.seed)) if x.ndim == 4 else x
            for name, x in _widened(inputs).items()
        }

    def of_results(self, graph: Graph) -> Graph:
        """The graph with an operation's results moved."""
        nodes = [n if isinstance(n.op, Input) else replace(n, op=self._moved(n.op)) for n in graph.nodes]
        return Graph(nodes, graph.inputs, graph.output)

    def of_variance(self, x: mx.array, groups: int) -> mx.array:
        """What rounding the mean square does to a variance, (B, C)."""
        b, h, w, c = x.shape
        square = (x.reshape(b, h, w, groups, c // groups) ** 2).mean((1, 2, 4))
        return mx.repeat(self(square) - square, c // groups, axis=1)

    def _moved(self, op: Op) -> Op:
        kind, noise = type(op), self

        class Moved(kind):  # type: ignore[valid-type, misc]
            def __call__(self, inputs: Sequence[mx.array], params: Arrays) -> mx.array:
                return noise(super().__call__(inputs, params))

            def affine(self, x: mx.array, params: Arrays) -> tuple[mx.array, mx.array]:
                norm = kind(**{f.name: getattr(self, f.name) for f in fields(kind)})
                if isinstance(norm, GroupNorm | InstanceNorm):
                    groups = getattr(norm, "groups", x.shape[-1])
                    norm = replace(norm, eps=norm.eps + noise.of_variance(x, groups))
                return norm.affine(x, params)

        moved: Op = object.__new__(Moved)
        moved.__dict__.update(op.__dict__)
        return moved


def _run(
    lowered: Lowered,
    graph: Graph,
    params: Arrays,
    inputs: Arrays,
    changes: Iterable[Arrays],
    tilings: Sequence[Tiling],
    small: ReferenceExecutor | None,
) -> list[Any]:
    """The dense output and the last edit's; the others are committed. `graph` has the operations of the lowered one,
    perhaps moved by noise, and `small` measures at half the size."""
    executor = ReferenceExecutor(lowered, params)
    executor.graph = graph

    def given(record: Record, inputs: Arrays, estimated: bool) -> Any:
        if small is None:
            return {}
        whole, size = lowered.image_size, small.lowered.image_size
        shrinked = {name: shrunk(x, size) if x.shape[1:3] == whole else x for name, x in inputs.items()}
        return executor.given(record, small.measure(shrinked), estimated)

    with mx.stream(mx.cpu), _convolutions_in_float64():
        dense, record = executor.record(inputs)
        record.arrays.update(given(record, inputs, False))
        outputs = []
        for tiling, changed in zip(tilings, changes, strict=True):
            statistics = lowered.policy.statistics_of(tiling.edited)
            bound = executor.bind_commit(tiling, statistics)
            of = given(record, changed, statistics == "estimated")
            outputs.append(executor.commit(bound, record, changed, of)[0])
        return [np.asarray(output) for output in (dense, *outputs[-1:])]


def _widened(arrays: Mapping[str, Any]) -> dict[str, mx.array]:
    with mx.stream(mx.cpu):
        return {name: mx.array(np.asarray(x, np.float64), dtype=mx.float64) for name, x in arrays.items()}


@contextmanager
def _convolutions_in_float64() -> Iterator[None]:
    """MLX has float64 on the CPU for all but some convolutions."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mx, "conv_general", _conv)
        patch.setattr(mx, "conv_transpose2d", _conv_transpose)
        yield


def _conv(x: mx.array, weight: mx.array, *, stride: int, padding: tuple[list[int], list[int]], groups: int) -> mx.array:
    (top, left), (bottom, right) = padding
    x = mx.pad(x, [(0, 0), (top, bottom), (left, right), (0, 0)])
    _, kh, kw, _ = weight.shape
    h, w = (x.shape[1] - kh) // stride + 1, (x.shape[2] - kw) // stride + 1
    total = mx.array(0, dtype=mx.float64)
    for i, j in np.ndindex(kh, kw):
        seen = x[:, i : i + stride * h : stride, j : j + stride * w : stride][:, :h, :w]
        total = total + (seen @ weight[:, i, j].T if groups == 1 else seen * weight[:, i, j, 0])
    return total


def _conv_transpose(x: mx.array, weight: mx.array, *, stride: int, padding: int, output_padding: int) -> mx.array:
    assert (stride, padding, output_padding) == (2, 1, 1)  # the only one of ours
    b, h, w, c = x.shape
    apart = mx.zeros((b, 2 * h, 2 * w, c), dtype=mx.float64)
    apart[:, ::2, ::2] = x
    return _conv(apart, weight[:, ::-1, ::-1], stride=1, padding=([1, 1], [1, 1]), groups=1)
