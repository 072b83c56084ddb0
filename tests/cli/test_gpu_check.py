"""What `sige-mlx doctor` says of a GPU, on the model of Metal."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import mlx.core as mx
import pytest

from benchmarks.simulated.device import Simulated
from sige_mlx.cli import gpu_check
from sige_mlx.cli.gpu_check import SMALL, calls_of, kernel_checks, masks_of, network, network_checks, tile_shapes
from sige_mlx.cli.self_check import Check
from sige_mlx.engine.gpu import kernels, source
from sige_mlx.engine.gpu.calls import Call, Conv
from sige_mlx.engine.gpu.launch import use
from sige_mlx.engine.gpu.trust import GpuLost, Trial
from sige_mlx.graph.lowered import Lowered
from tests.cli.conftest import Run
from tests.metal.draw import norm_call, paste_call

CALLS = [paste_call(True, 1, mx.float16), paste_call(True, 2, mx.float16), norm_call(1, 0, mx.float32)]


pytestmark = pytest.mark.usefixtures("model_of_metal")


def test_small_networks_use_all_kernels() -> None:
    calls = [call for family, of in SMALL.items() for call in calls_of(network(family, *of), mx.float16)]
    launches = [launch for call in calls if (launch := kernels.launch(call)) is not None]
    assert {launch.kernel.name for launch in launches} == {"attention", "conv", "depthwise", "norm", "paste"}


def test_right_kernels_pass() -> None:
    checks, contacts = kernel_checks(Simulated(), CALLS)
    assert [(c.name, c.passed) for c in checks] == [("kernel norm", True), ("kernel paste", True)]
    assert [(c.kernel, c.variants) for c in contacts] == [("norm", 1), ("paste", 1)]
    assert all(0 < c.slowest <= c.seconds for c in contacts)
    assert checks[1].detail == "all 1 variants give what MLX's operations give"  # of the same kernel twice


@pytest.mark.parametrize(
    ("new", "why"), [("1.1f * widened<T>(", "its error is 1.0e-02"), ("no_such_function<T>(", "no_such_function")]
)
def test_a_wrong_kernel_fails(new: str, why: str, monkeypatch: pytest.MonkeyPatch) -> None:
    original = source.read
    assert "widened<T>(" in original("paste/paste.h")
    monkeypatch.setattr(
        source, "read", lambda path: original(path).replace("widened<T>(", new) if "paste/" in path else original(path)
    )
    source.expanded.cache_clear()
    try:
        right, wrong = kernel_checks(Simulated(), CALLS)[0]
    finally:
        source.expanded.cache_clear()
    assert right.passed and not wrong.passed
    assert wrong.name == "kernel paste" and "1 of 1 variants" in wrong.detail and why in wrong.detail


def test_nothing_more_is_tried_when_the_gpu_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    def lost(*_: object) -> Trial:
        raise GpuLost("norm", "a fault")

    monkeypatch.setattr(gpu_check, "tried", lost)
    checks, contacts = kernel_checks(Simulated(), CALLS)
    assert [(c.name, c.passed) for c in checks] == [("kernel paste", False)] and len(contacts) == 1
    assert "the GPU stopped working" in checks[0].detail


@pytest.mark.parametrize("real", [True, False])
def test_many_channels_are_tried_too(real: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """On the model of Metal in the dense pass alone, which MLX computes."""
    monkeypatch.setattr(gpu_check, "SMALL", {})
    monkeypatch.setattr(gpu_check, "kernel_checks", lambda *_: ([], []))
    monkeypatch.setattr(gpu_check, "_agreement", lambda name, run, bound: Check(name, True, f"{bound:.0e}"))
    checks, _ = gpu_check.gpu_checks(Simulated(identity="a chip" if real else None))
    assert (checks[0].name, checks[0].detail) == ("many channels on the GPU, dense pass", "2e-05")
    assert len(checks) == (5 if real else 1)


@pytest.mark.parametrize("family", SMALL)
def test_an_edit_elsewhere_is_of_the_same_bucket_and_a_larger_one_is_not(family: str) -> None:
    small = network(family, *SMALL[family])
    lowered = Lowered.of(small.model, small.edit)
    first, again, elsewhere, larger = masks_of(lowered).values()
    assert first is again and (elsewhere != first).any()
    assert tile_shapes(lowered, elsewhere) == tile_shapes(lowered, first) != tile_shapes(lowered, larger)


@pytest.fixture
def by_mlx(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No call has a kernel. Edits are kept as on a Mac, but not compiled: for this processor that takes a minute."""
    monkeypatch.setattr(kernels, "launch", lambda call, like=None: None)
    monkeypatch.setattr(mx, "compile", lambda function: function)
    with use(lambda: Simulated(lazy=True)):
        yield


@pytest.mark.parametrize("family", SMALL)
def test_networks_agree(family: str, by_mlx: None, monkeypatch: pytest.MonkeyPatch) -> None:
    checks = network_checks(family, network(family, *SMALL[family]))
    assert [(c.name, c.passed) for c in checks] == [
        (f"{family} on the GPU, {what}", True)
        for what in ("dense pass", "edit", "edit again", "edit elsewhere", "larger edit")
    ], checks
    monkeypatch.setattr(gpu_check, "BOUND", 1e-30)
    assert not any(c.passed for c in network_checks(family, network(family, *SMALL[family])))


def test_a_wrong_compiled_edit_fails(by_mlx: None, monkeypatch: pytest.MonkeyPatch) -> None:
    def compile_but_keep_the_tiles(function: Any) -> Any:
        kept: list[Any] = []

        def compiled(inputs: Any, tiles: Any, *record: Any) -> mx.array:
            kept.extend([] if kept else [tiles])
            return function(inputs, kept[0], *record)

        return compiled

    monkeypatch.setattr(mx, "compile", compile_but_keep_the_tiles)
    checks = network_checks("ddpm", network("ddpm", *SMALL["ddpm"]))
    assert [c.passed for c in checks] == [True, True, True, False, False]


def test_all_kernels_are_tried_and_in_both_precisions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_check, "network_checks", lambda *_, **options: [])
    given: list[Call] = []
    monkeypatch.setattr(gpu_check, "kernel_checks", lambda device, calls, tell: given.extend(calls) or ([], []))
    gpu_check.gpu_checks(Simulated())
    convolutions = [call for call in given if isinstance(call, Conv)]
    assert {call.weight.dtype for call in convolutions} == {mx.float16, mx.float32}
    launches = [launch for call in convolutions if (launch := kernels.launch(call)) is not None]
    for define, values in {"NARROW": {0, 3}, "WINOGRAD": {0, 1}, "SOURCES": {1, 2, 3}, "RESIDUAL": {0, 1}}.items():
        assert values <= {dict(launch.kernel.defines)[define] for launch in launches}


@pytest.mark.slow
def test_doctor_on_the_model(run: Run) -> None:
    ended = run("doctor", "--json")
    assert ended.status == 0, ended.out
    names = [check["name"] for check in ended.json["checks"]]
    assert {"kernel conv", "kernel attention", "ddpm on the GPU, edit", "spade on the GPU, dense pass"} <= {*names}
    assert "many channels on the GPU, dense pass" in names
    assert {of["kernel"] for of in ended.json["first_contact"]} == {"attention", "conv", "depthwise", "norm", "paste"}
    assert ended.json["not_checked_here"][-1].startswith("a real GPU")
    assert 0 < ended.json["environment"]["gpu_checks_peak_mib"] < ended.json["environment"]["memory_peak_mib"]
    assert [*ended.json["benchmark"]["devices"]] == ["cpu"], "the model of Metal says nothing of speed"
