"""An edit as one picture: what was painted, what was recomputed, what came out, and what it cost."""

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from sige_mlx.cli.figures import HEAD, Figure, difference, figures, headline
from sige_mlx.cli.lettering import write
from sige_mlx.cli.overlay import Colour, overlay, plane_colours
from sige_mlx.editing.colour import Picture
from sige_mlx.editing.result import DenseResult, EditResult
from sige_mlx.graph.tiling import Size

PANEL = 384  # width of a panel, in pixels
MARGIN, GAP, CAPTION, HEADER, ROW = 40, 20, 54, 96, 34
AMPLIFIED = 10

PAPER, INK, FAINT, RULE, ACCENT = "#fbfaf7", "#20242a", "#6d737c", "#dcdad3", "#c8451c"


@dataclass(frozen=True)
class Panel:
    """A picture with its name under it, and a remark in a paler ink."""

    image: Image.Image
    name: str
    remark: str = ""


def report(
    original: Picture,
    edited: Picture,
    result: EditResult,
    dense: DenseResult | None = None,
    *,
    title: str,
    subtitle: str,
) -> Image.Image:
    """The report of an edit: original, edited, mask with its tiles and result; with `dense` its result too, and the
    difference of the two, ten times as strong; then the figures."""
    marked = overlay(original, result, max(1, round(PANEL / original.shape[1])))
    unit = result.way if result.levels else "tiles"
    panels = [
        Panel(_enlarged(original), "original"),
        Panel(_enlarged(edited), "painted"),
        Panel(_fitted(marked), f"mask and {unit}", "white: the mask; colours: see below"),
        Panel(_enlarged(result.image), *_computed(result)),
    ]
    if dense:
        panels += [
            Panel(_enlarged(dense.image), "dense", f"every pixel: {dense.seconds:.2g} s"),
            Panel(
                _fitted(_strong_difference(result.image, dense.image), Image.Resampling.NEAREST),
                f"difference × {AMPLIFIED}",
                f"white: none; in the mask {difference(result, dense):.1f} of 255",
            ),
        ]
    rows = figures(result, dense)
    columns = 3 if len(panels) > 4 else 2
    cell = panels[0].image.height + CAPTION
    table = MARGIN + HEADER + -(-len(panels) // columns) * cell + 14
    width = columns * PANEL + (columns - 1) * GAP
    page = Image.new("RGB", (width + 2 * MARGIN, table + ROW * (len(rows) + 1) + MARGIN), PAPER)
    draw = ImageDraw.Draw(page)
    saved = write(draw, (MARGIN + width, MARGIN + 6), headline(result, dense), 18, ACCENT, right=True)
    write(draw, (MARGIN, MARGIN - 8), title, 34, INK, room=width - saved - GAP)
    write(draw, (MARGIN, MARGIN + 42), subtitle, 17, FAINT, room=width)
    for i, panel in enumerate(panels):
        _panel(page, draw, panel, (MARGIN + i % columns * (PANEL + GAP), MARGIN + HEADER + i // columns * cell))
    _table(draw, rows, plane_colours(list(result.levels)), (MARGIN, table), width)
    return page


def _computed(result: EditResult) -> tuple[str, str]:
    """How a result came about: its name and a remark."""
    if result.levels:
        return "incremental", f"only the {result.way}: {result.seconds:.2g} s"
    return "dense", f"every pixel: {result.seconds:.2g} s"


def _panel(page: Image.Image, draw: ImageDraw.ImageDraw, panel: Panel, at: tuple[int, int]) -> None:
    x, y = at
    bottom = y + panel.image.height
    page.paste(panel.image, at)
    draw.rectangle((x - 1, y - 1, x + PANEL, bottom), outline=RULE)
    write(draw, (x, bottom + 9), panel.name, 19, INK)
    write(draw, (x + PANEL, bottom + 11), panel.remark, 15, FAINT, right=True)


def _table(
    draw: ImageDraw.ImageDraw, rows: list[Figure], colours: dict[Size, Colour], at: tuple[int, int], width: int
) -> None:
    x, y = at
    rights = [x + round(width * share) for share in (0.55, 0.8, 1.0)]
    for right, word in zip(rights, HEAD, strict=True):
        write(draw, (right, y), word, 16, FAINT, right=True)
    for row in rows:
        y += ROW
        draw.line([(x, y - 8), (x + width, y - 8)], RULE)
        if row.plane:
            draw.rectangle((x, y + 4, x + 13, y + 17), colours[row.plane])
        write(draw, (x + (24 if row.plane else 0), y), row.name, 18, INK)
        for right, value in zip(rights, (row.edit, row.dense, row.ratio), strict=True):
            write(draw, (right, y), value, 18, INK, right=True)


def _strong_difference(a: Picture, b: Picture) -> Image.Image:
    off = np.abs(a.astype(np.int16) - b)
    return Image.fromarray(255 - np.clip(off * AMPLIFIED, 0, 255).astype(np.uint8))


def _enlarged(picture: Picture) -> Image.Image:
    return _fitted(Image.fromarray(picture), Image.Resampling.LANCZOS)


def _fitted(image: Image.Image, how: Image.Resampling = Image.Resampling.LANCZOS) -> Image.Image:
    """The image at the width of a panel."""
    size = (PANEL, round(PANEL * image.height / image.width))
    return image if image.size == size else image.resize(size, how)
