"""Draws the pictures of the documentation, with what the package draws for its users:

    python -m docs.pictures          from the checkout's root, into docs/pages/pictures
    python -m docs.pictures FOLDER

The times in them are of the machine that drew them. Needs Graphviz.
"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from PIL import Image, ImageDraw

import sige_mlx
from sige_mlx import zoo
from sige_mlx.cli.lettering import write
from sige_mlx.cli.overlay import overlay
from sige_mlx.cli.report import INK, PAPER
from sige_mlx.graph.draw import graphviz

PAGES = Path(__file__).parent / "pages"
PICTURES = ("demo.png", "demo-labels.png", "planes.png", "window.png", "network.svg")


def draw(folder: Path) -> None:
    """All of them, into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    verb("demo", "--out", folder / "demo.png")
    verb("demo", "labels", "--out", folder / "demo-labels.png")
    planes(folder / "planes.png")
    window(folder)
    network(folder / "network.svg")


def verb(*arguments: str | Path) -> None:
    """Runs `sige-mlx` with these arguments."""
    subprocess.run([sys.executable, "-m", "sige_mlx", *map(str, arguments)], check=True, stdout=subprocess.DEVNULL)


def planes(path: Path) -> None:
    """The active tiles of the demo's edit on each plane by itself, side by side."""
    session = sige_mlx.load(zoo.DEFAULT).session(zoo.ASSETS / "demo" / "original.png", steps=1)
    result = session.edit(zoo.ASSETS / "demo" / "painted.png")
    scale, gap, caption = 2, 16, 34
    side = result.mask.shape[0] * scale
    sizes = sorted(result.levels, reverse=True)
    page = Image.new("RGB", (len(sizes) * (side + gap) + gap, side + gap + caption), PAPER)
    of_paper = ImageDraw.Draw(page)
    for i, size in enumerate(sizes):
        # With all levels named, and one filled, each plane has the colour that it has in reports.
        levels = {
            other: replace(level, rows=level.rows[: len(level) * (other == size)])
            for other, level in result.levels.items()
        }
        at = gap + i * (side + gap)
        page.paste(overlay(session.original, replace(result, levels=levels), scale), (at, gap))
        text = f"{size[0]} × {size[1]}: {len(result.levels[size])} of {result.levels[size].grid.size}"
        write(of_paper, (at, side + gap + 6), text, 16, INK)
    page.save(path, optimize=True)


def window(folder: Path) -> None:
    """An island in a picture that is larger than the model's: the report of its edit."""
    with Image.open(zoo.ASSETS / "held-out" / "picture.jpg") as held_out:
        original = held_out.convert("RGB").crop((0, 1000, 450, 1300))
    painted = original.copy()
    brush = ImageDraw.Draw(painted)
    rings = {(36, 100, 160): 18, (196, 170, 110): 14, (58, 82, 40): 10}
    for colour, radius in rings.items():
        brush.ellipse((40 - radius, 180 - radius * 0.8, 40 + radius, 180 + radius * 0.8), colour)
    files = {"original": folder / "coast.png", "edited": folder / "painted.png", "out": folder / "new.png"}
    original.save(files["original"])
    painted.save(files["edited"])
    options = [part for name, file in files.items() for part in (f"--{name}", file)]
    verb("edit", *options, "--compare", "--report", folder / "window.png")
    for file in files.values():
        file.unlink()


def network(path: Path) -> None:
    """The graph of the network of the page on networks of one's own."""
    page = (PAGES / "own-network.md").read_text("utf-8")
    names: dict[str, object] = {}
    exec(page.split("```python\n")[1].split("```")[0], names)
    dot = graphviz(sige_mlx.trace(names["model"]))  # type: ignore[arg-type]
    subprocess.run(["dot", "-Tsvg", "-o", path], input=dot, text=True, check=True)


if __name__ == "__main__":
    draw(Path(sys.argv[1]) if len(sys.argv) > 1 else PAGES / "pictures")
