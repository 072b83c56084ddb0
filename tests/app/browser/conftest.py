"""The editor in a real browser: Debian's Chromium, driven by Playwright, and `sige-mlx app` as a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.app.browser.editor import Editor
from tests.app.browsing import chromium


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.slow)


@pytest.fixture
def options() -> list[str]:
    """Of `sige-mlx app`."""
    return []


@pytest.fixture
def address(tmp_path: Path, options: list[str]) -> Iterator[str]:
    """Where an editor of this test's own is, with its token. It ends without a word on its error output."""
    pytest.importorskip("starlette")
    errors = tmp_path / "app.errors"
    command = [sys.executable, "-m", "sige_mlx", "app", "--no-browser", "--port", "0", *options]
    with errors.open("wb") as said:
        running = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=said, text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"}
        )
        assert running.stdout
        found = next((word for line in running.stdout for word in line.split() if word.startswith("http://")), None)
        try:
            assert found, errors.read_text()
            yield found
        finally:
            running.terminate()
            running.wait(20)
            running.stdout.close()
    assert "Traceback" not in errors.read_text()


@pytest.fixture(scope="module")  # Playwright may be begun once at a time, and other modules begin it too
def browser() -> Iterator[Any]:
    with chromium("--disable-gpu") as running:
        yield running


@pytest.fixture
def edit(browser: Any, address: str) -> Iterator[Callable[..., Editor]]:
    """Opens a tab with the editor; keywords are those of Playwright's contexts. Nothing may be complained of in the
    browser's console."""
    contexts, complaints = [], []

    def complain(message: Any) -> None:
        expected = ("willReadFrequently", "responded with a status of 4")  # the second says that the server refused
        if message.type in ("error", "warning") and not any(words in message.text for words in expected):
            complaints.append(message.text)

    def opened(**settings: Any) -> Editor:
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 800}, **settings})
        contexts.append(context)
        context.set_default_timeout(60_000)
        page = context.new_page()
        page.on("console", complain)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(address)
        page.wait_for_selector("html[data-ready]")
        return Editor(page)

    yield opened
    for context in contexts:
        context.close()
    assert not complaints
