"""What is saved: the picture with all that belongs to it, and the document to go on with."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from sige_mlx.app import protocol
from sige_mlx.app.protocol import CANVAS, RENDER, RESULT
from tests.app.talking import Page, Running, ask, editing, sent, serving
from tests.files import display_p3
from tests.tiny import labels, original, painted

ISLAND = [(12, 12), (14, 14)]


def saved(running: Running, form: str = "png") -> Image.Image:
    """The picture that is downloaded."""
    status, body, headers = ask(running, "GET", f"/api/picture?format={form}")
    assert status == 200, body
    assert headers["content-disposition"].startswith("attachment;")
    assert [*Path(running._folder.name).iterdir()] == []
    return Image.open(io.BytesIO(body))


def rendered(page: Page, points: list[tuple[int, int]] = ISLAND, **options: object) -> None:
    page.draw(points, flags=RENDER, **options)
    page.until("rendered")
    page.settled()


@pytest.mark.slow
def test_a_photograph_comes_back_as_it_was_outside_the_mask(running: Running) -> None:
    """4032 × 3024 pixels in Display P3, turned by its EXIF data, as a phone makes them."""
    rng = np.random.default_rng(0)
    coarse = Image.fromarray(rng.integers(0, 256, (63, 84, 3)).astype(np.uint8))
    stored = np.asarray(coarse.resize((4032, 3024), Image.Resampling.BICUBIC)).astype(np.int16)
    stored = (stored + rng.integers(-6, 7, stored.shape)).clip(0, 255).astype(np.uint8)
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "A camera"
    photograph = sent(stored, icc_profile=display_p3(), exif=exif.tobytes(), compress_level=1)
    upright = np.rot90(stored, -1)
    with editing(running, photograph) as page:
        assert (page.document["w"], page.document["h"]) == (3024, 4032)
        for points in ([(1500, 2000), (1512, 2008)], [(300, 3900)]):
            rendered(page, points, radius=6)
            page.do("accept")
        rendered(page, [(1530, 2000)], radius=5)
        x, y, w, h = page.document["figures"]["window"]
        for form in ("png", "tiff"):
            picture = saved(running, form)
            assert picture.size == (3024, 4032) and picture.info["icc_profile"] == display_p3()
            assert picture.getexif()[0x010F] == "A camera" and 0x0112 not in picture.getexif()
            pixels = np.asarray(picture)
            outside = np.ones(pixels.shape[:2], bool)
            outside[1985:2015, 1485:1545] = outside[3885:3915, 285:315] = False
            assert np.array_equal(pixels[outside], upright[outside])
            assert not np.array_equal(pixels[1990:2012, 1490:1520], upright[1990:2012, 1490:1520])
            assert not np.array_equal(pixels[3896:3904, 296:304], upright[3896:3904, 296:304])
        page.do("undo")
        page.do("undo")
        page.do("undo")
        page.do("undo")
        page.do("undo")
        assert np.array_equal(np.asarray(saved(running)), upright)
        assert w == h == 32 and x <= 1525 <= x + w and y <= 2000 <= y + h


def test_what_is_saved_is_the_result_and_the_original_where_there_is_none(running: Running) -> None:
    with editing(running, sent(original())) as page:
        page.paint(ISLAND)
        assert np.array_equal(np.asarray(saved(running)), original())
        rendered(page, [(20, 20)])
        assert page.document["dirty"]
        assert np.array_equal(np.asarray(saved(running)), page.layers[RESULT])
        assert page.until("state")["dirty"] is False
        assert saved(running, "jpeg").format == "JPEG"
        status, body, _ = ask(running, "GET", "/api/picture?format=exe")
        assert status == 422 and b"no format" in body


def test_transparency_and_sixteen_bits_are_kept(running: Running) -> None:
    deep = np.random.default_rng(0).integers(0, 65536, (40, 50)).astype(np.uint16)
    with editing(running, sent(deep)) as page:
        rendered(page)
        picture = np.asarray(saved(running, "png"))
        assert picture.ndim == 3 and page.document["name"] == "the picture"
    see_through = np.dstack([original(), np.random.default_rng(0).integers(0, 256, (32, 32))]).astype(np.uint8)
    with editing(running, sent(see_through)) as page:
        rendered(page)
        picture = np.asarray(saved(running))
        outside = np.ones((32, 32), bool)
        outside[6:22, 6:22] = False
        assert np.array_equal(picture[outside], see_through[outside])


def test_the_picture_of_labels_is_saved(tiny_labels: Path) -> None:
    with serving(tiny_labels) as running, editing(running, sent(labels())) as page:
        assert np.array_equal(np.asarray(saved(running)), page.layers[RESULT])
        rendered(page, [(10, 14), (14, 20)], value=(21,), tool=protocol.BOX)
        assert np.array_equal(np.asarray(saved(running)), page.layers[RESULT])


def test_a_translation_is_saved_in_its_originals_profile(tiny_translation: Path) -> None:
    picture = original(32, 48)
    with serving(tiny_translation) as running, editing(running, sent(picture, icc_profile=display_p3())) as page:
        rendered(page)
        found = saved(running)
        assert found.info["icc_profile"] == display_p3() and found.size == (48, 32)
        back = ImageCms.profileToProfile(
            found, ImageCms.ImageCmsProfile(io.BytesIO(display_p3())), ImageCms.createProfile("sRGB")
        )
        assert np.abs(np.asarray(back).astype(int) - page.layers[RESULT]).mean() < 4


def test_a_document_that_was_saved_goes_on_where_it_was(running: Running) -> None:
    with editing(running, sent(original(), icc_profile=display_p3())) as page:
        page.do("settings", seed=7, steps=6)
        page.settled()
        rendered(page)
        page.do("accept")
        page.paint([(24, 24)])
        wanted = {layer: pixels.copy() for layer, pixels in page.layers.items()}
        status, document, _ = ask(running, "GET", "/api/session")
        assert status == 200
        page.say("close")
        assert page.until("document")["name"] is None
        assert ask(running, "POST", "/api/session", document)[0] == 200
        page.until("document")
        state = page.settled()
        assert state["settings"]["seed"] == 7 and state["settings"]["steps"] == 6 and not state["dirty"]
        assert all(np.array_equal(page.layers[layer], wanted[layer]) for layer in wanted)
        assert saved(running).info["icc_profile"] == display_p3()
        page.say("render")
        page.until("rendered")


def test_labels_that_were_saved_go_on_where_they_were(tiny_labels: Path) -> None:
    with serving(tiny_labels) as running, editing(running, sent(labels())) as page:
        page.paint([(10, 14), (14, 20)], (21,), protocol.BOX)
        wanted = {layer: pixels.copy() for layer, pixels in page.layers.items()}
        document = ask(running, "GET", "/api/session")[1]
        assert ask(running, "POST", "/api/session", document)[0] == 200
        page.until("document")
        page.settled()
        assert all(np.array_equal(page.layers[layer], wanted[layer]) for layer in wanted)


def test_the_session_of_a_command_is_gone_on_with(tiny: Path, tmp_path: Path) -> None:
    from sige_mlx.cli import app

    for name, picture in (("a.png", original()), ("b.png", painted())):
        Image.fromarray(picture).save(tmp_path / name)
    given = ["--original", tmp_path / "a.png", "--edited", tmp_path / "b.png", "--out", tmp_path / "c.png", "-m", tiny]
    given += ["--session", tmp_path / "s.sige", "--commit", "--steps", 3, "--seed", 4]
    with pytest.raises(SystemExit) as left:
        app(["edit", *map(str, given)])
    assert not left.value.code
    with serving(tiny) as running, Page(running) as page:
        assert ask(running, "POST", "/api/session", (tmp_path / "s.sige").read_bytes())[0] == 200
        page.until("document")
        settings = page.settled()["settings"]
        assert (settings["seed"], settings["steps"]) == (4, 3)
        page.do("settings")
        assert np.array_equal(page.layers[CANVAS], np.asarray(Image.open(tmp_path / "c.png")))


@pytest.mark.parametrize("seed", range(8))
def test_a_damaged_document_is_one_sentence(running: Running, seed: int) -> None:
    rng = np.random.default_rng(seed)
    with editing(running, sent(original())) as page:
        page.paint(ISLAND)
        document = bytearray(ask(running, "GET", "/api/session")[1])
        for _ in range(20):
            damaged = bytearray(document)
            for at in rng.integers(0, min(len(damaged), 3000), rng.integers(1, 4)):
                damaged[at] = rng.integers(256)
            damaged = damaged[: rng.integers(1, len(damaged))] if rng.random() < 0.3 else damaged
            status, body, _ = ask(running, "POST", "/api/session", bytes(damaged))
            assert status in (200, 422)
            if status == 422:
                told = json.loads(body)["error"]
                assert told and running._folder.name not in told
        assert page.layers[CANVAS].shape == (32, 32, 3)


def test_a_document_of_a_model_that_is_not_here_is_refused(running: Running, tiny_labels: Path) -> None:
    with serving(tiny_labels) as other, editing(other, sent(labels())):
        document = ask(other, "GET", "/api/session")[1]
    status, body, _ = ask(running, "POST", "/api/session", document)
    assert status == 422 and b"there is no model" in body
