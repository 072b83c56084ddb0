"""Edits of many pictures on one: a row each, what every method made of it side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageDraw

from sige_mlx.cli.lettering import write
from sige_mlx.cli.report import FAINT, GAP, INK, MARGIN, PAPER, RULE
from sige_mlx.editing.colour import Picture
from sige_mlx.pictures import open_image

if TYPE_CHECKING:
    from sige_mlx.evaluation import Judge

CELL = 192  # width of a picture, in pixels
HEADER, CAPTION = 84, 30


def contact_sheet(judge: Judge, lines: Sequence[Mapping[str, Any]], title: str) -> Image.Image:
    """The cases of results, in their order: original, edit, and each method's picture with its PSNR to the dense pass
    in the edited region. The pictures are in the judge's folder."""
    rows = [_row(judge, line) for line in lines]
    heights = [round(CELL * row[0][0].shape[0] / row[0][0].shape[1]) for row in rows]
    columns = ["original", "edit", *judge.subject.methods]
    columns[2:] = ["edited in tiles" if name == "edit" else name for name in columns[2:]]
    width = len(columns) * (CELL + GAP) - GAP
    page = Image.new("RGB", (width + 2 * MARGIN, MARGIN + HEADER + sum(heights) + len(rows) * CAPTION + MARGIN), PAPER)
    draw = ImageDraw.Draw(page)
    write(draw, (MARGIN, MARGIN - 8), title, 28, INK, room=width)
    for i, name in enumerate(columns):
        write(draw, (MARGIN + i * (CELL + GAP), MARGIN + HEADER - 28), name, 17, INK, room=CELL)
    y = MARGIN + HEADER
    for row, height in zip(rows, heights, strict=True):
        for i, (picture, caption) in enumerate(row):
            x = MARGIN + i * (CELL + GAP)
            page.paste(Image.fromarray(picture).resize((CELL, height), Image.Resampling.LANCZOS), (x, y))
            draw.rectangle((x - 1, y - 1, x + CELL, y + height), outline=RULE)
            write(draw, (x, y + height + 5), caption, 13, FAINT, room=CELL)
        y += height + CAPTION
    return page


def _row(judge: Judge, line: Mapping[str, Any]) -> list[tuple[Picture, str]]:
    """Pictures and what is written under them."""
    case = judge.cases[line["case"]]
    before, after = judge.subject.shown(case)
    row = [(before, line["name"]), (after, f"{line['edited']:.1%} of the pixels")]
    for method in judge.subject.methods:
        picture = np.asarray(open_image(judge.picture_file(line["case"], method)).convert("RGB"))
        row.append((picture, _caption(line["methods"][method])))
    return row


def _caption(result: Mapping[str, Any]) -> str:
    if "to_dense" not in result:
        return ""
    psnr = result["to_dense"]["PSNR"]["edited"]
    return "equal" if psnr is None else f"{psnr:.1f} dB"
