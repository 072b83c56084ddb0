import sys

import mlx.core as mx
import pytest

from sige_mlx.cli import self_check
from sige_mlx.engine.native import library
from sige_mlx.errors import SigeError
from tests.cli.conftest import Run


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


def test_a_wrong_result_is_a_failure(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(self_check, "BOUND", 1e-30)
    ended = run("doctor")
    assert ended.status == 1
    assert "FAILED" in ended.out
    assert "passed" in ended.out  # those that are exact


def test_a_missing_library_is_a_failure_and_no_crash(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> None:
        raise SigeError("the CPU library is missing")

    monkeypatch.setattr(library, "library", missing)
    ended = run("doctor", "--json")
    assert ended.status == 1
    assert ended.json["checks"] == [{"name": "native engine", "passed": False, "detail": "the CPU library is missing"}]
