"""What `sige-mlx doctor` says of a GPU, on the model of Metal."""

from __future__ import annotations

from typing import Any

import mlx.core as mx
import pytest

from benchmarks.simulated.device import Simulated
from sige_mlx.cli import gpu_check
from sige_mlx.cli.gpu_check import SMALL, kernel_checks, masks_of, network, network_checks, steps_of
from sige_mlx.engine.gpu import text as metal_text
from sige_mlx.engine.gpu.compiled import Step
from sige_mlx.engine.gpu.ops import Conv
from sige_mlx.engine.gpu.sizes import Sizes
from sige_mlx.engine.gpu.trust import GpuLost, Trial
from sige_mlx.graph.lowered import Lowered
from tests.cli.conftest import Run
from tests.metal.by_mlx import use_by_mlx
from tests.metal.draw import norm_call, paste_call

CALLS = [paste_call(True, 1, mx.float16), paste_call(True, 2, mx.float16), norm_call(1, 0, mx.float32)]
STEPS = [Step("a layer", None, call, call.launch(), None, (), []) for call in CALLS]


pytestmark = pytest.mark.usefixtures("model_of_metal")

KERNELS = {"attention", "conv", "depthwise", "norm", "paste", "total"}


def test_small_networks_use_all_kernels() -> None:
    steps = [step for family, of in SMALL.items() for step in steps_of(network(family, *of), mx.float16)]
    launches = [step.launch for step in steps if step.launch is not None]
    assert {launch.kernel.name for launch in launches} == KERNELS


def test_right_kernels_pass() -> None:
    checks, contacts = kernel_checks(Simulated(), STEPS)
    assert [(c.name, c.passed) for c in checks] == [("kernel norm", True), ("kernel paste", True)]
    assert [(c.kernel, c.variants) for c in contacts] == [("norm", 1), ("paste", 1)]
    assert all(0 < c.slowest <= c.seconds for c in contacts)
    assert checks[1].detail == "all 1 variants give what MLX's operations give"  # of the same kernel twice


@pytest.mark.parametrize(
    ("new", "why"), [("1.1f * widened<T>(", "its error is 1.0e-02"), ("no_such_function<T>(", "no_such_function")]
)
def test_a_wrong_kernel_fails(new: str, why: str, monkeypatch: pytest.MonkeyPatch) -> None:
    original = metal_text.read
    assert "widened<T>(" in original("paste/paste.h")
    monkeypatch.setattr(
        metal_text,
        "read",
        lambda path: original(path).replace("widened<T>(", new) if "paste/" in path else original(path),
    )
    metal_text.expanded.cache_clear()
    try:
        right, wrong = kernel_checks(Simulated(), STEPS)[0]
    finally:
        metal_text.expanded.cache_clear()
    assert right.passed and not wrong.passed
    assert wrong.name == "kernel paste" and "1 of 1 variants" in wrong.detail and why in wrong.detail


def test_nothing_more_is_tried_when_the_gpu_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    def lost(*_: object) -> Trial:
        raise GpuLost("norm", "a fault")

    monkeypatch.setattr(gpu_check, "tried", lost)
    checks, contacts = kernel_checks(Simulated(), STEPS)
    assert [(c.name, c.passed) for c in checks] == [("kernel paste", False)] and len(contacts) == 1
    assert "the GPU stopped working" in checks[0].detail


@pytest.mark.parametrize("family", SMALL)
def test_an_edit_elsewhere_is_of_the_same_size_and_a_larger_one_is_not(family: str) -> None:
    small = network(family, *SMALL[family])
    lowered = Lowered.of(small.model, small.edit)
    first, again, elsewhere, larger = masks_of(lowered).values()
    assert first is again and (elsewhere != first).any()
    sizes = Sizes(lowered, mx.float16)
    assert sizes.of(lowered.tiling(elsewhere)) == sizes.of(lowered.tiling(first)) != sizes.of(lowered.tiling(larger))


@pytest.fixture
def by_mlx(monkeypatch: pytest.MonkeyPatch) -> None:
    """Edits are kept as on a Mac, but not compiled: for this processor that takes a minute."""
    monkeypatch.setattr(mx, "compile", lambda function: function)
    use_by_mlx(monkeypatch)


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

        def compiled(given: Any) -> Any:
            tiles = {i for i, a in enumerate(given) if a.dtype == mx.int32}
            if not kept and any((given[i] >= 0).any().item() for i in tiles):
                kept.append(given)
            return function([kept[0][i] if kept and i in tiles else a for i, a in enumerate(given)])

        return compiled

    monkeypatch.setattr(mx, "compile", compile_but_keep_the_tiles)
    checks = network_checks("ddpm", network("ddpm", *SMALL["ddpm"]))
    assert [c.passed for c in checks] == [True, True, True, False, True]  # the larger one is another program


def test_all_kernels_are_tried_and_in_both_precisions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_check, "network_checks", lambda *_, **options: [])
    given: list[Step] = []
    monkeypatch.setattr(gpu_check, "kernel_checks", lambda device, steps, tell: given.extend(steps) or ([], []))
    gpu_check.gpu_checks(Simulated())
    convolutions = [step for step in given if isinstance(step.call, Conv)]
    assert {step.call.weight.dtype for step in convolutions} == {mx.float16, mx.float32}
    launches = [step.launch for step in convolutions if step.launch is not None]
    for define, values in {"NARROW": {0, 3}, "WINOGRAD": {0, 1}, "SOURCES": {1, 2, 3}, "RESIDUAL": {0, 1}}.items():
        assert values <= {dict(launch.kernel.defines)[define] for launch in launches}


@pytest.mark.slow
def test_doctor_on_the_model(run: Run) -> None:
    ended = run("doctor", "--json")
    assert ended.status == 0, ended.out
    names = [check["name"] for check in ended.json["checks"]]
    assert {"kernel conv", "kernel attention", "ddpm on the GPU, edit", "spade on the GPU, dense pass"} <= {*names}
    assert {of["kernel"] for of in ended.json["first_contact"]} == KERNELS
    assert ended.json["not_checked_here"][-1].startswith("a real GPU")
    assert 0 < ended.json["environment"]["gpu_checks_peak_mib"] < ended.json["environment"]["memory_peak_mib"]
    assert [*ended.json["benchmark"]["devices"]] == ["cpu"], "the model of Metal says nothing of speed"
