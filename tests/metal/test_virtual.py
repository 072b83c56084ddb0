"""Machines without a GPU, what takes its place, and the GPU of a virtual machine: no kernel runs there, and none is
called wrong."""

from __future__ import annotations

from pathlib import Path

import mlx.core as mx
import numpy as np
import pytest

from benchmarks.simulated.device import Simulated
from sige_mlx.engine import Engine
from sige_mlx.engine.gpu import launch, wired
from sige_mlx.engine.gpu.launch import Metal
from sige_mlx.errors import SigeError
from tests.engine.compare import edited, image, nmse
from tests.graph.networks import RandomUNet, Spec
from tests.policies import policy

SPEC = Spec(16, 24, 3, (("block", 8), ("down", 12), ("block", 12), ("up", 8)), True, True)


@pytest.fixture(autouse=True)
def runner(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine such as GitHub lends."""
    monkeypatch.setenv("SIGE_MLX_CACHE", str(tmp_path))
    monkeypatch.setattr(mx.metal, "is_available", lambda: True)
    monkeypatch.setattr(mx, "is_available", lambda device: True)
    told = {mx.gpu: {"device_name": "Apple Paravirtual device", "architecture": ""}}
    monkeypatch.setattr(mx, "device_info", told.__getitem__)
    monkeypatch.setattr(mx, "set_wired_limit", lambda limit: pytest.fail("memory was wired"))
    monkeypatch.setattr(Metal, "run", lambda self, launch: pytest.fail("a kernel was launched"))


@pytest.mark.parametrize(
    ("name", "unfit"),
    [
        ("Apple M1 Pro", None),
        ("Apple M4 Max", None),
        ("Apple Paravirtual device", "Apple Paravirtual device is not a real GPU"),
        ("AppleParavirtGPU", "AppleParavirtGPU is not a real GPU"),
    ],
)
def test_it_is_known_by_its_name(name: str, unfit: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mx, "device_info", {mx.gpu: {"device_name": name}}.__getitem__)
    assert Metal().unfit == unfit


def test_edits_run_by_plain_mlx_with_one_warning(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(launch, "_computes", lambda: True)
    model = RandomUNet(SPEC)
    gpu, reference = (Engine(model, device, policy(16)) for device in ("gpu", "reference"))
    inputs = image(gpu)
    mask = np.zeros((16, 24), np.bool_)
    mask[3:7, 10:20] = True
    with pytest.warns(UserWarning) as caught:
        for engine in (gpu, reference):
            engine.record(**inputs)
        results = [e.edit(e.prepare(mask), **edited(inputs, mask)) for e in (gpu, reference)]
        assert nmse(*results) < 1e-4
    assert [str(w.message) for w in caught] == [
        "the Metal kernels are replaced by slower ones or MLX operations: Apple Paravirtual device is not a real GPU"
    ]
    assert not [*tmp_path.iterdir()]  # no verdict on any kernel
    assert wired.wired._ours is None


def test_without_metal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mx.metal, "is_available", lambda: False)
    with pytest.raises(SigeError, match=r"^the device gpu needs Metal, which this machine lacks: choose cpu$"):
        Engine(RandomUNet(SPEC), "gpu")


def test_another_device_takes_the_place_of_the_gpu_for_a_while() -> None:
    lent: list[Simulated] = []

    def lend() -> Simulated:
        lent.append(Simulated())
        return lent[-1]

    with launch.use(lend):
        with launch.use(Metal):
            assert isinstance(launch.device(), Metal)
        engines = [Engine(RandomUNet(SPEC), "gpu") for _ in range(2)]
    assert [engine.executor.device for engine in engines] == lent and len(lent) == 2
    with pytest.raises(SigeError, match="choose the device cpu"):
        launch.device()


def test_a_mac_without_a_gpu_to_give(monkeypatch: pytest.MonkeyPatch) -> None:
    """MLX was built for Metal and finds no device, as in a sandbox."""
    monkeypatch.setattr(mx, "is_available", lambda device: device != mx.gpu)
    assert launch.virtual_gpu() is None
    with pytest.raises(SigeError, match=r"^the device gpu needs Metal, which this machine lacks: choose cpu$"):
        Engine(RandomUNet(SPEC), "gpu")


def test_it_is_asked_for_the_gpu_whatever_the_default_is() -> None:
    assert Metal().identity.startswith(", macOS")


@pytest.mark.skipif(mx.metal.is_available(), reason="this machine has a GPU")
def test_one_that_computes_nothing_is_refused_in_a_sentence() -> None:
    """As this processor would be, asked for a GPU."""
    with pytest.raises(
        SigeError,
        match=r"^Apple Paravirtual device is not a real GPU, and does not compute what it should: choose the device"
        r" cpu$",
    ):
        Engine(RandomUNet(SPEC), "gpu")


def test_what_a_gpu_must_compute_for_that(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the processor in its place, and then something that gives zeros."""
    stream = mx.stream
    monkeypatch.setattr(mx, "stream", lambda device: stream(mx.cpu))
    assert launch._computes()
    conv, calls = mx.conv2d, []

    def zeros_the_second_time(*arguments: mx.array) -> mx.array:
        calls.append(1)
        return conv(*arguments) * (len(calls) % 2)

    monkeypatch.setattr(mx, "conv2d", zeros_the_second_time)
    assert not launch._computes()
