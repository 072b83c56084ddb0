"""The GPU executor: programs become calls, whatever runs these; and whole networks on the model of Metal."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlx.utils import tree_flatten, tree_map

from benchmarks.simulated.device import Simulated
from sige_mlx.engine import Engine
from sige_mlx.engine.gpu import executor
from sige_mlx.engine.gpu.compiled import tile_arrays
from sige_mlx.engine.gpu.launch import Launch, use
from sige_mlx.engine.gpu.ops import Call
from sige_mlx.engine.gpu.sizes import Sizes
from sige_mlx.errors import SigeError
from sige_mlx.graph.lowered import Lowered
from sige_mlx.graph.policy import STATISTICS, Statistics
from sige_mlx.graph.program import Kind
from sige_mlx.models.ddpm import DDPMUNet
from tests.engine.compare import edited, image, nmse
from tests.engine.frozen import assert_within_bounds, cases, network_of
from tests.engine.rounding import FLOAT32, assert_exact, exact
from tests.graph.networks import Net, RandomUNet, Spec, conv, masks, specs
from tests.metal.by_mlx import by_mlx, use_by_mlx
from tests.models.networks import frozen_network
from tests.policies import OUTPUTS, policy
from tests.tiny import CONFIG

LABELS = (("gaugan-small", None), ("gan-compression-small", None))
FROZEN = (("ddpm-small", None), ("pd-small", 32), ("pd-small", 64), *LABELS)
"""Networks, and the plane side from which they use tiles where it is not their own."""

ROUNDING = 5e-3
"""What float16 may add to the errors of the frozen cases, relative; dense passes have 2.4e-3."""

BOUND: dict[str, dict[str, Any]] = {"float32": {"unit": FLOAT32}, "float16": {"unit": 2.0**-11, "times": 4}}
"""Of roundoff. In float16, values are rounded once, when they are stored: they are added up in float32."""


pytestmark = pytest.mark.usefixtures("model_of_metal")


def assert_agree(
    model: Any,
    mask: np.ndarray,
    precision: str = "float32",
    tiles_from: int = 8,
    statistics: Statistics = "fresh head",
    **options: Any,
) -> None:
    for output in OUTPUTS:
        of = policy(tiles_from, output, statistics)
        gpu = Engine(model, "gpu", of, precision=precision, **options)
        assert_exact([gpu], Engine(model, "reference", of, **options), mask, **BOUND[precision])


@given(
    st.data(),
    specs(),
    st.sampled_from([1, 2]),
    st.sampled_from([1, 5, 8, 21]),
    st.sampled_from([2, 3, 4, 8]),
    st.sampled_from(STATISTICS),
)
def test_programs_as_calls(
    data: st.DataObject, spec: Spec, batch: int, tiles_from: int, tile: int, statistics: Statistics
) -> None:
    mask = data.draw(masks(spec.height, spec.width))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Call, "launch", by_mlx)
        assert_agree(RandomUNet(spec), mask, batch=batch, tiles_from=tiles_from, tile=tile, statistics=statistics)


@pytest.mark.slow
@pytest.mark.parametrize("statistics", ["fresh head", "followed"])
@pytest.mark.parametrize("precision", ["float32", "float16"])
def test_a_network_by_kernels(precision: str, statistics: Statistics) -> None:
    spec = Spec(16, 24, 3, (("block", 8), ("attention", 8), ("down", 12), ("block", 12), ("up", 8)), True, True)
    mask = np.zeros((16, 24), np.bool_)
    mask[3:7, 10:20] = True
    assert_agree(RandomUNet(spec), mask, precision, 16, statistics)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "tiles_from"), [(n, side) for network, side in FROZEN for n in cases(network)])
def test_frozen(name: str, tiles_from: int | None, shared: dict[Any, Engine]) -> None:
    network = frozen_network(network_of(name))
    for output in OUTPUTS:
        key = network_of(name), tiles_from, output
        if key not in shared:
            of = network.policy(tiles_from, output)
            shared[key] = Engine(network.model, "gpu", of, precision="float32")
        assert_within_bounds(shared[key], name)


@pytest.fixture(scope="module")
def shared() -> dict[Any, Engine]:
    return {}


@pytest.mark.slow
@pytest.mark.parametrize("name", [n for network, side in FROZEN if side != 64 for n in cases(network) if "stroke" in n])
def test_frozen_in_half_precision(name: str) -> None:
    network = frozen_network(network_of(name))
    for output in OUTPUTS:
        engine = Engine(network.model, "gpu", network.policy(output=output), precision="float16")
        assert_within_bounds(engine, name, ROUNDING)


def kept(function: Callable[..., list[mx.array]]) -> Callable[..., list[mx.array]]:
    """Like `mx.compile`, which on Linux keeps nothing where there is no g++: what the function did with arrays of these
    shapes is done again, with the values that it had from elsewhere."""
    graphs: dict[str, Any] = {}

    def call(*arguments: Any) -> list[mx.array]:
        arrays = [array for _, array in tree_flatten(arguments)]
        shapes = str([(name, array.shape, array.dtype) for name, array in tree_flatten(arguments)])
        if shapes not in graphs:
            rebuilt = tree_map(lambda array: next(i for i, a in enumerate(arrays) if a is array), arguments)
            with NamedTemporaryFile(suffix=".mlxfn") as file:
                traced = lambda *given: function(*tree_map(given.__getitem__, rebuilt))  # noqa: E731
                mx.export_function(file.name, traced, *arrays)
                graphs[shapes] = mx.import_function(file.name)
        return graphs[shapes](*arrays)

    return call


def test_edits_that_mlx_keeps(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first edit traces the programs of all sizes; no later one runs them in Python, whatever its tiles."""
    monkeypatch.setattr(mx, "compile", kept)
    use_by_mlx(monkeypatch)
    runs = []
    run = executor._run
    monkeypatch.setattr(executor, "_run", lambda *arguments: runs.append(1) or run(*arguments))
    model = Net((16, 16, 3), lambda m, x: m.b(m.a(x)), a=conv(3, 4), b=conv(4, 3))
    of = policy(8, "tiles")
    gpu, reference = Engine(model, "gpu", of, precision="float32"), Engine(model, "reference", of)
    inputs = image(gpu)
    gpu.record(**inputs)
    runs.clear()
    for seed, (top, side) in enumerate([(0, 3), (4, 3), (9, 2), (0, 16), (2, 9), (0, 6)]):
        mask = np.zeros((16, 16), np.bool_)
        mask[top : top + side, 5 : 5 + side] = True
        changed = edited(inputs, mask, seed)
        _, expected = exact(reference, inputs, changed, mask)
        expected.assert_near(gpu.edit(gpu.prepare(mask), **changed))
        assert len(runs) == len(gpu.executor.sizes.counts) > 1


