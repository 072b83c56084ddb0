"""The main story in WebKitGTK, the nearest to Safari that Linux has, driven by selenium on a screen of its own."""

from __future__ import annotations

import base64
import io
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

selenium = pytest.importorskip("selenium.webdriver")
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.webkitgtk.service import Service

DRIVER = shutil.which("WebKitWebDriver")
SCREEN = shutil.which("Xvfb")
BROWSER = next(iter(sorted(Path("/usr/lib").glob("*/webkit2gtk-4.*/MiniBrowser"), reverse=True)), None)

pytestmark = pytest.mark.skipif(
    not (DRIVER and SCREEN and BROWSER), reason="WebKitGTK's driver and Xvfb are not installed"
)

LAYER = """
    const done = arguments[1]
    document.getElementById(`layer-${arguments[0]}`).toBlob(async blob => {
        const reader = new FileReader()
        reader.onload = () => done(reader.result.split(',')[1])
        reader.readAsDataURL(blob)
    }, 'image/png')
"""
KNOW = "const done = arguments[0]; import('/static/store.js').then(({ store }) => done(%s))"


@pytest.fixture
def webkit(address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    assert DRIVER and SCREEN
    arguments = [SCREEN, "-displayfd", "1", "-screen", "0", "1300x1000x24"]
    screen = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert screen.stdout
    settings = {"DISPLAY": f":{screen.stdout.readline().strip()}", "GDK_BACKEND": "x11", "LIBGL_ALWAYS_SOFTWARE": "1"}
    if os.getuid() == 0:  # a sandbox needs rights that containers take away
        settings["WEBKIT_DISABLE_SANDBOX_THIS_IS_DANGEROUS"] = "1"
    for name, value in {**settings, "NO_AT_BRIDGE": "1"}.items():
        monkeypatch.setenv(name, value)
    options = selenium.WebKitGTKOptions()
    options.binary_location = str(BROWSER)
    options.add_argument("--automation")
    driver = selenium.WebKitGTK(options=options, service=Service(DRIVER, log_output=str(tmp_path / "webkit.log")))
    try:
        driver.set_script_timeout(60)
        driver.set_window_size(1280, 900)
        driver.get(address)
        yield driver
    finally:
        driver.quit()
        screen.terminate()
        screen.wait()
        screen.stdout.close()


def know(driver: Any, expression: str) -> Any:
    return driver.execute_async_script(KNOW % expression)


def until(driver: Any, expression: str) -> None:
    end = time.monotonic() + 60
    while not know(driver, expression):
        assert time.monotonic() < end, f"waited in vain for {expression}"
        time.sleep(0.05)


def layer(driver: Any, name: str) -> np.ndarray:
    data = base64.b64decode(driver.execute_async_script(LAYER, name))
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def test_an_island_is_painted_rendered_undone_kept_and_there_after_a_reload(webkit: Any) -> None:
    def press(keys: str) -> None:
        webkit.execute_script("document.getElementById('pane-a').focus()")
        ActionChains(webkit).send_keys(keys).perform()

    until(webkit, "document.querySelectorAll('#gallery button').length > 1")
    cards = webkit.find_elements(By.CSS_SELECTOR, "#gallery button")
    next(card for card in cards if "blue-marble-128" in card.text).click()
    until(webkit, "store.doc?.model === 'blue-marble-128' && !store.doc.pending && store.loaded")
    sea = layer(webkit, "original")

    pane = webkit.find_element(By.ID, "pane-a")
    strokes = ActionChains(webkit, duration=20).move_to_element(pane).click_and_hold()
    strokes.move_by_offset(40, 20).move_by_offset(-40, 20).move_by_offset(-30, -30).release().perform()
    until(webkit, "store.doc.edited > 0")
    painted = (layer(webkit, "canvas") != sea).any(-1)
    assert painted[54:84, 54:84].any() and painted.mean() < 0.2
    press(Keys.ENTER)
    until(webkit, "store.doc.proposed && !store.doc.pending")
    first = layer(webkit, "result")
    assert (first[painted] != sea[painted]).any()

    press("z")
    until(webkit, "!store.doc.proposed")
    press("y")
    until(webkit, "store.doc.proposed")
    np.testing.assert_array_equal(layer(webkit, "result"), first)
    press(Keys.ENTER)
    until(webkit, "store.doc.edited === 0")
    np.testing.assert_array_equal(layer(webkit, "original"), first)

    webkit.refresh()
    until(webkit, "store.doc && store.loaded")
    np.testing.assert_array_equal(layer(webkit, "result"), first)
    assert know(webkit, "store.doc.undo") == 3
