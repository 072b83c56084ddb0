"""Files that pages send: counted, looked at before they are decoded, and never more than a file."""

from __future__ import annotations

import io
import json
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.app.talking import Page, Running, ask, editing, sent, serving
from tests.tiny import original


def why(running: Running, body: object, path: str = "/api/open", **options: object) -> tuple[int, str]:
    """Status and sentence of what was refused."""
    status, told, _ = ask(running, "POST", path, body, **options)  # type: ignore[arg-type]
    return status, json.loads(told).get("error", "")


def left(running: Running) -> list[Path]:
    """Files that the server has."""
    return [*Path(running._folder.name).iterdir()]


def bomb(width: int, height: int) -> bytes:
    """A PNG file that says it is so large, and is not."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    rows = zlib.compress(bytes(1 << 20))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def test_bodies_are_counted_whatever_was_announced(tiny: Path) -> None:
    def parts() -> Iterator[bytes]:
        for _ in range(64):
            yield bytes(1 << 16)

    def refused(running: Running, body: object, **headers: str) -> bool:
        try:
            return why(running, body, headers=headers) == (413, "the file is too large: 1 MiB are the most")
        except ConnectionError:  # it did not wait for the rest
            return True

    with serving(tiny, most_bytes=1 << 20) as running, Page(running) as page:
        assert refused(running, bytes((1 << 20) + 1))
        assert refused(running, parts(), **{"Transfer-Encoding": "chunked"})
        assert why(running, b"", headers={"Content-Length": "9" * 15})[0] == 413
        assert left(running) == []
        assert page.paint([(1, 1)])["why"] == "no picture is open"
        assert ask(running, "POST", "/api/open", sent(original()))[0] == 200


@pytest.mark.parametrize("size", [(50_000, 50_000), (20_000, 10_000), (2**31 - 1, 2**31 - 1)])
def test_too_many_pixels_are_refused_before_they_are_decoded(
    running: Running, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Image.Image, "load", lambda self: pytest.fail("it was decoded"))
    status, told = why(running, bomb(*size))
    assert status == 422 and ("too many" in told or "too large" in told or "no PNG" in told)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"hello",
        sent(original())[:200],
        sent(original(), "BMP"),
        sent(original(), "GIF"),
        sent(original(), "PPM"),
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 100 100\n",
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"\x80\x04\x95",
    ],
)
def test_only_pictures_of_four_formats_are_opened(running: Running, body: bytes) -> None:
    status, told = why(running, body)
    assert status == 422 and told and "/tmp" not in told and running._folder.name not in told
    assert left(running) == []


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "TIFF"])
def test_pictures_of_these_are_opened(running: Running, form: str) -> None:
    with editing(running, sent(original(), form)) as page:
        assert page.document["w"] == page.document["h"] == 32
        assert left(running) == []


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "a\0b", "x" * 5000, "<b>&\n", "\x1b[31m"])
def test_a_name_is_a_name_and_no_path(running: Running, name: str) -> None:
    from urllib.parse import quote

    with Page(running) as page:
        assert ask(running, "POST", f"/api/open?name={quote(name)}", sent(original()))[0] == 200
        told = page.until("document")["name"]
        assert told.isprintable() and len(told) < 300
    assert left(running) == []


@pytest.mark.parametrize("name", ["..%2f..%2fetc%2fpasswd", "%2fetc%2fpasswd", "sea.png", "%00"])
def test_the_gallery_has_names_and_no_paths(running: Running, name: str) -> None:
    for method in ("GET", "POST"):
        status, told, _ = ask(running, method, f"/api/gallery/{name}", b"" if method == "POST" else None)
        assert status in (404, 422) and b"root:" not in told


@pytest.mark.parametrize("model", ["/etc", "../../x", "nothing", "ddpm-church-256", "hf:someone/something"])
def test_models_are_those_that_are_here(running: Running, model: str) -> None:
    for path in (f"/api/open?model={model}", f"/api/gallery/sea?model={model}"):
        status, told = why(running, sent(original()), path)
        assert status == 422 and told.startswith("there is no model")


def test_the_model_that_was_named_is_the_usual_one(running: Running, tiny: Path) -> None:
    told = json.loads(ask(running, "GET", "/api/models")[1])
    assert told["usual"] == str(tiny)
    by_name = {model["name"]: model for model in told["models"]}
    assert by_name[str(tiny)]["size"] == [32, 32] and by_name["blue-marble-128"]["here"]
    assert not by_name["ddpm-church-256"]["here"]


def test_the_gallery_shows_and_opens_what_is_in_the_package(running: Running) -> None:
    scenes = json.loads(ask(running, "GET", "/api/gallery")[1])["pictures"]
    assert {scene["kind"] for scene in scenes} == {"picture", "labels"}
    for scene in scenes:
        status, told, headers = ask(running, "GET", f"/api/gallery/{scene['name']}")
        assert status == 200 and headers["content-type"] == "image/png" and Image.open(io.BytesIO(told)).width > 50
        with Page(running) as page:
            assert ask(running, "POST", f"/api/gallery/{scene['name']}", b"")[0] == 200
            document = page.until("document")
            assert (document["name"], document["kind"]) == (scene["title"], scene["kind"])


def test_a_damaged_picture_leaves_the_one_that_is_open(running: Running) -> None:
    with editing(running, sent(original())) as page:
        page.paint([(12, 12)])
        whole = sent(np.random.default_rng(0).integers(0, 256, (300, 300, 3)).astype(np.uint8))
        assert why(running, whole[: len(whole) // 2])[0] == 422
        assert page.do("settings")["undo"] == 1


def test_a_frame_that_is_too_large_closes_the_websocket(running: Running) -> None:
    from websockets.exceptions import ConnectionClosed

    with Page(running) as page, pytest.raises(ConnectionClosed):
        page.raw(bytes(1 << 20))
        page.hear()
    with Page(running) as page:
        assert page.document["name"] is None
