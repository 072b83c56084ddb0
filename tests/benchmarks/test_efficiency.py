"""`python -m benchmarks.efficiency`: its tables, the paper's figures beside them, and its files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from benchmarks.efficiency import __main__ as command
from benchmarks.efficiency import paper
from benchmarks.efficiency.edits import stroke
from benchmarks.efficiency.measure import Agreement, Setting, agreement, measured
from benchmarks.efficiency.report import markdown
from benchmarks.efficiency.results import Results
from sige_mlx.benchmark import Protocol, isolated
from sige_mlx.benchmark.workload import engine_for, workload
from sige_mlx.metrics import psnr
from tests.tiny import write_tiny_model

ONCE = Protocol(warmup=0, runs=1, repeats=1)
SETTING = Setting((5.0, 20.0), ONCE, threads=1)


def quiet(*_: Any) -> None:
    """Progress that nobody looks at."""


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_tiny_model(tmp_path_factory.mktemp("models") / "tiny", dilation=0))


def invoke(*arguments: object) -> Any:
    app = typer.Typer()
    app.command()(command.main)
    return CliRunner().invoke(app, [str(a) for a in arguments])


def test_the_stroke_is_the_painted_island_at_any_size() -> None:
    own, wide = stroke((128, 128)), stroke((256, 512))
    assert wide.shape == (256, 512) and 0.005 < own.mean() < 0.1
    assert np.array_equal(wide[::2, ::4], own)


def test_the_papers_figures_are_those_of_the_nearest_size() -> None:
    assert paper.work("ddpm-church-256", 7.2) == (7.19, 51.8)
    assert paper.work("ddpm-church-256", 1.2) == (1.2, 33.4)
    assert paper.work("gaugan-cityscapes", 15.5) == (13.5, 69.8)
    assert paper.work("pd-church-128", 1.2) == (1.2, 24.5)
    assert paper.work("ddpm-church-256", 40.0) is paper.work("blue-marble-128", 1.2) is None
    times = paper.times("pd-church-256", 1.2)
    assert times is not None and times.m1_gpu == (178, 59.9)
    assert paper.times("pd-church-256", 7.2) is paper.times("pd-church-128", 1.2) is None


def test_every_size_and_the_stroke_are_measured(tiny: str) -> None:
    (on,) = measured(tiny, ["cpu"], SETTING, quiet)
    small, large, drawn = on.figures.edits
    assert small.edited == pytest.approx(0.05, abs=0.01) and large.edited == pytest.approx(0.2, abs=0.01)
    assert drawn.edited == pytest.approx(stroke((32, 32)).mean()) and drawn.percent == 100 * drawn.edited
    assert 0 < small.macs < large.macs < on.figures.macs
    assert len(on.peaks) == 3 and min(resident for resident, _ in on.peaks) > 20 * 2**20


def test_tables_have_a_row_for_each_edit_with_the_papers_beside_it(tiny: str) -> None:
    on = measured(tiny, ["cpu"], Setting((1.2, 20.0), ONCE, threads=1), quiet)
    rows = [
        [cell.strip() for cell in line.split("|")[1:-1]]
        for line in markdown(SETTING, [Results("ddpm-church-256", on)]).splitlines()
        if line.startswith("| ")
    ]
    head, _, small, large, drawn = rows
    assert len({len(row) for row in rows}) == 1 and "paper's M1 Pro CPU, ms" in head
    edit = on[0].figures.edits[0]
    assert small[1:3] == [f"{edit.edit_ms:.1f}", f"{edit.speedup:.1f}x"]
    assert small[-4:] == ["33.4 at 1.2 %", "37.5 -> 12.6 (3.0x)", "183 -> 39.5 (4.6x)", "12900 -> 1960 (6.6x)"]
    assert large[-4:] == ["", "", "", ""] and drawn[0].startswith("a stroke") and drawn[-4:] == ["", "", "", ""]


def test_agreement_is_psnr_of_what_devices_compute(tiny: str) -> None:
    found = agreement(tiny, ("cpu", "reference"), SETTING)
    outputs = []
    for device in found.devices:
        engine = engine_for(tiny, device, random=True)
        outputs.append(np.array(engine(**workload(engine).original)[0]))
    assert found.dense == pytest.approx(float(psnr(*outputs, float(np.ptp(outputs[0])))), abs=0.01)
    assert len(found.edits) == 3 and min(filter(None, (found.dense, *found.edits))) > 80
    same = agreement(tiny, ("cpu", "cpu"), SETTING)
    assert same == Agreement(("cpu", "cpu"), None, (None, None, None))


@pytest.mark.slow
@pytest.mark.usefixtures("model_of_metal")
def test_two_devices_stand_in_one_table(tiny: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(isolated, "RUN", (*isolated.RUN, "benchmarks.simulated"))
    monkeypatch.setattr(command, "QUICK", ONCE)
    given = ("-m", tiny, "--edit", 5, "--device", "cpu,gpu", "--parts", "table", "--quick", "--out", tmp_path)
    ran = invoke(*given)
    assert ran.exit_code == 0, ran.output
    (of,) = json.loads((tmp_path / "table.json").read_text())["models"]
    assert [on["figures"]["device"] for on in of["devices"]] == ["cpu", "gpu"]
    (alike,) = of["agreements"]
    assert alike["devices"] == ["cpu", "gpu"] and len(alike["edits"]) == 2
    assert 40 < min(alike["dense"], *alike["edits"]) < max(alike["dense"], *alike["edits"]) < 120  # float16
    assert "| cpu, ms | gpu, ms | ratio | agreement |" in ran.stdout


def test_files_tell_what_was_printed(tiny: str, tmp_path: Path) -> None:
    given = ("-m", tiny, "--edit", 5, "--parts", "table", "--quick", "--threads", 1, "--no-plots", "--out", tmp_path)
    ran = invoke(*given)
    assert ran.exit_code == 0, ran.output
    assert (tmp_path / "table.md").read_text() == ran.stdout
    found = json.loads((tmp_path / "table.json").read_text())
    edit = found["models"][0]["devices"][0]["figures"]["edits"][0]
    assert f"| {edit['edit_ms']:.1f} | {edit['speedup']:.1f}x |" in ran.stdout
    assert edit["tiles"]["32x32"][1] == 64 and found["setting"]["percents"] == [5]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--device", "cpu,tpu"], "--device has 'tpu': choose of cpu, gpu, reference"),
        (["--device", "cpu,cpu"], "--device is 'cpu,cpu': each only once"),
        (["--parts", "tables"], "--parts has 'tables': choose of table, ablation, area, size"),
        (["--weights", "mine"], "--weights is 'mine': it is 'random' or 'own'"),
        (["--edit", "0", "--parts", "table"], "an edit of 0 % of the pixels was asked for"),
        (["--quality", "best", "--parts", "table"], "the quality is 'best'"),
    ],
)
def test_what_there_is_not(arguments: list[str], sentence: str, tiny: str, tmp_path: Path) -> None:
    ended = invoke("-m", tiny, "--quick", "--no-plots", "--out", tmp_path / "out", *arguments)
    assert ended.exit_code == 1 and sentence in ended.stderr and ended.stdout == ""
