import dataclasses
import json

import numpy as np
import pytest
from PIL import Image

from sige_mlx.cli.figures import as_json, difference, figures, headline
from sige_mlx.cli.overlay import overlay, plane_colours
from sige_mlx.cli.report import AMPLIFIED, CAPTION, GAP, HEADER, MARGIN, PANEL, report
from sige_mlx.editing import EditResult
from sige_mlx.editing.result import DenseResult
from sige_mlx.graph.tiling import tiling
from tests.tiny import SIZE, original, painted


@pytest.fixture
def result() -> EditResult:
    mask = np.zeros((SIZE, SIZE), np.bool_)
    mask[9:11, 9:11] = True
    image = np.where(mask[..., None], painted(), original())
    levels = {size: level for size, level in tiling(mask).levels.items() if size[0] >= 16}
    return EditResult(image, mask, levels, 20, 3_000_000_000, 120_000_000_000, 0.5, 4.0)


def test_figures_say_what_an_edit_costs(result: EditResult) -> None:
    rows = {row.name: row[1:4] for row in figures(result)}
    assert rows["edited pixels"] == ("4 (0.4%)", "1024", "256.0×")
    active, _ = result.tiles[SIZE, SIZE]
    assert rows["tiles at 32 × 32"] == (str(active), "64", f"{64 / active:.1f}×")
    assert rows["GMACs, 20 steps"] == ("3", "120", "40.0×")
    assert rows["seconds, 20 steps"] == ("0.5", "4", "8.0×")
    assert headline(result) == "40.0× less arithmetic, 8.0× less time"


def test_a_dense_run_is_better_known_than_the_recording(result: EditResult) -> None:
    dense = DenseResult(result.image, 5.0)
    assert figures(result, dense)[-1][2:4] == ("5", "10.0×")
    assert as_json(result, dense)["dense_seconds"] == 5.0
    assert as_json(result, dense)["recorded_seconds"] == 4.0


def test_an_empty_edit_has_figures(result: EditResult) -> None:
    nothing = np.zeros_like(result.mask)
    empty = dataclasses.replace(result, mask=nothing, levels={}, macs=0, dense_seconds=None)
    assert figures(empty)[-1][1:4] == ("0.5", "not run", "")
    assert headline(empty) == ""
    assert difference(empty, DenseResult(painted(), 1.0)) == 0
    assert report(original(), original(), empty, title="nothing", subtitle="").width > 0


def test_json_is_json(result: EditResult) -> None:
    numbers = json.loads(json.dumps(as_json(result, DenseResult(painted(), 5.0))))
    assert numbers["tiles"]["32x32"] == list(result.tiles[SIZE, SIZE])
    assert numbers["edited"] == 4 / 1024
    assert "dense_seconds" not in as_json(result)


def test_the_overlay_marks_mask_and_tiles(result: EditResult) -> None:
    scale = 6
    marked = np.asarray(overlay(original(), result, scale), int)
    assert marked.shape == (SIZE * scale, SIZE * scale, 3)
    colours = plane_colours(list(result.levels))
    row, column = result.levels[SIZE, SIZE].rows[0, 1:] * 4 * scale
    assert tuple(marked[row, column]) == colours[SIZE, SIZE]  # the corner of a tile: its outline
    inside, outside = marked[10 * scale + 3, 10 * scale + 3], marked[scale, -scale]
    assert inside.min() > 150  # white over it
    assert np.ptp(outside) == 0  # grey where nothing is recomputed


@pytest.mark.parametrize(("with_dense", "columns", "lines"), [(True, 3, 2), (False, 2, 2)])
def test_panels_of_a_report(result: EditResult, with_dense: bool, columns: int, lines: int) -> None:
    dense = DenseResult(result.image.copy(), 5.0) if with_dense else None
    page = report(original(), painted(), result, dense, title="An island", subtitle="of two by two")
    assert page.width == 2 * MARGIN + columns * PANEL + (columns - 1) * GAP
    shown = np.asarray(page)[MARGIN + HEADER : MARGIN + HEADER + PANEL, MARGIN : MARGIN + PANEL]
    enlarged = Image.fromarray(original()).resize((PANEL, PANEL), Image.Resampling.LANCZOS)
    assert np.array_equal(shown, np.asarray(enlarged))
    assert page.height > MARGIN + HEADER + lines * PANEL


def last_panel(page: Image.Image) -> np.ndarray:
    right = page.width - MARGIN
    top = MARGIN + HEADER + PANEL + CAPTION
    return np.asarray(page)[top : top + PANEL, right - PANEL : right]


def test_the_difference_is_white_where_there_is_none_and_ten_times_as_strong_elsewhere(result: EditResult) -> None:
    off = result.image.copy()
    off[9, 9] += 7
    page = report(original(), painted(), result, DenseResult(off, 5.0), title="", subtitle="")
    panel = last_panel(page)
    middle = PANEL * 19 // (2 * SIZE)  # of pixel (9, 9)
    assert panel[middle, middle].tolist() == [255 - 7 * AMPLIFIED] * 3
    panel = panel.copy()
    side = PANEL // SIZE
    panel[9 * side : 10 * side, 9 * side : 10 * side] = 255
    assert (panel == 255).all()


def test_a_long_title_does_not_meet_the_headline(result: EditResult) -> None:
    """Between the two there is paper, whatever letters a file's name is of."""
    page = report(
        original(), painted(), result, title="Ein sehr langer Name, größer als das Blatt " * 4, subtitle="s" * 400
    )
    ink = (np.asarray(page)[: MARGIN + HEADER - 10] != np.asarray(page)[2, 2]).any(-1)
    assert not ink[:, : MARGIN - 1].any() and not ink[:, page.width - MARGIN + 2 :].any()
    columns = np.flatnonzero(ink[: MARGIN + 36].any(0))
    gaps = np.diff(columns)
    assert gaps.max() >= GAP


def test_pictures_may_be_wide(result: EditResult) -> None:
    wide = np.zeros((256, 512, 3), np.uint8)
    mask = np.zeros((256, 512), np.bool_)
    mask[100:120, 300:340] = True
    edit = dataclasses.replace(result, image=wide, mask=mask, levels=tiling(mask).levels)
    page = report(wide, wide, edit, title="wide", subtitle="")
    assert page.width == 2 * MARGIN + 2 * PANEL + GAP
