"""What the editor is for, from the first click to the saved file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from sige_mlx import zoo
from sige_mlx.masks import dilate
from tests.app.browser.editor import Editor
from tests.files import display_p3

Edit = Callable[..., Editor]


def mask(editor: Editor, before: np.ndarray) -> np.ndarray:
    """What an edit may change: where something was painted, and some of the network's pixels around it, (H, W)."""
    _, _, width, _ = editor.know("store.doc.figures.window")
    scale = -(-width // 128)  # pixels of the picture to one of the network, which is edited whole, with its corners
    grown = (zoo.load("blue-marble-128").policy().dilation + 2) * scale
    return dilate((editor.layer("canvas") != before).any(-1), grown)


def test_a_picture_is_painted_rendered_kept_and_painted_again(edit: Edit, tmp_path: Path) -> None:
    editor = edit()
    editor.gallery("blue-marble-128")
    sea = editor.layer("original")

    editor.colour("#d8c49a")
    editor.island(40, 70, 8)
    painted = (editor.layer("canvas") != sea).any(-1)
    assert tuple(editor.layer("canvas")[68, 38]) == (0xD8, 0xC4, 0x9A)
    editor.render()
    first = editor.layer("result")
    assert (first[painted] != sea[painted]).any(-1).mean() > 0.5
    assert (first[painted] != editor.layer("canvas")[painted]).any(-1).mean() > 0.5  # rendered, not pasted
    apart = ~mask(editor, sea)
    np.testing.assert_array_equal(first[apart], sea[apart])
    assert "less" in editor.page.inner_text("#figures")

    editor.after("z")
    assert not editor.know("store.doc.proposed")
    editor.after("y")
    np.testing.assert_array_equal(editor.layer("result"), first)

    editor.after("Enter")  # keeps it
    np.testing.assert_array_equal(editor.layer("original"), first)
    assert editor.know("store.doc.edited") == 0

    editor.colour("#33552b")
    editor.island(90, 40, 5)
    editor.render()
    again = mask(editor, first)
    second = editor.layer("result")
    np.testing.assert_array_equal(second[~again], first[~again])
    assert (second[again] != first[again]).any()

    editor.page.keyboard.down("c")
    assert editor.shown("original")
    editor.page.keyboard.up("c")
    assert not editor.shown("original")

    saved = np.asarray(Image.open(editor.download("png", tmp_path / "sea.png")))
    np.testing.assert_array_equal(saved[..., :3], second)
    assert not editor.know("store.doc.dirty")

    editor.page.reload()
    editor.page.wait_for_selector("html[data-ready]")
    editor.ready()
    np.testing.assert_array_equal(editor.layer("result"), second)
    editor.after("z")  # what was done before the reload can be undone after it
    assert not editor.know("store.doc.proposed")
    editor.island(20, 20, 4)
    editor.render()


def test_labels_are_painted_beside_the_picture_they_make(edit: Edit, tmp_path: Path) -> None:
    editor = edit()
    editor.gallery("blue-marble-labels-256")
    assert editor.page.is_visible("#pane-b") and editor.know("store.mode") == "split"
    colours = {entry["name"]: entry["colour"] for entry in editor.know("store.doc.palette")}

    editor.label("forest")
    editor.island(120, 150, 12)
    assert "#{:02x}{:02x}{:02x}".format(*editor.layer("canvas")[149, 118]) == colours["forest"]
    editor.render()
    first = editor.layer("result")

    editor.page.keyboard.down("c")  # what the map made before it was painted on
    assert editor.shown("before") and (editor.layer("before") != first).any()
    np.testing.assert_array_equal(editor.layer("before")[200:, :60], first[200:, :60])
    editor.page.keyboard.up("c")
    assert not editor.shown("before")

    editor.after("z")
    editor.after("y")
    np.testing.assert_array_equal(editor.layer("result"), first)
    editor.after("Enter")

    editor.label("lake")
    editor.press("g")
    revision = editor.know("store.doc.revision")
    editor.page.mouse.click(*editor.at(119, 149))  # the island becomes a lake
    editor.until(f"store.doc.revision > {revision}")
    assert "#{:02x}{:02x}{:02x}".format(*editor.layer("canvas")[149, 118]) == colours["lake"]
    editor.render()
    second = editor.layer("result")
    assert (second[140:160, 110:130] != first[140:160, 110:130]).any()

    saved = np.asarray(Image.open(editor.download("png", tmp_path / "coast.png")))
    np.testing.assert_array_equal(saved[..., :3], second)
    editor.page.reload()
    editor.page.wait_for_selector("html[data-ready]")
    editor.ready()
    np.testing.assert_array_equal(editor.layer("result"), second)
    assert editor.know("store.mode") == "split"


def photograph(file: Path) -> Image.Image:
    """A JPEG of 4032×3024 as a telephone writes it: lying on its side, in Display P3. Returns it upright."""
    rng = np.random.default_rng(5)
    small = Image.fromarray(rng.integers(40, 220, (24, 32, 3), dtype=np.uint8))
    pixels = np.asarray(small.resize((4032, 3024), Image.Resampling.BICUBIC)).astype(np.int16)
    noise = rng.integers(-6, 7, (3024, 4032, 1), dtype=np.int16)
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010F] = "Telephone"
    image = Image.fromarray((pixels + noise).clip(0, 255).astype(np.uint8))
    image.save(file, quality=92, exif=exif.tobytes(), icc_profile=display_p3())
    return ImageOps.exif_transpose(Image.open(file))


def test_a_photograph_keeps_its_size_its_profile_and_every_other_pixel(edit: Edit, tmp_path: Path) -> None:
    upright = photograph(tmp_path / "IMG_0001.jpg")
    editor = edit()
    editor.choose(tmp_path / "IMG_0001.jpg")
    editor.until("store.doc?.w === 3024 && store.doc?.h === 4032")
    editor.ready()
    before = editor.layer("canvas")
    editor.colour("#d8c49a")
    editor.island(1500, 2100, 30)
    painted = (editor.layer("canvas") != before).any(-1)
    assert 0.0001 < painted.mean() < 0.05
    editor.render()
    saved = Image.open(editor.download("png", tmp_path / "saved.png"))
    assert saved.size == (3024, 4032) == upright.size
    assert saved.info["icc_profile"] == display_p3()
    assert saved.getexif()[0x010F] == "Telephone"
    assert saved.getexif().get(0x0112, 1) == 1
    new, old = np.asarray(saved), np.asarray(upright)
    apart = ~mask(editor, before)
    np.testing.assert_array_equal(new[apart], old[apart])
    assert (new[painted] != old[painted]).any(-1).mean() > 0.5
