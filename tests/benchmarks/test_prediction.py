"""Predictions: bytes against what kernels touch on the model of Metal, times against arithmetic, and the command."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import astuple, fields, replace

import mlx.core as mx
import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from benchmarks import prediction
from benchmarks.prediction import __main__ as command
from benchmarks.prediction import bounds, counting, limits, traffic
from benchmarks.prediction.counting import Counting
from metal import sim
from metal.sim import Counters
from sige_mlx.engine.gpu import chip
from sige_mlx.engine.gpu.launch import Launch
from sige_mlx.engine.gpu.ops import Attention, Call, Conv, Depthwise, Norm, Paste
from sige_mlx.engine.gpu.ops.epilogue import Epilogue
from sige_mlx.engine.gpu.ops.operands import Affine, Domain, Plane, Source, Tokens
from sige_mlx.engine.gpu.ops.weights import pack
from sige_mlx.errors import SigeError
from sige_mlx.graph.lowered import Lowered
from sige_mlx.models.ddpm import DDPMUNet
from tests.tiny import CONFIG, policy_of, write_tiny_model

APP = typer.Typer()
APP.command()(command.main)

LINE, C = 128, 64  # 64 channels of float16 are one line
ROWS = np.array([(0, 1, 1), (0, 1, 2), (0, 3, 3), (-1, -1, -1)], np.int32)
NOTHING = Counters(*(0 for _ in fields(Counters)))


def plane(h: int, w: int, blocks: bool = True) -> Plane:
    grid = np.full((1, -(-h // 4), -(-w // 4)), -1, np.int32)
    if not blocks:
        return Plane(1, h, w, C, 4, mx.zeros((1, h, w, C), mx.float16))
    for i, (_, row, column) in enumerate(ROWS[:3] // (16 // h or 1)):
        grid[0, row, column] = i
    return Plane(1, h, w, C, 4, mx.zeros((1, h, w, C), mx.float16), mx.zeros((3, 4, 4, C), mx.float16), mx.array(grid))


def conv(source: Source, out: Domain, phase_shift: int | None = None, residual: Plane | None = None) -> Conv:
    packed = pack([mx.zeros((C, source.kh, source.kw, C), mx.float16)])
    weight = packed if phase_shift is None else mx.concatenate([packed] * 4)
    return Conv(Epilogue(out, C, bias=mx.zeros(C), residual=residual), weight, (source,), phase_shift)


LISTED, DENSE = Domain(1, 16, 16, 4, mx.array(ROWS)), Domain(1, 16, 16, 4)
CALLS: dict[str, Call] = {
    "tiles": conv(Source(plane(16, 16), 3, 3, 1, 1, 1), LISTED),
    "dense": conv(Source(plane(16, 16, False), 3, 3, 1, 1, 1), DENSE),
    "strided": conv(Source(plane(32, 32, False), 3, 3, 2), LISTED),
    "pointwise": conv(Source(plane(16, 16), 1, 1), LISTED, residual=plane(16, 16)),
    "upsampled": conv(Source(plane(8, 8, False), 3, 3, 1, 1, 1, resample=1), LISTED),
    "phased": conv(Source(plane(8, 8, False), 2, 2, 1, 1, 1), LISTED, 1),
    "shares": conv(Source(plane(16, 16), 3, 3, 1, 1, 1), LISTED).shared(2)[0],
    "total": conv(Source(plane(16, 16), 3, 3, 1, 1, 1), LISTED, residual=plane(16, 16)).shared(2)[1],
    "normalised": conv(Source(plane(16, 16), 3, 3, 1, 1, 1, affine=Affine(mx.zeros((2, 1, C)))), LISTED),
    "depthwise": Depthwise(
        Epilogue(LISTED, C), mx.zeros((9, C), mx.float16), Source(plane(16, 16), 3, 3, 1, 1, 1), mx.float16
    ),
    "attention": Attention(
        LISTED,
        *(Tokens(mx.zeros((n, m, C), mx.float16)) for n, m in ((4, 16), (1, 256), (1, 256))),
        heads=1,
        head_dim=C,
        scale=1.0,
    ),
    "norm": Norm(
        1,
        256,
        8,
        (Plane(1, 16, 1, 2 * C, 1, mx.zeros((1, 16, 1, 2 * C))),),
        weight=None,
        bias=mx.zeros(C),
        mod=None,
        eps=1e-5,
        dtype=mx.float16,
    ),
    "paste": Paste(plane(16, 16)),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", CALLS)
def test_bytes_are_the_lines_that_a_kernel_touches(name: str) -> None:
    """But for the lines that hold numbers, lists and grids, which are few."""
    call = CALLS[name]
    launch = call.launch()
    assert launch is not None
    counters = sim.simulate(launch.compiled(), **launch.arguments(), count=True).counters
    small = [a for n, a in zip(launch.kernel.inputs, launch.inputs, strict=True) if a.dtype == mx.int32]
    beside = sum(-(-a.nbytes // LINE) for a in small)
    assert 0 <= counters.device_lines_read - traffic.read(call) / LINE <= beside
    assert counters.device_bytes_written >= traffic.written(call)
    assert traffic.written(call) / LINE <= counters.device_lines_written <= traffic.written(call) / LINE + 16


def test_bytes_of_tiles() -> None:
    """Windows of 6x6 around three tiles, of which two are neighbours and one lies in the corner."""
    seen = 6 * 10 + 5 * 5
    assert traffic.read(CALLS["tiles"]) == seen * 2 * C + 9 * 2 * C * C + 4 * C
    assert traffic.written(CALLS["tiles"]) == 3 * 16 * 2 * C


def test_times_of_a_kernel() -> None:
    """A threadgroup of a thousand matrix products and as many other operations, on cores that have one, then two."""
    threadgroup = replace(
        NOTHING,
        threadgroups=2,
        fmas=2 * 512_000,
        simdgroup_multiplies=2 * 1000,
        integer_operations=2 * 32_000,
        divisions=2 * 1_000,
        special_functions=2 * 4_000,
        threadgroup_bytes_read=2 * 128_000,
    )
    one, two = (bounds.of_kernel(traffic.moved(CALLS["tiles"]), threadgroup, n) for n in (16, 17))
    milliseconds = 1e3 / chip.CLOCK
    assert one.alu == pytest.approx((1000 * 17 / 4 + 500) * milliseconds)
    assert one.threadgroup == pytest.approx(1000 * milliseconds)
    assert one.dram == pytest.approx(1e3 * (traffic.read(CALLS["tiles"]) + 3 * 16 * 2 * C) / 200e9)
    assert (two.alu, two.threadgroup) == pytest.approx((2 * one.alu, 2 * one.threadgroup)) and two.dram == one.dram
    assert (one.ms, one.by) == (one.alu + 1e3 * limits.LAUNCH, "ALU")  # the wait comes before the work
    assert bounds.of_kernel(traffic.moved(CALLS["tiles"]), replace(NOTHING, threadgroups=1), 1).by == "launch"


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Kernels that do nothing, so that none is compiled."""

    def of(self: Counting, launches: Sequence[Launch]) -> list[Counters]:
        return [replace(NOTHING, threadgroups=1, integer_operations=10**6) for _ in launches]

    monkeypatch.setattr(Counting, "of", of)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_tiny_model(tmp_path_factory.mktemp("models") / "tiny"))


