"""What a program is compiled to is what it launches."""

from __future__ import annotations

from collections import Counter
from typing import Any

import mlx.core as mx
import numpy as np
import pytest

from benchmarks.host.traffic import Exporting
from benchmarks.simulated.device import Simulated
from sige_mlx import zoo
from sige_mlx.benchmark.blob import blob_mask
from sige_mlx.cli.gpu_check import SMALL, network
from sige_mlx.engine import Engine
from sige_mlx.engine.gpu.compiled import Compiled
from sige_mlx.engine.gpu.executor import Record
from sige_mlx.engine.gpu.launch import Launch, use
from sige_mlx.engine.gpu.sizes import SIDES, Sizes
from sige_mlx.engine.inputs import with_embeddings
from sige_mlx.graph.lowered import Lowered
from sige_mlx.graph.policy import Output
from sige_mlx.graph.program import Kind
from sige_mlx.models.ddpm import DDPMUNet
from tests.engine.compare import edited, image
from tests.graph.networks import RandomUNet, Spec
from tests.policies import OUTPUTS, policy
from tests.tiny import CONFIG

UNET = Spec(16, 24, 3, (("block", 8), ("attention", 8), ("down", 12), ("block", 12), ("up", 8)), True, True)


def described(launch: Launch) -> tuple[Any, ...]:
    """Arrays may have come with other shapes, but not with other sizes."""
    params = launch.inputs[launch.kernel.inputs.index("params")]
    sizes = [a.size for a in launch.inputs]
    return launch.kernel.specialisation, launch.groups, launch.threads, sizes, np.asarray(params).tolist()


