"""Predictions of an M1 Pro's CPU: sums against what ops are known to do, and the command."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from benchmarks.prediction import __main__ as command
from benchmarks.prediction import cpu
from benchmarks.prediction.cpu import M1_PRO, Work
from sige_mlx import zoo
from sige_mlx.engine.native.explained import explain
from sige_mlx.graph.cost import dense_cost
from sige_mlx.graph.lowered import Lowered
from tests.tiny import write_tiny_model

APP = typer.Typer()
APP.command()(command.main)


@pytest.fixture(autouse=True)
def vectors_as_neon_s(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests may run by any instruction set."""
    monkeypatch.setattr(cpu, "simd", lambda: "avx2")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("models") / "tiny")


def predict(*arguments: object) -> Result:
    return CliRunner().invoke(APP, ["--device", "cpu", *map(str, arguments)])


def test_all_cores_are_counted_at_the_rate_that_loops_reach() -> None:
    """97 GFLOPS a fast core, 33 a slow one, of which the inner loops reach nine tenths."""
    assert M1_PRO.flops == pytest.approx(0.9 * (777.2e9 + 66.0e9), rel=1e-3)


@pytest.mark.parametrize(("work", "by_memory"), [(Work(10**9, 0, 10), False), (Work(10, 0, 10**9), True)])
def test_an_op_takes_the_longer_time(work: Work, by_memory: bool) -> None:
    assert work.seconds(M1_PRO) == max(2 * work.macs / M1_PRO.flops, work.nbytes / M1_PRO.bandwidth)
    assert work.by_memory(M1_PRO) == by_memory


def test_every_op_works(model: Path) -> None:
    """Convolutions by what is explained of them, others by what the cost model counts."""
    network = zoo.network(str(model))
    lowered = Lowered.of(network.model, network.policy())
    explained = {c.op: c for c in explain(lowered.dense, None)}
    costs = dense_cost(lowered).ops
    for i, (work, cost) in enumerate(zip(cpu.works(lowered.dense, None), costs, strict=True)):
        if i in explained:
            assert (work.macs, work.nbytes) == (explained[i].macs_left, explained[i].nbytes)
        else:
            assert (work.macs, work.nbytes) == (cost.macs, cost.nbytes)


def test_bounds_need_nothing_to_run(model: Path) -> None:
    found = json.loads(predict("-m", model, "--edit", 5, "--rounds", 0, "--json").stdout)
    dense, edit = found["passes"]
    assert found["predicted_not_measured"] and found["limits"] is None
    assert 0 < edit["at_least"] < dense["at_least"]
    assert edit["percent"] == 5 and dense["percent"] is None
    assert dense["expected"] is dense["here"] is None


def test_what_is_expected_is_as_far_from_the_bound_as_here(model: Path) -> None:
    found = json.loads(predict("-m", model, "--edit", 5, "--rounds", 1, "--json").stdout)
    for of in found["passes"]:
        assert of["expected"] / of["at_least"] == pytest.approx(of["here"] / of["here_at_least"])
        assert of["here"] > 0


def test_the_table_says_that_nothing_was_measured(model: Path) -> None:
    shown = predict("-m", model, "--rounds", 0).stdout
    assert shown.startswith("PREDICTED, NOT MEASURED") and "edit of" in shown


def test_vectors_of_another_length_are_one_sentence(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu, "simd", lambda: "avx512")
    ended = predict("-m", model)
    assert ended.exit_code == 1 and "set SIGE_CPU_ISA=avx2, or generic" in ended.output


def test_negative_rounds_are_one_sentence(model: Path) -> None:
    ended = predict("-m", model, "--rounds", -1)
    assert ended.exit_code == 1 and "rounds is -1" in ended.output
