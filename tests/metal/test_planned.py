"""What an edit is planned to launch is what it launches."""

from __future__ import annotations

from collections import Counter
from typing import Any

import mlx.core as mx
import numpy as np
import pytest

from benchmarks.simulated.device import Simulated
from sige_mlx import zoo
from sige_mlx.benchmark.blob import blob_mask
from sige_mlx.cli.gpu_check import SMALL, network
from sige_mlx.engine import Engine
from sige_mlx.engine.gpu.launch import Launch, use
from sige_mlx.engine.gpu.planned import planned, planned_dense
from sige_mlx.graph.lowered import Lowered
from sige_mlx.graph.policy import Output
from sige_mlx.models.ddpm import DDPMUNet
from tests.engine.compare import edited, image
from tests.graph.networks import RandomUNet, Spec
from tests.policies import OUTPUTS, policy
from tests.tiny import CONFIG

UNET = Spec(16, 24, 3, (("block", 8), ("attention", 8), ("down", 12), ("block", 12), ("up", 8)), True, True)


def described(launch: Launch) -> tuple[Any, ...]:
    params = launch.inputs[launch.kernel.inputs.index("params")]
    shapes = [a.shape for a in launch.inputs]
    return launch.kernel.specialisation, launch.groups, launch.threads, shapes, np.asarray(params).tolist()


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
    prepared = engine.prepare(mask)
    engine.edit(prepared, **edited(inputs, mask))
    expected = [c.launch for c in planned(engine.lowered, prepared.tiling, mx.float16)]
    assert launched and [described(a) for a in launched] == [described(b) for b in expected if b is not None]


class Recording:
    """MLX's own kernels, which only `mx.export_function` takes where there is no Metal. It takes no function that MLX
    keeps compiled."""

    dispatches = None
    lazy = False
    identity = None

    def run(self, launch: Launch) -> list[mx.array]:
        return launch.compiled()(**launch.arguments())


NETWORKS = {**SMALL, "resnet_generator": ({**SMALL["resnet_generator"][0], "image_size": (64, 64)}, 1)}
"""In real ones no grid of tiles has less than eight numbers."""


@pytest.mark.parametrize("family", NETWORKS)
def test_an_edit_is_its_launches_and_two_conversions(family: str) -> None:
    """MLX has nothing else to run: no array is put together or made longer for a launch."""
    of = network(family, *NETWORKS[family])
    with use(Recording):
        engine = Engine(of.model, "gpu", of.edit, load=zoo.random_weights(of.model))
    inputs = image(engine)
    engine.record(**inputs)
    mask = np.zeros(engine.image_size, np.bool_)
    mask[3:7, 6:13] = True
    prepared = engine.prepare(mask)
    others = {name: a for name, a in inputs.items() if name != "x"}
    for _ in range(2):  # the first edit makes weights of phases
        found: Counter[str] = Counter()
        mx.export_function(
            lambda told, found=found: found.update([told["name"]] if told.get("type") == "primitive" else []),
            lambda x: engine.edit(prepared, x=x, **others),
            mx.array(inputs["x"]),
        )
    views = {name: found.pop(name) for name in ("Reshape", "ExpandDims", "Squeeze") if name in found}
    launches = len(planned(engine.lowered, prepared.tiling, mx.float16))
    assert found == {"CustomKernel": launches, "AsType": 2}, views


def test_a_ddpm_edit_is_few_launches() -> None:
    church = zoo.network("ddpm-church-256")
    lowered = Lowered.of(church.model, church.policy(output="everywhere"))
    tiling = lowered.tiling(blob_mask(lowered.image_size, 1.2, church.edit.dilation))
    assert 0 < sum(c.launch is not None for c in planned(lowered, tiling, mx.float16)) < 150


def test_an_empty_edit_launches_nothing() -> None:
    lowered = Lowered.of(DDPMUNet(CONFIG), policy(32))
    assert planned(lowered, lowered.tiling(np.zeros(lowered.image_size, np.bool_)), mx.float16) == []


def test_a_dense_pass_has_a_call_for_every_op() -> None:
    lowered = Lowered.of(DDPMUNet(CONFIG), policy(32))
    calls = planned_dense(lowered, mx.float16)
    assert len(calls) == len(lowered.dense.ops)
    assert all(c.launch is None for c in calls)
    assert {"conv_in", "conv_out"} <= {c.layer for c in calls}
