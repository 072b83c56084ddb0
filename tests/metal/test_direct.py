"""MLX's Winograd in half precision is kept out of whatever MLX's operations compute for us."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import mlx.core as mx
import numpy as np
import pytest

from sige_mlx.cli.gpu_check import LARGE, LARGE_BOUND, network
from sige_mlx.engine import Engine
from sige_mlx.engine.gpu import twins
from sige_mlx.engine.gpu.binding import Record
from sige_mlx.engine.gpu.calls import Conv, Domain, Epilogue, Plane, Source
from sige_mlx.engine.gpu.executor import _by_mlx
from sige_mlx.engine.gpu.twins import by_winograd
from sige_mlx.engine.gpu.weights import pack, unpack
from sige_mlx.graph.program import Program
from tests.engine.compare import image, nmse
from tests.metal.half_winograd import convolved

PLANE = Plane(1, 64, 64, 128, 4, None)
READ = Source(PLANE, 3, 3, 1, 1, 1)

Told = list[dict[str, Any]]


pytestmark = pytest.mark.usefixtures("model_of_metal")


@pytest.mark.parametrize(
    ("shape", "c_out", "source"),
    [
        ((1, 63, 65, 128), 128, READ),  # 4095 pixels
        ((1, 64, 64, 128), 96, READ),  # 224 channels
        ((1, 64, 64, 144), 128, READ),  # not by 32
        ((1, 64, 64, 128), 130, READ),
        ((1, 64, 64, 128), 128, replace(READ, kh=1)),
        ((1, 64, 64, 128), 128, replace(READ, kh=5, kw=5)),
        ((1, 64, 64, 128), 128, replace(READ, stride=2)),
    ],
)
def test_what_mlx_convolves_directly(shape: tuple[int, ...], c_out: int, source: Source) -> None:
    assert not by_winograd(shape, c_out, source)


@pytest.mark.parametrize("shape", [(1, 64, 64, 128), (114, 6, 6, 192), (4, 32, 32, 224)])
def test_what_mlx_convolves_by_winograd(shape: tuple[int, ...]) -> None:
    assert by_winograd(shape, 128, READ)


def traced(run: Any, *inputs: mx.array) -> Told:
    """The operations of a function, none of which is computed."""
    told: Told = []
    mx.export_function(lambda one: told.append(one) if one.get("type") == "primitive" else None, run, *inputs)
    return told


def convolutions(told: Told) -> list[tuple[tuple[int, ...], tuple[int, ...], int, mx.Dtype, bool]]:
    """Shapes of what each reads and of its weights, its stride, its type and whether its kernel is read backwards."""
    found = []
    for one in told:
        if one["name"] == "Convolution":
            (_, x, dtype), (_, weight, _) = one["inputs"]
            found.append((x, weight, one["arguments"][0][0], dtype, one["arguments"][-1]))
    return found


@pytest.mark.parametrize("what", ["dense", "recording"])
@pytest.mark.parametrize("precision", ["float16", "float32"])
def test_a_network_meets_it_in_single_precision_only(what: str, precision: str) -> None:
    engine = Engine(network(*LARGE).model, "gpu", precision=precision)
    program: Program = getattr(engine.lowered, what)
    inputs = engine._with_embeddings({name: mx.array(x) for name, x in image(engine).items()})

    def run(x: mx.array) -> mx.array:
        return engine.executor._run(program, {**inputs, "x": x}, {}, Record(), _by_mlx)

    met = []
    for x, weight, stride, dtype, backwards in convolutions(traced(run, inputs["x"])):
        o, kh, kw, _ = weight
        if by_winograd(x, o, Source(PLANE, kh, kw, stride)):
            met.append((dtype, backwards))
    half = precision == "float16"
    assert len(met) >= 2 and set(met) == {(mx.float16 if half else mx.float32, half)}


def pair(dtype: mx.Dtype) -> Conv:
    """Of two sources, one of which MLX would convolve by Winograd."""
    rng = np.random.default_rng(0)

    def normal(*shape: int) -> mx.array:
        return mx.array(rng.standard_normal(shape).astype(np.float32)).astype(dtype)

    planes = [replace(PLANE, h=62, w=62, c=c, base=normal(1, 62, 62, c)) for c in (192, 40)]
    sources = (replace(READ, x=planes[0]), Source(planes[1], 1, 1))
    weights = [normal(64, 3, 3, 192) / 40, normal(64, 1, 1, 40) / 6]
    return Conv(Epilogue(Domain(1, 62, 62, 4), 64), pack(weights), sources)


def test_the_direct_way_computes_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    call, backwards = pair(mx.float16), []
    conv = mx.conv_general

    def watched(*arguments: Any, flip: bool = False) -> mx.array:
        backwards.append(flip)
        return conv(*arguments, flip=flip)

    monkeypatch.setattr(mx, "conv_general", watched)
    (direct,) = twins.run(call)
    monkeypatch.setattr(twins, "by_winograd", lambda *_: False)
    (other,) = twins.run(call)
    assert backwards == [True, True, False, False]
    assert mx.array_equal(direct, other).item()


def test_the_direct_way_takes_no_copy_more() -> None:
    counted = [
        Counter(one["name"] for one in traced(lambda w, d=d: unpacked(w, d), pair(mx.float16).weight))
        for d in (True, False)
    ]
    more = counted[0] - counted[1]
    assert set(more) <= {"Slice"} and not counted[1] - counted[0]


def unpacked(weight: mx.array, backwards: bool) -> list[mx.array]:
    return unpack(weight, 64, [(3, 3, 192), (1, 1, 40)], backwards=backwards)


def test_weights_are_unpacked_backwards() -> None:
    weights = [mx.random.normal((40, 3, 2, 12)), mx.random.normal((40, 1, 1, 9))]
    shapes = [w.shape[1:] for w in weights]
    for given, found in zip(weights, unpack(pack(weights), 40, shapes, backwards=True), strict=True):
        assert mx.array_equal(found, given[:, ::-1, ::-1]).item()


@pytest.mark.slow
def test_the_doctor_tells_them_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the network that it tries, with this processor in place of MLX's GPU."""
    model = network(*LARGE).model
    gpu, cpu = Engine(model, "gpu"), Engine(model, "cpu")
    inputs = image(cpu)
    expected = cpu(**inputs)
    assert nmse(gpu(**inputs), expected) < LARGE_BOUND / 4
    conv = mx.conv_general

    def by_itself(x: mx.array, weight: mx.array, stride: int, flip: bool) -> mx.array:
        return convolved(x, weight[:, ::-1, ::-1]) if flip else conv(x, weight, stride)

    monkeypatch.setattr(mx, "conv_general", by_itself)
    assert nmse(gpu(**inputs), expected) > 4 * LARGE_BOUND
