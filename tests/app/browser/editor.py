"""What a person does with the editor, and sees."""

from __future__ import annotations

import base64
import io
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

Point = tuple[float, float]

PLACED = """() => {
    const layer = [...document.querySelectorAll('#stage-a .layer')].find(one => !one.hidden)
    const at = layer.getBoundingClientRect()
    return [at.left, at.top, at.width / layer.width]
}"""
STORE = "import('/static/store.js').then(({ store }) => (%s))"
SEEN = """async name => {
    const layer = document.getElementById(`layer-${name}`)
    const blob = await new Promise(done => layer.toBlob(done, 'image/png'))
    const bytes = new Uint8Array(await blob.arrayBuffer())
    let text = ''
    for (let i = 0; i < bytes.length; i += 32768) text += String.fromCharCode(...bytes.subarray(i, i + 32768))
    return btoa(text)
}"""


class Editor:
    """A tab with the editor in it. Points are in pixels of the picture."""

    def __init__(self, page: Any):
        self.page = page

    # ---- what the page knows and shows

    def know(self, expression: str) -> Any:
        """The value of an expression over `store`."""
        return self.page.evaluate(STORE % expression)

    def until(self, expression: str, seconds: float = 60) -> None:
        """Waits until an expression over `store` holds."""
        end = time.monotonic() + seconds
        while not self.know(expression):
            assert time.monotonic() < end, f"waited in vain for {expression}: {self.know('JSON.stringify(store)')}"
            self.page.wait_for_timeout(20)

    def layer(self, name: str) -> np.ndarray:
        """(H, W, 3) of a layer: original, canvas, result or before."""
        data = base64.b64decode(self.page.evaluate(SEEN, name))
        return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))

    def shown(self, name: str) -> bool:
        return self.page.locator(f"#layer-{name}").is_visible()

    def screen(self) -> np.ndarray:
        """(H, W, 3) of the window."""
        return np.asarray(Image.open(io.BytesIO(self.page.screenshot())).convert("RGB"))

    # ---- what a person does

    def gallery(self, model: str) -> None:
        """Opens an embedded picture."""
        self.page.locator("#gallery button", has_text=model).first.click()
        self.until(f"store.doc?.model === '{model}'")
        self.ready()

    def choose(self, file: Path) -> None:
        """Opens a file by the dialog."""
        with self.page.expect_file_chooser() as dialog:
            self.page.click("#open")
        dialog.value.set_files(file)

    def ready(self) -> None:
        """Waits until nothing runs and the picture is there."""
        self.until("store.doc && !store.doc.pending && store.loaded")

    def at(self, x: float, y: float) -> Point:
        """Where a point of the picture is in the window."""
        left, top, scale = self.page.evaluate(PLACED)
        return left + x * scale, top + y * scale

    def stroke(self, points: Sequence[Point], lift: bool = True) -> None:
        """Draws with what is chosen, and waits for the server's pixels."""
        revision = self.know("store.doc.revision")
        first, *others = [self.at(*point) for point in points]
        self.page.mouse.move(*first)
        self.page.mouse.down()
        for other in others:
            self.page.mouse.move(*other, steps=6)
        if lift:
            self.page.mouse.up()
            self.until(f"store.doc.revision > {revision}")

    def island(self, x: float, y: float, size: float) -> None:
        self.stroke([(x - size, y), (x, y - size / 2), (x + size, y), (x, y + size / 2), (x - size, y)])

    def colour(self, colour: str) -> None:
        self.page.fill("#hex", colour)
        self.page.press("#hex", "Enter")

    def label(self, name: str) -> None:
        self.page.locator("#classes label", has_text=name).first.click()

    def press(self, *keys: str) -> None:
        """Presses keys with the picture in focus."""
        self.page.focus("#pane-a")
        for key in keys:
            self.page.keyboard.press(key)

    def render(self) -> None:
        self.press("Enter")
        self.until("store.doc.proposed && !store.doc.stale && !store.doc.pending")

    def after(self, *keys: str) -> None:
        """Presses keys and waits until the document has changed."""
        revision = self.know("store.doc.revision")
        self.press(*keys)
        self.until(f"store.doc.revision > {revision} && !store.doc.pending")

    def download(self, form: str, file: Path) -> Path:
        """Saves by the menu."""
        self.page.click("#save")
        with self.page.expect_download() as download:
            self.page.click(f"[data-save={form}]")
        download.value.save_as(file)
        return file
