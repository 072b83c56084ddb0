"""`python -m benchmarks.cores`: cores of different speed share ops as the engine's threads do."""

from __future__ import annotations

import json

import pytest
import typer
from typer.testing import CliRunner

from benchmarks.cores import __main__ as command
from benchmarks.cores.model import FORK, PREPARING, Pieces, in_equal_shares, share, share_all

MS = 1e-3


def run(*arguments: str) -> tuple[int, str]:
    app = typer.Typer()
    app.command()(command.main)
    result = CliRunner().invoke(app, [*arguments])
    return result.exit_code, result.output


def test_a_core_alone_waits_for_nobody() -> None:
    shared = share(Pieces(MS, 7, 3), [1.0])
    assert (shared.seconds, shared.waited) == (MS, 0)


def test_equal_cores_divide_equal_chunks() -> None:
    shared = share(Pieces(MS, 8, 4), [1.0] * 4)
    assert shared.seconds == pytest.approx(MS / 4 + FORK)
    assert shared.waited == pytest.approx(4 * FORK)


def test_all_wait_for_the_one_piece_there_is() -> None:
    shared = share(Pieces(MS, 1, 1), [1.0] * 4)
    assert shared.seconds == MS
    assert shared.waited == pytest.approx(3 * MS)


def test_an_op_that_is_too_short_is_not_shared() -> None:
    assert share(Pieces(3e-6, 8, 8), [1.0] * 4).seconds == 3e-6


def test_the_panels_of_the_last_chunk_are_shared_after_preparing_it_again() -> None:
    panels = 8
    shared = share(Pieces(MS, 1, panels), [1.0, 1.0])
    preparing, panel = PREPARING * MS, (1 - PREPARING) * MS / panels
    assert shared.seconds == pytest.approx(preparing + panels / 2 * panel + FORK)


def test_many_pieces_keep_slow_cores_busy_and_few_wait_for_them() -> None:
    fast, all_cores = [1.0] * 8, [1.0] * 8 + [0.3] * 2
    many, few = Pieces(MS, 1000, 1), Pieces(MS, 10, 1)
    assert share(many, all_cores).seconds < share(many, fast).seconds < in_equal_shares([many], all_cores)
    assert share(few, all_cores).seconds == pytest.approx(MS / 10 / 0.3 + FORK)
    assert share_all([many, few], fast).seconds == pytest.approx(sum(share(op, fast).seconds for op in (many, few)))


def test_a_small_network() -> None:
    status, output = run("--model", "blue-marble-128", "--rounds", "1", "--percent", "3", "--json")
    assert status == 0, output
    passes = json.loads(output)["passes"]
    assert [row["what"] for row in passes] == ["dense", "edit"]
    for row in passes:
        assert 1 < row["two_simulated"] <= 2 and 1 < row["fast"] <= 8 and 0 < row["waited"] < 100
        assert row["one_ms"] > 0 and row["two"] > 0 and row["equal"] < 3.1


def test_no_speed_is_one_sentence() -> None:
    status, output = run("--speed", "0")
    assert status == 1
    assert "a slow core of speed 0 is none" in output
