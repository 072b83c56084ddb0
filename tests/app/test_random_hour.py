"""An hour of somebody who does anything at all: what is seen stays what the history says, within the memory that was
allowed."""

from __future__ import annotations

import resource
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sige_mlx.app import protocol
from tests.app.browsing import chromium
from tests.app.talking import Page, Running, editing, sent, serving
from tests.tiny import original

MEMORY = 24 << 20
SIZE = (48, 40)


class Somebody:
    """Does what a seed says, on a page, and waits for what comes of it. With `hasty` renders are not always waited
    for."""

    def __init__(self, page: Page, seed: int, hasty: bool):
        self._page, self._rng, self._hasty = page, np.random.default_rng(seed), hasty
        self.errors = 0

    def act(self) -> None:
        """One deed more."""
        rng, page = self._rng, self._page
        deed = rng.choice(
            ["stroke", "fill", "undo", "redo", "render", "accept", "reject", "choose", "seed"],
            p=[0.4, 0.05, 0.15, 0.1, 0.1, 0.07, 0.05, 0.03, 0.05],
        )
        told: dict[str, Any]
        if deed == "stroke":
            told = page.until("state", "error", seq=self._stroke())
        elif deed == "fill":
            x, y = rng.uniform((0, 0), SIZE[::-1]).tolist()
            told = page.do("fill", x=x, y=y, value=self._colour(), tolerance=int(rng.integers(120)))
        elif deed == "render":
            seeds = rng.integers(0, 9, rng.integers(2, 4)).tolist() if rng.random() < 0.3 else None
            told = page.do("render", seeds=seeds)
        elif deed == "choose":
            told = page.do("choose", variant=int(rng.integers(3)))
        elif deed == "seed":
            told = page.do("settings", seed=int(rng.integers(9)))
        else:
            told = page.do(deed)
        self.errors += told["t"] == "error"
        if not (self._hasty and rng.random() < 0.5):
            page.settled()

    def _stroke(self) -> int:
        rng = self._rng
        count = int(rng.integers(1, 30))
        start = rng.uniform((-5, -5), (SIZE[1] + 5, SIZE[0] + 5))
        points = np.column_stack([start + rng.normal(0, 3, (count, 2)).cumsum(0), rng.uniform(0, 1, count)])
        flags = protocol.RENDER if rng.random() < 0.5 else 0
        radius, hardness = float(rng.uniform(0.3, 12)), int(rng.integers(256))
        how = {"tool": int(rng.integers(5)), "radius": radius, "flags": flags, "hardness": hardness}
        return self._page.draw(points.tolist(), self._colour(), **how)

    def _colour(self) -> list[int]:
        colour: list[int] = self._rng.integers(0, 256, 3).tolist()
        return colour


def peak() -> int:
    """Most bytes that this process has taken so far."""
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most << 10


def lived(running: Running, page: Page, seed: int, deeds: int, hasty: bool) -> dict[int, np.ndarray]:
    """The layers after so many deeds, of which most can be done."""
    page.do("settings", steps=3, quality="exact" if hasty else "balanced")
    page.settled()
    somebody, early = Somebody(page, seed, hasty), 0
    for number in range(deeds):
        somebody.act()
        studio = running.server.studio
        assert studio.document is not None
        assert studio.document.history.nbytes <= MEMORY // 4
        assert studio._renderer.nbytes() <= MEMORY - MEMORY // 4
        if number == deeds // 3:
            early = peak()
    page.settled()
    assert somebody.errors < deeds / 2
    assert peak() - early < 4 * MEMORY
    return {layer: page.layers[layer].copy() for layer in range(3)}


@pytest.mark.parametrize(
    "seed, deeds, hasty",
    [
        (0, 60, False),
        (1, 60, True),
        pytest.param(2, 1500, False, marks=pytest.mark.slow),
        pytest.param(3, 1500, True, marks=pytest.mark.slow),
    ],
)
def test_the_picture_is_that_of_a_replay(tiny: Path, seed: int, deeds: int, hasty: bool) -> None:
    """Renders that nobody waits for may end before they are cancelled or not: there a replay has the paint alone in
    common."""
    ends = []
    for _ in range(2):
        with serving(tiny, memory=MEMORY) as running, editing(running, sent(original(*SIZE))) as page:
            ends.append(lived(running, page, seed, deeds, hasty))
            seen = dict(ends[-1])
            with Page(running) as other:
                other.do("settings")
                assert all(np.array_equal(other.layers[layer], seen[layer]) for layer in seen)
            undone = 0
            while page.document["undo"]:
                page.do("undo")
                undone += 1
            if not running.server.studio.document.history.forgotten:
                assert all(np.array_equal(page.layers[layer], original(*SIZE)) for layer in range(3))
            for _ in range(undone):
                page.do("redo")
            assert undone and all(np.array_equal(page.layers[layer], seen[layer]) for layer in seen)
    if not hasty:
        assert all(np.array_equal(ends[0][layer], ends[1][layer]) for layer in ends[0])


SEEN = """name => {
    const layer = document.getElementById(`layer-${name}`);
    const { data } = layer.getContext('2d').getImageData(0, 0, layer.width, layer.height);
    return [layer.height, layer.width, ...data];
}"""


@pytest.mark.slow
def test_a_browser_that_looks_on_shows_the_same_and_complains_of_nothing(tiny: Path) -> None:
    server = serving(tiny, memory=MEMORY)
    with server as running, editing(running, sent(original(*SIZE))) as page, chromium() as browser:
        tab = browser.new_page()
        complaints: list[str] = []
        tab.on("console", lambda told: complaints.append(told.text) if told.type == "error" else None)
        tab.on("pageerror", lambda error: complaints.append(str(error)))
        tab.goto(running.address)
        tab.wait_for_selector("html[data-ready]")
        lived(running, page, 4, 400, hasty=True)
        state = "import('/static/store.js').then(({ store }) => store.doc.revision)"
        while tab.evaluate(state) < page.document["revision"]:
            tab.wait_for_timeout(50)
        tab.wait_for_timeout(200)
        for number, name in enumerate(("original", "canvas", "result")):
            height, width, *pixels = tab.evaluate(SEEN, name)
            shown = np.array(pixels, np.uint8).reshape(height, width, 4)
            assert np.array_equal(shown[..., :3], page.layers[number]), name
        assert complaints == []
