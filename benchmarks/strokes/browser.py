"""Strokes of a mouse in Chromium, on the page as it is."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from sige_mlx.errors import SigeError

WATCH = Path(__file__).with_name("watch.js").read_text("utf-8")
ARGUMENTS = ["--no-sandbox", "--disable-dev-shm-usage", "--force-color-profile=srgb"]
PLACED = """() => {
    const layer = [...document.querySelectorAll('.layer')].find(one => !one.hidden && one.id !== 'layer-original')
    const at = layer.getBoundingClientRect()
    return [at.left, at.top, at.width / layer.width, layer.width, layer.height]
}"""


class Stroke(NamedTuple):
    """Milliseconds of one stroke, from when the pen was lifted."""

    drawn: float
    """To the result's pixels in the page's picture."""
    shown: float
    """To the frame that has them."""
    server: float
    """Of these, from when the server had the stroke to when it had the result."""
    engine: float
    """Of these, the edit itself."""


def strokes(scene: str, count: int, settings: dict[str, Any]) -> Iterator[Stroke]:
    """Short strokes of random places on a picture of the gallery, each rendered as the pen lifts. Raises `SigeError`
    without a browser, or what drives it."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError as error:
        raise SigeError("this needs playwright: pip install 'sige-mlx[test]'") from error
    path = shutil.which("chromium") or shutil.which("google-chrome")
    if path is None:
        raise SigeError("this needs Chromium: apt-get install chromium, or as your system has it")
    with _editor() as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.add_init_script(WATCH)
        page.goto(address)
        page.wait_for_selector("html[data-ready]")
        yield from _measured(page, scene, count, settings)
        browser.close()


def _measured(page: Any, scene: str, count: int, settings: dict[str, Any]) -> Iterator[Stroke]:
    state = "import('/static/store.js').then(({ store }) => %s)"
    idle = state % "store.doc !== null && !store.doc.pending && store.loaded"
    page.evaluate(
        "([path]) => import('/static/connection.js').then(of => of.request(path, { method: 'POST' }))",
        [f"/api/gallery/{scene}"],
    )
    _until(page, idle)
    page.evaluate("told => import('/static/connection.js').then(of => { of.command('settings', told) })", settings)
    page.wait_for_timeout(200)
    page.evaluate("() => { const live = document.getElementById('live'); if (!live.checked) live.click() }")
    rng = np.random.default_rng(0)
    for number in range(count + 2):
        _until(page, idle)
        left, top, scale, width, height = page.evaluate(PLACED)
        x, y = rng.uniform((0.15, 0.15), (0.8, 0.8)).tolist()
        at = left + x * width * scale, top + y * height * scale
        page.mouse.move(*at)
        page.mouse.down()
        page.mouse.move(at[0] + 0.08 * width * scale, at[1] + 0.04 * height * scale, steps=6)
        page.mouse.up()
        page.wait_for_function("() => __seen.told && __seen.drawn && __seen.shown > __seen.drawn")
        page.wait_for_timeout(60)  # for a rectangle more, if there is one
        seen = page.evaluate("__seen")
        if number > 1:  # the first ones record, and warm up
            told = seen["told"]
            yield Stroke(seen["drawn"] - seen["up"], seen["shown"] - seen["up"], told["ms"], told["engine_ms"])
        undone = page.evaluate(state % "store.doc.revision")
        page.evaluate("() => import('/static/connection.js').then(of => { of.command('undo') })")
        _until(page, state % f"store.doc.revision > {undone}")


def _until(page: Any, promised: str) -> None:
    """Waits until an expression holds."""
    while not page.evaluate(promised):
        page.wait_for_timeout(20)


@contextmanager
def _editor() -> Iterator[str]:
    """The editor, in a process of its own; its address."""
    command = [sys.executable, "-u", "-m", "sige_mlx", "app", "--no-browser"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        try:
            line = process.stdout.readline()
            if "http://" not in line:
                raise SigeError("the editor did not start")
            yield line[line.index("http://") :].strip()
        finally:
            process.terminate()
