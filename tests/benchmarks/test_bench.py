"""`sige-mlx bench`, and the figures behind it, on a tiny network."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from sige_mlx import benchmark
from sige_mlx.benchmark import isolated
from sige_mlx.benchmark.profile import kind, profile
from sige_mlx.benchmark.workload import engine_for, workload
from sige_mlx.cli.bench import _print, bench
from sige_mlx.cli.options import Weights
from sige_mlx.errors import SigeError
from sige_mlx.graph import program as p
from tests.tiny import write_tiny_model


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_tiny_model(tmp_path_factory.mktemp("models") / "tiny"))


@pytest.fixture(scope="module")
def figures(tiny: str) -> benchmark.Figures:
    return benchmark.run(tiny, [5, 30], random=True, threads=1, protocol=benchmark.QUICK, profiled=True)


def test_figures_belong_together(figures: benchmark.Figures) -> None:
    small, large = figures.edits
    assert small.edited == pytest.approx(0.05, abs=0.01) and large.edited == pytest.approx(0.3, abs=0.01)
    assert 0 < small.macs < large.macs < figures.macs
    assert small.speedup == pytest.approx(figures.dense_ms / small.edit_ms)
    assert small.tiles[32, 32][0] < large.tiles[32, 32][0] <= large.tiles[32, 32][1] == 64
    assert figures.empty_edit_ms > 0
    assert figures.threads == 1 and min(small.prepare_ms, figures.record_ms, figures.first_prepare_ms) > 0
    assert 0 < figures.cores < 1.5


def test_the_threshold_is_the_engines(tiny: str, figures: benchmark.Figures) -> None:
    whole = benchmark.run(tiny, [5], random=True, threshold=64, threads=1, protocol=benchmark.QUICK)
    assert whole.edits[0].macs == pytest.approx(whole.macs, rel=1e-3)  # all but the embedding of the timestep
    assert whole.edits[0].macs > figures.edits[0].macs


def test_an_exact_edit_is_timed_as_the_dense_pass(tiny: str) -> None:
    exact = benchmark.run(tiny, [5], random=True, quality="exact", threads=1, protocol=benchmark.QUICK)
    assert exact.edits[0].macs == exact.macs


def test_peak_memory_is_that_of_a_process_with_an_interpreter_and_a_record(figures: benchmark.Figures) -> None:
    assert 20 * 2**20 + figures.recorded_nbytes < figures.peak_nbytes < 2**30


@pytest.mark.slow
@pytest.mark.usefixtures("model_of_metal")
def test_on_the_gpu_launches_and_what_mlx_allocated_are_told(
    tiny: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(isolated, "RUN", (*isolated.RUN, "benchmarks.simulated"))
    once = benchmark.Protocol(warmup=0, runs=1, repeats=1)
    figures = benchmark.run(tiny, [5], device="gpu", random=True, protocol=once)
    (edit,) = figures.edits
    engine = engine_for(tiny, "gpu", random=True)
    work, mask = workload(engine), benchmark.blob_mask((32, 32), 5, engine.policy.dilation)
    engine.record(**work.original)
    launched = engine.executor.device.dispatches = []
    engine.edit(engine.prepare(mask), **work.edited(mask))
    assert len(launched) == edit.dispatches > 0
    assert figures.recorded_nbytes < figures.gpu_peak_nbytes < figures.peak_nbytes
    _print(figures, Weights.random)
    out = capsys.readouterr().out
    assert f"Kernels that the edit of {edit.edited:.2%} launches: {edit.dispatches}" in out
    assert "what MLX had allocated at most: 0.0" in out


def test_pauses_are_told_where_there_is_a_gpu(figures: benchmark.Figures, capsys: pytest.CaptureFixture[str]) -> None:
    edits = tuple(dataclasses.replace(e, at_once_ms=4.5, after_pause_ms=31.0) for e in figures.edits)
    _print(dataclasses.replace(figures, edits=edits, dense_ms=62.0), Weights.random)
    told = [line.split() for line in capsys.readouterr().out.splitlines() if "right after" in line or "seconds" in line]
    assert told == len(edits) * [
        ["right", "after", "another", "4.5", "13.78x"],
        ["after", "2", "seconds", "31.0", "2.00x"],
    ]


def test_other_devices_launch_nothing(figures: benchmark.Figures, capsys: pytest.CaptureFixture[str]) -> None:
    assert figures.gpu_peak_nbytes is figures.edits[0].dispatches is None
    assert figures.edits[0].after_pause_ms is None
    _print(figures, Weights.random)
    assert "launches" not in (out := capsys.readouterr().out) and "MLX" not in out


def test_profiles_account_for_every_op_and_mac(figures: benchmark.Figures) -> None:
    assert [taken.what for taken in figures.profiles] == ["dense", "edit 5 %", "edit 30 %"]
    dense = figures.profiles[0]
    assert sum(row.macs for row in dense.by_kind) == figures.macs
    assert sum(row.share for row in dense.by_kind) == pytest.approx(1)
    assert {row.name for row in dense.convolutions} == {"32x32 dense", "16x16 dense", "1x1 dense"}
    assert "32x32 tiles" in {row.name for row in figures.profiles[1].convolutions}
    assert figures.sgemm_gflops and figures.sgemm_gflops > 0.1


def test_a_profile_adds_up_seconds_by_kind() -> None:
    slot = p.Slot(0)
    attention = p.Attention(p.Domain(1, 8, 8, 4), 64, 1, 4, slot, slot, slot, slot, 4, 4, 4, 0.5)
    paste = p.Paste(p.Tensor(1, 8, 8, 4, 4, slot), slot)
    program = p.Program(ops=[attention, paste, attention])
    rows = profile("both", program, {}, np.array([1.0, 4.0, 2.0])).by_kind
    assert [(row.name, row.ops, row.ms, row.share) for row in rows] == [
        ("paste", 1, 4000.0, pytest.approx(4 / 7)),
        ("attention", 2, 3000.0, pytest.approx(3 / 7)),
    ]


def test_a_convolution_is_named_after_its_largest_kernel(tiny: str) -> None:
    dense = engine_for(tiny, "cpu", random=True).lowered.dense
    names = dict(zip(dense.names, map(kind, dense.ops), strict=True))
    assert names["down.0.downsample.conv"] == "conv 3x3/2 dense"
    assert names["up.1.upsample.conv"] == "conv 3x3 after x2 dense"
    assert names["temb.dense.0"] == "linear"
    assert [kind(op) for op in dense.ops if isinstance(op, p.Conv) and len({s.kh for s in op.source}) == 2] == [
        "conv 3x3 dense"
    ] * 5


def test_depthwise_and_transposed_convolutions_have_names_of_their_own() -> None:
    tensor, domain = p.Tensor(1, 8, 8, 4, 4, 0), p.Domain(1, 8, 8, 4)
    pool = p.Source(tensor, 2, 2, 2, 0, 0)
    assert kind(p.Depthwise(domain, 4, 1, p.NONE, p.NONE, None, 0, pool, ())) == "depthwise 2x2/2 dense"
    transposed = p.Source(tensor, 3, 3, 1, 1, 1, resample=1, zeros=1)
    conv = p.Conv(domain, 4, 1, p.NONE, p.NONE, 0, p.NONE, None, 0, (transposed,), ())
    assert kind(conv) == "conv 3x3 transposed dense"


def test_a_disturbed_run_says_so(figures: benchmark.Figures, capsys: pytest.CaptureFixture[str]) -> None:
    for cores, said in ((0.99, False), (0.5, True)):
        _print(dataclasses.replace(figures, cores=cores), Weights.own)
        assert ("Other programs were running" in capsys.readouterr().out) == said


def test_an_edit_changes_the_image_under_its_mask_only(tiny: str) -> None:
    engine = engine_for(tiny, "cpu", random=True)
    work = workload(engine)
    mask = benchmark.blob_mask((32, 32), 10)
    edited, original = np.asarray(work.edited(mask)["x"]), np.asarray(work.original["x"])
    assert ((edited != original).any(-1)[0] == mask).all()
    assert np.asarray(work.edited(mask)["t"]) == np.asarray(work.original["t"])


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"percents": []}, "no edit to measure"),
        ({"percents": [0]}, "above 0 and at most 100"),
        ({"device": "reference", "profiled": True}, "cannot be profiled"),
        ({"device": "abacus"}, "choose cpu"),
        ({"quality": "best"}, "the quality is 'best': it is fast, balanced or exact"),
    ],
)
def test_what_cannot_be_measured_is_said(tiny: str, changes: dict[str, object], sentence: str) -> None:
    options = {"percents": [1.2], "random": True, "protocol": benchmark.QUICK, **changes}
    with pytest.raises(SigeError, match=sentence):
        benchmark.run(tiny, **options)


def test_the_command_prints_json_and_a_table(tiny: str) -> None:
    app = typer.Typer()
    app.command()(bench)
    arguments = ["-m", tiny, "--weights", "random", "--edit", "5", "--edit", "30", "--quick", "--profile"]
    ran = CliRunner().invoke(app, [*arguments, "--json"])
    assert ran.exit_code == 0, ran.output
    numbers = json.loads(ran.stdout)
    assert numbers["weights"] == "random" and numbers["protocol"] == {"warmup": 1, "runs": 3, "repeats": 1}
    assert [edit["percent"] for edit in numbers["edits"]] == [5, 30]
    assert numbers["edits"][0]["tiles"]["32x32"][1] == 64
    assert numbers["profiles"][0]["by_kind"][0]["gflops"] > 0
    table = CliRunner().invoke(app, arguments).stdout
    assert "dense" in table and "choosing its tiles" in table and "Peak memory" in table and "GFLOPS" in table


def test_own_weights_that_are_not_there_are_one_sentence(tmp_path: Path) -> None:
    folder = write_tiny_model(tmp_path / "tiny")
    (folder / "model.safetensors").unlink()
    with pytest.raises(SigeError, match=r"model\.safetensors"):
        benchmark.run(str(folder), [1.2], protocol=benchmark.QUICK)
