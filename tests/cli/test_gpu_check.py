"""What `sige-mlx doctor` says of a GPU, on the model of Metal."""

from __future__ import annotations

from typing import Any

import mlx.core as mx
import pytest

from sige_mlx.cli import gpu_check
from sige_mlx.cli.gpu_check import SMALL, calls_of, kernel_checks, network_checks
from sige_mlx.engine.gpu import kernels, source
from sige_mlx.engine.gpu.launch import Simulated
from sige_mlx.models import FAMILIES, build
from tests.cli.conftest import Run
from tests.metal.draw import norm_call, paste_call
from tests.metal.sim.kernels import needs_clang

CALLS = [paste_call(True, 1, mx.float16), paste_call(True, 2, mx.float16), norm_call(1, 0, mx.float32)]


@pytest.fixture(autouse=True)
def model_of_metal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGE_METAL", "sim")


def test_small_networks_are_of_all_families_and_use_all_kernels() -> None:
    assert SMALL.keys() == FAMILIES.keys()
    calls = [call for family, settings in SMALL.items() for call in calls_of(build(family, settings))]
    launches = [launch for call in calls if (launch := kernels.launch(call)) is not None]
    assert {launch.kernel.name for launch in launches} == {"attention", "conv", "depthwise", "norm", "paste"}


@needs_clang
def test_right_kernels_pass() -> None:
    checks = kernel_checks(Simulated(), CALLS)
    assert [(c.name, c.passed) for c in checks] == [("kernel norm", True), ("kernel paste", True)]
    assert checks[1].detail == "all 1 variants give what MLX's operations give"  # of the same kernel twice


@needs_clang
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
        right, wrong = kernel_checks(Simulated(), CALLS)
    finally:
        source.expanded.cache_clear()
    assert right.passed and not wrong.passed
    assert wrong.name == "kernel paste" and "1 of 1 variants" in wrong.detail and why in wrong.detail


@pytest.mark.parametrize("family", SMALL)
def test_networks_agree(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def by_mlx(call: Any, like: Any = None) -> None:
        """In place of `kernels.launch`: no call has a kernel."""

    monkeypatch.setattr(kernels, "launch", by_mlx)
    checks = network_checks(family, build(family, SMALL[family]))
    assert [c.passed for c in checks] == [True, True], checks
    monkeypatch.setattr(gpu_check, "BOUND", 1e-30)
    assert not any(c.passed for c in network_checks(family, build(family, SMALL[family])))


@pytest.mark.slow
@needs_clang
def test_doctor_on_the_model(run: Run) -> None:
    ended = run("doctor", "--json")
    assert ended.status == 0, ended.out
    names = [check["name"] for check in ended.json["checks"]]
    assert {"kernel conv", "kernel attention", "ddpm on the GPU, edit", "spade on the GPU, dense pass"} <= {*names}
    assert ended.json["not_checked_here"][-1].startswith("a real GPU")
    assert 0 < ended.json["environment"]["gpu_checks_peak_mib"] < ended.json["environment"]["memory_peak_mib"]
    assert [*ended.json["benchmark"]["devices"]] == ["cpu"], "the model of Metal says nothing of speed"