@pytest.mark.usefixtures("counted")
def test_the_command(tiny: str) -> None:
    arguments = ["-m", tiny, "--edit", "5", "--edit", "30"]
    ran = CliRunner().invoke(APP, [*arguments, "--json"])
    assert ran.exit_code == 0, ran.output
    found = json.loads(ran.stdout)
    assert found["predicted_not_measured"] and [taken["percent"] for taken in found["passes"]] == [None, 5, 5, 30, 30]
    assert found["chip"]["cores"] == 16
    assert found["passes"][0]["macs"] == Lowered.of(DDPMUNet(CONFIG), policy_of(CONFIG)).dense_macs
    for taken in found["passes"]:
        assert taken["ms"] == pytest.approx(sum(call["ms"] for call in taken["calls"]))
        assert taken["ms"] < taken["gpu_ms"] < taken["expected_ms"] <= taken["gpu_ms"] + taken["host_ms"]
        for call in taken["calls"]:
            assert call["ms"] < call["expected_ms"]
            wait = call["bounds"].pop("launch")
            assert call["ms"] == max(call["bounds"].values()) + wait
        assert taken["dispatches"] == len(taken["calls"])
    table, layers = (CliRunner().invoke(APP, [*arguments, *more]).stdout for more in ([], ["--layers"]))
    assert table.startswith("PREDICTED, NOT MEASURED") and "conv 32x32 tiles" in table and "at least" in table
    totals = [line.split() for line in table.splitlines() if line.startswith("total")]
    assert [total[6] for total in totals] == [f"{taken['ms']:.2f}" for taken in found["passes"]]
    ranges = [f"{taken['ms']:.1f} to {taken['expected_ms']:.1f} ms:" for taken in found["passes"]]
    assert all(text in table for text in ranges)
    assert "conv_in" in layers and "conv_in" not in table


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--edit", "0"], "an edit of 0 % of the pixels was asked for: it must be above 0 and at most 100"),
        (["--threshold", "-5"], "the threshold of planes is -5: it must be 1 or more"),
        (["-m", "no-such-model"], "'no-such-model' is neither a model's name"),
    ],
)
def test_what_cannot_be_predicted(tiny: str, arguments: list[str], sentence: str) -> None:
    ended = CliRunner().invoke(APP, ["-m", tiny, *arguments])
    assert (ended.exit_code, ended.stdout, ended.stderr.count("\n")) == (1, "", 1), ended.output
    assert ended.stderr.startswith(f"benchmarks.prediction: {sentence}")


def test_a_compiler_is_needed(tiny: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sim, "compiler", lambda: None)
    ended = CliRunner().invoke(APP, ["-m", tiny])
    assert ended.exit_code == 1
    assert ended.stderr == (
        "benchmarks.prediction: a prediction compiles the kernels: install clang 17 or newer, or the package ziglang\n"
    )


def test_an_edit_is_needed() -> None:
    with pytest.raises(SigeError, match="no edit to predict"):
        prediction.predict("ddpm-church-256", [])


@pytest.mark.slow
def test_a_few_threadgroups_stand_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a whole launch and of its sample, the counters that times are made of, by threadgroup."""
    call = conv(Source(plane(16, 16, False), 3, 3, 1, 1, 1), DENSE)
    launch = call.launch()
    assert launch is not None
    (few,) = Counting().of([launch])
    monkeypatch.setattr(counting, "SAMPLED", 10**6)
    everything, again = Counting().of([launch, launch])
    assert astuple(everything) == astuple(again)
    assert (few.threadgroups, everything.threadgroups) == (2, int(np.prod(launch.groups)))
    sampled, whole = (bounds.of_kernel(traffic.moved(call), c, everything.threadgroups) for c in (few, everything))
    assert sampled.alu == pytest.approx(whole.alu, rel=0.02)
    assert sampled.threadgroup == pytest.approx(whole.threadgroup, rel=0.02)
