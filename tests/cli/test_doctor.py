import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import mlx.core as mx
import mlx.nn
import pytest

from sige_mlx.benchmark.protocol import PAUSE, PAUSES, measure_pauses
from sige_mlx.cli import gpu_check, self_check, short_bench
from sige_mlx.cli.gpu_check import Contact
from sige_mlx.cli.short_bench import Speed
from sige_mlx.engine import Engine
from sige_mlx.engine.gpu import launch
from sige_mlx.engine.native import library
from sige_mlx.errors import SigeError
from sige_mlx.graph.policy import EditPolicy
from tests.cli.conftest import Run
from tests.tiny import CONFIG


@pytest.fixture(autouse=True)
def a_tiny_network_is_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(short_bench, "NETWORK", CONFIG)


def test_the_engine_is_well(run: Run) -> None:
    ended = run("doctor", "--json")
    assert ended.status == 0
    assert ended.json["passed"]
    assert [check["name"] for check in ended.json["checks"]] == [
        "dense pass",
        "edit",
        "edit with every tile active",
        "empty edit, bit for bit",
        "one thread, bit for bit",
    ]
    assert {"python", "mlx", "numpy", "platform", "native_library"} <= ended.json["environment"].keys()


def test_the_report_says_what_it_did_not_check(run: Run) -> None:
    out = run("doctor").out
    assert ("Not checked here" in out) == (sys.platform != "darwin")
    if not mx.metal.is_available():
        assert out.count("this machine has no Metal") == 1 and "kernel conv" not in out


@pytest.mark.skipif(mx.metal.is_available(), reason="this machine's GPU is measured, too")
def test_the_short_benchmark_is_of_the_cpu_where_there_is_no_gpu(run: Run) -> None:
    measured = run("doctor", "--json").json["benchmark"]
    assert [*measured["devices"]] == ["cpu"] and measured["cpu_over_gpu"] == {}
    cpu = measured["devices"]["cpu"]
    assert cpu["edit_ms"] > 0
    assert cpu["dense_over_edit"] == pytest.approx(cpu["dense_ms"] / cpu["edit_ms"])


def test_ratios_are_those_of_the_times(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    speeds = [Speed("cpu", 80.0, 20.0), Speed("gpu", 10.0, 4.0, 4.5, 31.0)]
    monkeypatch.setattr(short_bench, "short_benchmark", lambda devices, threads, tell: speeds)
    measured = run("doctor", "--json").json["benchmark"]
    assert [of["dense_over_edit"] for of in measured["devices"].values()] == [4.0, 2.5]
    assert measured["cpu_over_gpu"] == {"dense": 8.0, "edit": 5.0}
    out = run("doctor").out
    assert [line.split() for line in out.splitlines() if line.startswith(("cpu", "gpu"))] == [
        ["cpu", "80.0", "20.0", "4.00x"],
        ["gpu", "10.0", "4.0", "2.50x"],
        ["cpu", "/", "gpu", "8.00x", "5.00x"],
    ]
    assert "on the gpu right after another takes 4.5 ms, after a pause of 2 seconds 31.0 ms" in out
    assert "on the cpu right after another" not in out


def test_an_edit_on_a_gpu_is_timed_after_a_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []

    def on_the_cpu(model: mlx.nn.Module, device: str, policy: EditPolicy, **options: Any) -> Engine:
        return Engine(model, "cpu", policy, **options)

    monkeypatch.setattr(short_bench, "Engine", on_the_cpu)
    monkeypatch.setattr(short_bench, "measure_pauses", partial(measure_pauses, sleep=waited.append))
    cpu, gpu = short_bench.short_benchmark(["cpu", "gpu"])
    assert (cpu.at_once_ms, cpu.after_pause_ms) == (None, None)
    assert gpu.at_once_ms and gpu.after_pause_ms
    assert waited == [PAUSE] * PAUSES


@pytest.mark.usefixtures("model_of_metal")
def test_first_contact_is_told(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    contacts = [Contact("conv", 150, 20.0, 0.5), Contact("norm", 4, 0.3, 0.2)]
    monkeypatch.setattr(gpu_check, "gpu_checks", lambda *_: ([], contacts))
    out = run("doctor").out
    told = [line.split() for line in out.splitlines() if line.startswith(("conv ", "norm ", "all "))]
    assert told == [["conv", "150", "20.0", "500"], ["norm", "4", "0.3", "200"], ["all", "154", "20.3", "500"]]
    assert run("doctor", "--json").json["first_contact"][0] == {
        "kernel": "conv",
        "variants": 150,
        "seconds": 20.0,
        "slowest": 0.5,
    }


@pytest.mark.parametrize("computes", [True, False])
def test_kernels_are_skipped_on_a_virtual_gpu(computes: bool, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "_computes", lambda: computes)
    told = {"device_name": "Apple Paravirtual device", "architecture": ""}
    monkeypatch.setattr(launch, "has_gpu", lambda: True)
    monkeypatch.setattr(mx, "device_info", lambda device: told)
    monkeypatch.setattr(gpu_check, "gpu_checks", lambda *_: pytest.fail("kernels were tried"))
    ended = run("doctor", "--json")
    assert ended.status == 0 and ended.json["passed"]
    assert ended.json["environment"]["gpu"] == "Apple Paravirtual device, "
    assert [*ended.json["benchmark"]["devices"]] == ["cpu"] and not ended.json["first_contact"]
    assert ended.json["not_checked_here"][-1].endswith(
        "Apple Paravirtual device is not a real GPU, so kernels were skipped"
    )


def test_every_device_is_measured() -> None:
    assert [s.device for s in short_bench.short_benchmark(["cpu", "reference"])] == ["cpu", "reference"]


def test_a_wrong_result_is_a_failure(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(self_check, "BOUND", 1e-30)
    ended = run("doctor")
    assert ended.status == 1
    assert "FAILED" in ended.out
    assert "passed" in ended.out  # those that are exact


@pytest.fixture
def missing_library(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nothing that is loaded from here on finds the CPU library."""

    def missing() -> None:
        raise SigeError("the CPU library is missing")

    monkeypatch.setattr(library, "_path", missing)
    library.library.cache_clear()
    yield
    library.library.cache_clear()


@pytest.mark.usefixtures("missing_library")
def test_a_missing_library_is_a_failure_and_no_crash(run: Run) -> None:
    ended = run("doctor", "--json")
    assert ended.status == 1
    assert ended.json["checks"] == [{"name": "native engine", "passed": False, "detail": "the CPU library is missing"}]
    assert ended.json["benchmark"] == {"not_measured": "the CPU library is missing"}
    assert "Nothing was measured: the CPU library is missing" in run("doctor").out


def test_a_model_goes_with_a_package(run: Run) -> None:
    ended = run("doctor", "--model", "blue-marble-128")
    assert ended.status == 1 and "--model goes with --coreml PACKAGE" in ended.err


def test_what_is_no_package_for_core_ml(run: Run, tmp_path: Path) -> None:
    ended = run("doctor", "--coreml", str(tmp_path))
    assert ended.status == 1 and "cannot be read as a package for Core ML: No such file" in ended.err
