"""`python -m benchmarks.efficiency`: an edit's cost by area and by size, its ablation, and the plots."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.efficiency import ablation as module
from benchmarks.efficiency.ablation import ALL, BARE, COPIES, DENSE, EPILOGUE, LOW, rewritten, rows_of
from benchmarks.efficiency.cost import OUTSIDE, AtSize, ByArea, Line, by_area, by_size, line
from benchmarks.efficiency.direct import CPU, LEAST, SOURCE, library_without_winograd
from benchmarks.efficiency.plots import draw
from benchmarks.efficiency.report import markdown
from benchmarks.efficiency.results import Results
from benchmarks.efficiency.rewrites import epilogues_apart, tiles_copied
from sige_mlx.benchmark import blob_mask, isolated
from sige_mlx.benchmark.workload import engine_for, workload
from sige_mlx.engine import Engine
from sige_mlx.errors import SigeError
from sige_mlx.graph import program as p
from tests.benchmarks.test_efficiency import SETTING, quiet
from tests.tiny import CONFIG, PD_CONFIG, label_engine, tiny_engine, translation_engine, write_tiny_model


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = write_tiny_model(tmp_path_factory.mktemp("models") / "tiny", PD_CONFIG, dilation=0)
    return str(folder)


ENGINES = {
    "ddpm": lambda: tiny_engine(config=CONFIG),
    "ddpm, tiles everywhere": lambda: tiny_engine(config=CONFIG, tiles_from=1),
    "ddpm, followed": lambda: tiny_engine(config=CONFIG, tiles_from=1, statistics="followed"),
    "pd": lambda: tiny_engine(config=PD_CONFIG, tiles_from=1),
    "labels": label_engine,
    "translation": translation_engine,
}


@pytest.mark.parametrize("name", ENGINES)
def test_rewritten_programs_give_the_same_edit_by_more_ops(name: str) -> None:
    engine: Engine = ENGINES[name]()
    work = workload(engine)
    mask = blob_mask(engine.image_size, 4, 0)
    prepared, edited = engine.prepare(mask), work.edited(mask)
    recorded = np.array(engine.record(**work.original))
    wanted = np.array(engine.edit(prepared, **edited))
    assert not np.allclose(wanted, recorded, atol=1e-3)
    ops = len(prepared.bound.compiled.program.ops)
    for rewrites in ((epilogues_apart,), (tiles_copied,), (tiles_copied, epilogues_apart)):
        other = rewritten(engine, prepared, rewrites)
        assert len(other.bound.compiled.program.ops) > ops
        np.testing.assert_allclose(np.array(engine.edit(other, **edited)), wanted, rtol=1e-4, atol=1e-5)


def test_without_fused_epilogues_convolutions_in_tiles_only_convolve() -> None:
    engine = tiny_engine(config=CONFIG, tiles_from=1)
    program = epilogues_apart(engine.prepare(blob_mask(engine.image_size, 4, 0)).bound.compiled.program)
    in_tiles = [op for op in program.ops if isinstance(op, p.Conv) and op.out.list != p.NONE]
    assert in_tiles
    for op in in_tiles:
        assert op.residual is None and op.sums == p.NONE and [o.scale for o in op.output] == [p.NONE]


def test_with_copied_tiles_no_surroundings_are_read_from_the_record() -> None:
    engine = tiny_engine(config=CONFIG, tiles_from=1)
    before = engine.prepare(blob_mask(engine.image_size, 4, 0)).bound.compiled.program

    def halos(program: p.Program) -> list[p.Source]:
        sources = [s for op in program.ops if isinstance(op, p.Convolution) for s in op.sources]
        return [s for s in sources if p.NONE not in (s.x.base, s.x.blocks)]

    assert halos(before) and not halos(tiles_copied(before))


def test_an_edit_that_runs_no_tiles_cannot_be_taken_apart() -> None:
    engine = tiny_engine()
    dense = engine.under(replace(engine.policy, dense_from=0.0))
    with pytest.raises(SigeError, match="computed as the dense pass"):
        rewritten(dense, dense.prepare(blob_mask(dense.image_size, 4, 0)), (tiles_copied,))


def test_an_ablation_has_a_row_for_each_means(tiny: str) -> None:
    rows = {row.name: row for row in rows_of(tiny, 5, SETTING)}
    assert list(rows) == [DENSE, ALL, EPILOGUE, COPIES, BARE]  # its paper has no tiles on planes this small
    assert rows[ALL].macs == rows[COPIES].macs < rows[DENSE].macs
    assert all(row.ms > 0 for row in rows.values()) and rows[EPILOGUE].apart < 1e-4
    assert rows[DENSE].apart is rows[ALL].apart is None


def test_low_resolutions_are_those_below_the_papers(tmp_path: Path) -> None:
    large = replace(CONFIG, image_size=128, ch_mult=(1, 1, 1), attn_resolutions=())
    folder = write_tiny_model(tmp_path / "large", large, tiles_from=8, dilation=1)
    rows = {row.name: row for row in rows_of(str(folder), 5, SETTING)}
    assert rows[ALL].macs < rows[LOW].macs == rows[BARE].macs < rows[DENSE].macs


def test_what_turns_winograd_off_is_still_in_the_sources() -> None:
    assert (CPU / SOURCE).read_text().count(LEAST) == 1


WEIGHTS = """
import sys
from sige_mlx.benchmark.workload import engine_for
print(engine_for(sys.argv[1], "cpu", random=True).executor.weights_nbytes)
"""


@pytest.mark.slow
def test_a_library_without_winograd_computes_the_same_in_other_ways(tiny: str, tmp_path: Path) -> None:
    library = library_without_winograd(tmp_path)
    environment = module.environment(library)
    given = [json.dumps([tiny, 5, asdict(SETTING)])]
    rows = json.loads(isolated.run_module(module.MODULE, given, environment))
    assert [row["name"] for row in rows] == [row.name for row in rows_of(tiny, 5, SETTING)]
    ran = subprocess.check_output([sys.executable, "-c", WEIGHTS, tiny], env={**os.environ, **environment})
    assert int(ran) < engine_for(tiny, "cpu", random=True).executor.weights_nbytes  # none are transformed
    whole = module.ablation(tiny, 5, SETTING)
    assert [row.own_process for row in whole].count(True) == 2


def test_a_line_is_that_of_least_squares() -> None:
    assert line([10, 20, 40], [7, 9, 13]) == Line(pytest.approx(5), pytest.approx(0.2))
    with pytest.raises(SigeError, match="two sizes or more"):
        line([10, 10], [7, 8])


def test_the_classes_of_ops_add_up_to_the_line(tiny: str) -> None:
    of = by_area(tiny, "cpu", SETTING, quiet, (3, 10, 25))
    assert of.tiles[0] < of.tiles[1] < of.tiles[2] and len(of.ms) == 3
    assert of.line == line(of.tiles, of.ms)
    for part in ("fixed", "slope"):
        assert sum(getattr(c, part) for c in of.classes.values()) == pytest.approx(getattr(of.line, part))
    assert OUTSIDE in of.classes and any(name.startswith("conv 3x3 ") for name in of.classes)


def test_an_edit_of_as_many_pixels_at_every_size(tiny: str) -> None:
    one, four = by_size(tiny, "cpu", SETTING, quiet, (1.0, 2.0))
    assert one.size == (32, 32) and four.size == (64, 64)
    assert one.percent * 32**2 == pytest.approx(four.percent * 64**2, rel=0.2)
    assert min(one.dense_ms, one.edit_ms, four.dense_ms, four.edit_ms) > 0


def found() -> list[Results]:
    area = ByArea((10, 20, 40), (1.0, 2.0, 4.0), (7.0, 9.0, 13.0), 50.0, 0.3, Line(5.0, 0.2), {"norm": Line(5.0, 0.2)})
    sizes = AtSize((32, 32), 4.0, 6.0, 50.0), AtSize((64, 64), 1.0, 6.5, 200.0)
    return [Results("tiny", (), by_area=area, by_size=sizes, without=("Without 'ablation': it is dense.",))]


def test_fixed_part_and_slope_are_printed_with_their_classes() -> None:
    text = markdown(SETTING, found(), ["area.png"])
    assert "An edit takes 5.00 ms + 200.00 us x tiles of the largest plane (10 to 40 were measured)" in text
    assert "| norm | 5.00 | 200.00 |" in text and "| 64 x 64 | 1.00 % | 6.5 | 200.0 |" in text
    assert "Without 'ablation': it is dense." in text and "![area.png](area.png)" in text


def test_plots_of_it(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    assert draw(found(), tmp_path) == ["area.png", "size.png"]
    assert min((tmp_path / name).stat().st_size for name in ("area.png", "size.png")) > 1000
    assert draw([Results("tiny", ())], tmp_path / "none") == []
    with pytest.raises(SigeError, match="cannot be written"):
        draw(found(), tmp_path / "nowhere")


def test_plots_draw_the_line_that_is_printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("matplotlib")
    drawn: list[Any] = []
    monkeypatch.setattr("benchmarks.efficiency.plots._save", lambda figure, path: drawn.append(figure) or path.name)
    draw(found(), tmp_path)
    points, fitted = drawn[0].axes[0].lines
    assert list(points.get_xdata()) == [10, 20, 40] and list(points.get_ydata()) == [7.0, 9.0, 13.0]
    assert list(fitted.get_ydata()) == pytest.approx([5.0, 13.0]) and "5.0 ms + 200.0" in fitted.get_label()