def test_an_edit_that_mlx_cannot_keep(monkeypatch: pytest.MonkeyPatch) -> None:
    """MLX fails to fuse some graphs of very many small operations (ml-explore/mlx#3165), such as those that replace a
    kernel: where a kernel is refused, nothing is compiled."""

    def fails(*arguments: Any) -> mx.array:
        raise IndexError("unordered_map::at: key not found")

    monkeypatch.setattr(Call, "launch", by_mlx)
    monkeypatch.setattr(mx, "compile", lambda function: fails)
    with use(lambda: Simulated(lazy=True)):
        engine = Engine(DDPMUNet(CONFIG), "gpu", policy(32), precision="float32")
    inputs, mask = image(engine), np.eye(*engine.image_size, dtype=np.bool_)
    engine.record(**inputs)
    first, again = (engine.edit(engine.prepare(mask), **edited(inputs, mask)) for _ in range(2))
    assert nmse(first, again) == 0


def test_broken_kernels_never_make_a_wrong_picture(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    class Broken(Simulated):
        def run(self, launch: Launch) -> list[mx.array]:
            if launch.kernel.name == "norm":
                raise RuntimeError("[metal::Device] Unable to build metal library from source\nerror: …")
            return [mx.full(shape, 0.5, dtype) for shape, dtype in launch.outputs]

    monkeypatch.setenv("SIGE_MLX_CACHE", str(tmp_path))
    spec = Spec(16, 24, 3, (("block", 8), ("down", 12), ("block", 12), ("up", 8)), True, True)
    mask = np.zeros((16, 24), np.bool_)
    mask[3:7, 10:20] = True
    with use(lambda: Broken(identity="a chip")), pytest.warns(UserWarning) as caught:
        assert_agree(RandomUNet(spec), mask, tiles_from=16)
    messages = [str(w.message) for w in caught]
    kernels = {m.split(" is replaced")[0] for m in messages}
    assert len(messages) <= len(OUTPUTS) * len(kernels)  # an engine says so once for each kernel
    assert any("kernel norm" in m and "Unable to build metal library" in m for m in messages)
    assert any("kernel conv" in m and "its error is" in m for m in messages)


@pytest.mark.parametrize(("device", "precision"), [("gpu", "float64"), ("cpu", "float16")])
def test_precision(device: str, precision: str) -> None:
    with pytest.raises(
        SigeError, match=rf"^precision '{precision}' is not what device '{device}' computes in: choose "
    ):
        Engine(DDPMUNet(CONFIG), device, precision=precision)


def test_lists_are_filled_up() -> None:
    lowered = Lowered.of(RandomUNet(Spec(16, 16, 3, (("block", 8),), False, False)), policy(8))
    compiled = (sizes := Sizes(lowered, mx.float32)).compiled(len(sizes.counts) - 1)
    tiling = lowered.tiling(np.eye(16, dtype=np.bool_) & (np.arange(16) < 2))
    filled = {compiled.program.buffers[slot].kind: a for slot, a in tile_arrays(compiled, tiling).items()}
    rows, expected = np.asarray(filled[Kind.ROWS]), tiling.at((16, 16))
    assert rows.dtype == np.int32 and rows.shape == (compiled.counts[16, 16], 3)
    assert (rows[: len(expected)] == expected.rows).all() and (rows[len(expected) :] == -1).all()
    assert (np.asarray(filled[Kind.GRID]) == expected.grid).all()
