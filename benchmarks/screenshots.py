"""Takes the pictures of the editor that README and documentation show: editor.webp moves, editor.png stands still.

    python -m benchmarks.screenshots          from the checkout's root, into docs/pages/pictures
    python -m benchmarks.screenshots FOLDER

Needs the extras `app` and `browser`, and Chromium. What the editor shows of times is of the machine that it ran on.
"""

from __future__ import annotations

import io
import math
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from PIL import Image

FOLDER = Path("docs/pages/pictures")
WINDOW: Any = {"width": 1180, "height": 800}
WIDE = 900  # pixels of the moving picture
STORE = "import('/static/store.js').then(({ store }) => (%s))"


@contextmanager
def editor() -> Iterator[str]:
    """An editor of its own, by its address."""
    command = [sys.executable, "-m", "sige_mlx", "app", "--no-browser"]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"})
    assert running.stdout
    try:
        yield next(word for line in running.stdout for word in line.split() if word.startswith("http://"))
    finally:
        running.terminate()
        running.wait()


class Tab:
    """A page of the editor, and the frames that were taken of it: pictures with their milliseconds."""

    def __init__(self, page: Any):
        self.page = page
        self.frames: list[tuple[Image.Image, int]] = []

    def know(self, expression: str) -> Any:
        return self.page.evaluate(STORE % expression)

    def until(self, expression: str) -> None:
        end = time.monotonic() + 60
        while not self.know(expression):
            if time.monotonic() > end:
                raise TimeoutError(f"waited in vain for {expression}: {self.know('JSON.stringify(store)')}")
            self.page.wait_for_timeout(20)

    def open(self, model: str) -> None:
        self.page.locator("#gallery button", has_text=model).first.click()
        self.until(f"store.doc?.model === '{model}' && store.loaded && !store.doc.pending")

    def take(self, milliseconds: int) -> None:
        shot = Image.open(io.BytesIO(self.page.screenshot())).convert("RGB")
        self.frames.append((shot, milliseconds))

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Where a point of the picture is in the window."""
        left, top, wide = self.page.evaluate(
            "() => { const at = document.querySelector('#stage-a .layer:not([hidden])').getBoundingClientRect();"
            " return [at.left, at.top, at.width] }"
        )
        scale = wide / self.know("store.doc.w")
        return left + x * scale, top + y * scale

    def paint(self, points: Sequence[tuple[float, float]], film: bool = True) -> None:
        """A stroke through points, in pixels of the picture, a frame for each."""
        self.page.mouse.move(*self.at(*points[0]))
        self.page.mouse.down()
        for point in points[1:]:
            self.page.mouse.move(*self.at(*point), steps=3)
            if film:
                self.take(50)
        self.page.mouse.up()

    def watch(self) -> None:
        """Frames until the result is there, and then its tiles as they fade."""
        began = time.monotonic()
        while self.know("store.doc.pending || !store.doc.proposed || store.doc.stale"):
            self.take(90)
            if time.monotonic() - began > 60:
                raise TimeoutError("nothing was rendered")
        for _ in range(7):
            self.take(220)


def island(x: float, y: float, across: float, points: int = 14) -> list[tuple[float, float]]:
    """A coast around (x, y)."""
    turns = [2 * math.pi * i / points for i in range(points + 1)]
    return [
        (x + across * (1 + 0.25 * math.sin(3 * turn)) * math.cos(turn), y + 0.6 * across * math.sin(turn))
        for turn in turns
    ]


def film(tab: Tab) -> None:
    """An island is painted into the sea and rendered as the pen lifts, then a wood onto it, and all is compared."""
    tab.open("blue-marble-128")
    brush = "import('/static/brush.js').then(brush => {{ brush.setDiameter({}); brush.setColour('{}') }})"
    tab.page.evaluate(brush.format(9, "#b09268"))
    tab.page.check("#live")
    tab.paint([(110, 20)], film=False)  # so that the original is recorded: the film shows what an edit takes
    tab.until("store.doc.proposed && !store.doc.pending")
    tab.page.focus("#pane-a")
    while tab.know("store.doc.undo > 0"):
        revision = tab.know("store.doc.revision")
        tab.page.keyboard.press("z")
        tab.until(f"store.doc.revision > {revision}")
    tab.page.wait_for_timeout(1800)
    tab.page.mouse.move(*tab.at(58, 64))
    tab.take(900)
    tab.paint(island(60, 68, 7))
    tab.watch()
    for colour, across, points in (
        ("#5c542e", 7, [(54, 68), (57, 66), (60, 67), (63, 68)]),
        ("#303c1a", 6, [(56, 70), (59, 71), (62, 71), (65, 69), (67, 66)]),
    ):
        tab.page.evaluate(brush.format(across, colour))
        tab.paint(points)
        tab.watch()
    tab.page.keyboard.press("x")
    for share in [0.5, 0.46, 0.42, 0.38, 0.42, 0.46, 0.5, 0.54, 0.58, 0.54, 0.5, 0.46, 0.4, 0.3, 0.15, 0]:
        tab.page.evaluate(
            f"import('/static/store.js').then(({{ store, emit }}) => {{ store.slider = {share}; emit('slider') }})"
        )
        tab.take(110)
    tab.page.keyboard.press("x")
    tab.page.wait_for_timeout(300)
    tab.take(1600)


def still(tab: Tab, path: Path) -> None:
    """Labels beside the picture that they make, with an island of forest and a lake."""
    tab.open("blue-marble-labels-256")
    for label, points in (
        ("shallow sea", island(132, 152, 24)),
        ("forest", island(132, 152, 14)),
        ("steppe", island(136, 158, 5)),
    ):
        tab.page.locator("#classes label", has_text=label).first.click()
        tab.paint(points, film=False)
    tab.until("store.doc.edited > 0.02")
    tab.page.focus("#pane-a")
    tab.page.keyboard.press("Enter")
    tab.until("store.doc.proposed && !store.doc.stale && !store.doc.pending")
    tab.page.keyboard.press("t")
    tab.page.mouse.move(*tab.at(190, 60))
    tab.page.wait_for_timeout(300)
    Image.open(io.BytesIO(tab.page.screenshot())).convert("RGB").save(path, optimize=True)


def save(frames: list[tuple[Image.Image, int]], path: Path) -> None:
    """A moving picture that begins again and again."""
    height = round(frames[0][0].height * WIDE / frames[0][0].width)
    pictures = [frame.resize((WIDE, height), Image.Resampling.LANCZOS) for frame, _ in frames]
    durations = [milliseconds for _, milliseconds in frames]
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=durations, loop=0, quality=72, method=6)


def main(folder: Path) -> None:
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if not chromium:
        raise SystemExit("Chromium is not installed")
    folder.mkdir(parents=True, exist_ok=True)
    arguments = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--force-color-profile=srgb"]
    with sync_playwright() as playwright, editor() as address:
        browser = playwright.chromium.launch(executable_path=chromium, args=arguments)

        def tab(**settings: Any) -> Tab:
            page = browser.new_context(viewport=WINDOW, **settings).new_page()
            page.goto(address)
            page.wait_for_selector("html[data-ready]")
            return Tab(page)

        moving = tab(color_scheme="dark")
        film(moving)
        save(moving.frames, folder / "editor.webp")
        moving.page.evaluate("import('/static/connection.js').then(({ send }) => send({ t: 'close' }))")
        moving.page.context.close()
        still(tab(color_scheme="light", device_scale_factor=1.5), folder / "editor.png")
        browser.close()
    for name in ("editor.webp", "editor.png"):
        print(f"{folder / name}: {(folder / name).stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER)