@pytest.mark.parametrize("model", [lambda: DDPMUNet(CONFIG), lambda: RandomUNet(UNET)], ids=["ddpm", "random"])
@pytest.mark.parametrize("output", OUTPUTS)
def test_launches(model: Any, output: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    launched: list[Launch] = []

    def run(self: Simulated, launch: Launch) -> list[mx.array]:
        launched.append(launch)
        return [mx.zeros(shape, dtype) for shape, dtype in launch.outputs]

    monkeypatch.setattr(Simulated, "run", run)
    with use(Simulated):
        engine = Engine(model(), "gpu", policy(16, output))
    mask = np.zeros(engine.image_size, np.bool_)
    mask[3:7, 6:13] = True
    inputs = image(engine)
    engine.record(**inputs)
    recording = Compiled(engine.lowered.recording, {}, mx.float16)
    assert [described(a) for a in launched] == [described(step.launch) for step in recording.steps]
    launched.clear()
    prepared = engine.prepare(mask)
    engine.edit(prepared, **edited(inputs, mask))
    assert len(launched) == prepared.bound.launches
    assert [described(a) for a in launched] == [described(s.launch) for s in prepared.bound.ready.compiled.steps]


NETWORKS = {
    **SMALL,
    **{name: ({**SMALL[name][0], "image_size": (s, s)}, 1) for name, s in (("resnet_generator", 64), ("taesd", 128))},
}
"""In real ones no grid of tiles has less than eight numbers."""


@pytest.mark.parametrize("family", NETWORKS)
def test_a_pass_is_its_launches_and_conversions(family: str) -> None:
    """MLX has nothing else to run: no array is put together or made longer for a launch."""
    of = network(family, *NETWORKS[family])
    with use(Exporting):
        engine = Engine(of.model, "gpu", of.edit, load=zoo.random_weights(of.model))
    inputs = image(engine)
    mask = np.zeros(engine.image_size, np.bool_)
    mask[3:7, 6:13] = True
    bound = engine.executor.bind(engine.lowered.tiling(mask), engine.policy.statistics)
    placing, buffers = bound.ready.compiled.placing, engine.lowered.edit.buffers
    record = Record({buffers[s].key: placing.array(s) for s in placing.given if buffers[s].kind is Kind.RECORDED})
    given = with_embeddings(engine.lowered, {name: mx.array(a) for name, a in inputs.items()})
    mx.eval(*record.arrays.values(), *given.values())
    for run, compiled in (
        (lambda x: engine.executor.run({**given, "x": x}), engine.executor._dense.compiled),
        (lambda x: engine.executor.edit(bound, record, {**given, "x": x}), bound.ready.compiled),
    ):
        read = [compiled.program.buffers[slot] for slot in compiled.placing.given]
        converted = 1 + sum(b.kind is Kind.INPUT and len(b.shape) == 4 for b in read)  # with the output
        found: Counter[str] = Counter()
        mx.export_function(
            lambda told, found=found: found.update([told["name"]] if told.get("type") == "primitive" else []),
            run,
            given["x"],
        )
        assert found == {"CustomKernel": len(compiled.steps), "AsType": converted}


def test_a_ddpm_edit_is_few_launches() -> None:
    church = zoo.network("ddpm-church-256")
    lowered = Lowered.of(church.model, church.policy(output="everywhere"))
    tiling = lowered.tiling(blob_mask(lowered.image_size, 1.2, church.edit.dilation))
    assert 0 < sum(c.launch is not None for c in Sizes(lowered, mx.float16).steps(tiling)) < 150


def test_an_empty_edit_launches_nothing() -> None:
    lowered = Lowered.of(DDPMUNet(CONFIG), policy(32))
    assert Sizes(lowered, mx.float16).steps(lowered.tiling(np.zeros(lowered.image_size, np.bool_))) == []


def test_a_dense_pass_has_a_launch_for_every_op() -> None:
    lowered = Lowered.of(DDPMUNet(CONFIG), policy(32))
    compiled = Compiled(lowered.dense, {}, mx.float16)
    assert len(compiled.steps) == len(lowered.dense.ops) and compiled.by_kernels
    assert {"conv_in", "conv_out"} <= {step.layer for step in compiled.steps}


def test_sizes() -> None:
    """Every edit fits into one of a few sizes, and each is launched by the same kernels."""
    church = zoo.network("ddpm-church-256")
    lowered = Lowered.of(church.model, church.policy())
    sizes = Sizes(lowered, mx.float16)
    kernels = [{step.launch.kernel.specialisation for step in sizes.compiled(i).steps} for i in range(len(SIDES) + 1)]
    assert all(of == kernels[0] for of in kernels) and len(kernels[0]) <= 45
    rng, seen = np.random.default_rng(0), set()
    for percent in (0.01, 0.3, 1.2, 5, 15, 40, 99):
        tiling = lowered.tiling(blob_mask(lowered.image_size, percent, 1, int(rng.integers(2**16))))
        size = sizes.of(tiling)
        assert all(len(tiling.at(plane)) <= n for plane, n in sizes.counts[size].items())
        assert size == 0 or any(len(tiling.at(plane)) > n for plane, n in sizes.counts[size - 1].items())
        seen.add(size)
    assert len(seen) >= 5
    assert sizes.of(lowered.tiling(np.ones(lowered.image_size, np.bool_))) == len(SIDES)


def test_values_go_after_their_last_reader() -> None:
    """So that MLX can use the memory again; of a dense pass nothing is left but the output."""
    compiled = Compiled(Lowered.of(DDPMUNet(CONFIG), policy(32)).dense, {}, mx.float16)
    gone = [value for step in compiled.steps for value in step.last]
    assert len(gone) == len({*gone})
    written = {value for step in compiled.steps for value in step.writes}
    assert written - {*gone} == {compiled.output}


def test_small_pictures_have_few_sizes() -> None:
    """Programs that are alike are compiled once; where nothing is in tiles, there is one."""
    for tiles_from, most in ((16, 4), (64, 1)):
        lowered = Lowered.of(RandomUNet(UNET), policy(tiles_from))
        sizes = Sizes(lowered, mx.float16)
        assert len({str(counts) for counts in sizes.counts}) == len(sizes.counts) <= most
        assert sizes.of(lowered.tiling(np.ones(lowered.image_size, np.bool_))) == len(sizes.counts) - 1
        assert sizes.compiled(sizes.typical).by_kernels
