"""F(4x4, 3x3): the transforms, and where they are used. The kernel itself is held against MLX in test_kernels.py."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import mlx.core as mx
import numpy as np
import pytest

from sige_mlx.engine import Engine
from sige_mlx.engine.gpu.launch import Dispatch
from sige_mlx.engine.gpu.ops import Conv, cost
from sige_mlx.engine.gpu.ops.blocking import WinogradBlocking
from sige_mlx.engine.gpu.ops.cost import blocking_of, transform_pays
from sige_mlx.engine.gpu.ops.epilogue import Epilogue
from sige_mlx.engine.gpu.ops.operands import Domain, Plane, Source
from sige_mlx.engine.gpu.ops.weights import pack, unpack
from sige_mlx.engine.gpu.ops.winograd import can_be_transformed, points, transformed
from sige_mlx.engine.gpu.trust import Trust
from tests.engine.compare import edited, image, nmse
from tests.graph.networks import RandomUNet, Spec
from tests.policies import policy

# Of Lavin and Gray 2016.
B = np.array(
    [
        [4, 0, -5, 0, 1, 0],
        [0, -4, -4, 1, 1, 0],
        [0, 4, -4, -1, 1, 0],
        [0, -2, -1, 2, 1, 0],
        [0, 2, -1, -2, 1, 0],
        [0, 4, 0, -5, 0, 1],
    ],
    np.float64,
)
A = np.array([[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]], np.float64)


def call(side: int = 32, c: int = 256, c_out: int = 256, k: int = 3, stride: int = 1, tile: int = 4) -> Conv:
    """Of a whole plane."""
    plane = Plane(1, side, side, c, 4, mx.zeros((1, side, side, c), mx.float16))
    source = Source(plane, k, k, stride, k // 2, k // 2)
    out = Domain(1, side // stride, side // stride, tile)
    weight = mx.zeros((-(-c_out // 32), -(-c // 8) * k * k, 4, 8, 8), mx.float16)
    return Conv(Epilogue(out, c_out), weight, (source,))


@pytest.mark.parametrize("k", [3, 1])
def test_transforms_convolve(k: int) -> None:
    rng = np.random.default_rng(0)
    weight = rng.standard_normal((5, k, k, 9)).astype(np.float32)
    pixels = rng.standard_normal((6, 6, 9))
    order = points(k)
    (packed,) = unpack(transformed(pack([mx.array(weight)]), 5, [(k, k, 9)]), 5, [(1, len(order), 9)])
    u = np.zeros((5, 36, 9), np.float32)
    u[:, order] = np.asarray(packed)[:, 0]
    u = u.reshape(5, 6, 6, 9)
    v = np.einsum("ya,xb,abi->yxi", B, B, pixels)
    found = np.einsum("ya,xb,abo->yxo", A, A, np.einsum("yxi,oyxi->yxo", v, u))
    seen = pixels if k == 3 else pixels[1:5, 1:5]
    windows = np.lib.stride_tricks.sliding_window_view(seen, (k, k), (0, 1))
    np.testing.assert_allclose(found, np.einsum("yxiab,oabi->yxo", windows, weight), atol=1e-5)


def test_what_can_be_transformed() -> None:
    assert can_be_transformed(call())
    assert can_be_transformed(call(tile=8))  # a whole plane can be cut into other tiles
    pair = call()
    assert can_be_transformed(replace(pair, sources=(*pair.sources, *call(k=1).sources)))
    listed = replace(pair.epilogue, out=replace(pair.epilogue.out, tile=8, list=mx.array([[0, 0, 0]])))
    summed = replace(pair.epilogue, out=replace(pair.epilogue.out, tile=8), sums=True)
    others = [call(k=1), call(k=5), call(stride=2), replace(pair, phase_shift=1)]
    for other in (*others, replace(pair, epilogue=listed), replace(pair, epilogue=summed)):
        assert not can_be_transformed(other)


def test_it_pays_where_there_is_enough_to_multiply() -> None:
    assert transform_pays(call(32))
    assert not transform_pays(call(8))  # four tiles: most of a threadgroup would be idle
    assert not transform_pays(call(32, c_out=3))


def test_a_launch_by_transformed_weights() -> None:
    plain = call()
    given = replace(plain, transformed=transformed(plain.weight, 256, [(3, 3, 256)]))
    assert isinstance(blocking_of(given), WinogradBlocking) and not isinstance(blocking_of(plain), WinogradBlocking)
    launch = given.launch()
    assert launch is not None and launch.groups == (256 // 32, 32 * 32 // 16 // 16, 1)
    assert dict(launch.kernel.defines)["WINOGRAD"] == 1
    assert launch.inputs[launch.kernel.inputs.index("weight")] is given.transformed


@dataclass
class Edits:
    """Two executors of a small network for which transforms are made to pay, and the kernels that were launched."""

    gpu: Engine
    reference: Engine
    launched: list[Dispatch] = field(default_factory=list)

    def error(self) -> float:
        """Normalised mean squared, of an edit."""
        mask = np.zeros(self.gpu.image_size, np.bool_)
        mask[3:7, 6:13] = True
        inputs = image(self.gpu)
        changed = edited(inputs, mask)
        for engine in (self.gpu, self.reference):
            engine.record(**inputs)
        self.gpu.executor.device.dispatches = self.launched
        return nmse(*(engine.edit(engine.prepare(mask), **changed) for engine in (self.gpu, self.reference)))

    def transformed(self) -> list[bool]:
        return ["WINOGRAD=1" in dispatch.kernel for dispatch in self.launched if "WINOGRAD" in dispatch.kernel]


@pytest.fixture
def edits(model_of_metal: None, monkeypatch: pytest.MonkeyPatch) -> Edits:
    monkeypatch.setattr(cost, "WORTH_ITS_MEMORY", 0)
    model = RandomUNet(Spec(16, 16, 3, (("block", 24), ("down", 24)), norm_out=True, time=True))
    return Edits(Engine(model, "gpu", policy(16)), Engine(model, "reference", policy(16)))


def test_an_edit_keeps_the_transform(edits: Edits) -> None:
    parameters = edits.gpu.executor.parameters
    before = parameters.nbytes
    assert edits.error() < 1e-4 and any(edits.transformed())
    kept = parameters.nbytes
    assert kept > before
    assert edits.error() < 1e-4 and parameters.nbytes == kept


def test_a_refused_kernel_is_replaced_by_the_plain_convolution(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Trust, "allows", lambda self, launch, call: "WINOGRAD=1" not in launch.kernel.specialisation)
    edits: Edits = request.getfixturevalue("edits")
    assert edits.error() < 1e-4
    assert edits.transformed() and not any(edits.transformed())
