"""Pictures of 16 bits a channel: read, edited and written without losing a bit where nothing was rendered."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from sige_mlx.editing import EditSession, save_image
from sige_mlx.editing.deep import LOW, deep, write_png, write_tiff
from sige_mlx.editing.destination import losses
from sige_mlx.editing.images import Source
from sige_mlx.engine import Engine
from tests.files import chunk, display_p3, write_png16
from tests.tiny import tiny_engine

SIZE = (60, 50)


def pixels(channels: int = 3) -> np.ndarray:
    """Soft, as photographs are, with noise in the lower bits."""
    rng, (y, x) = np.random.default_rng(0), np.mgrid[: SIZE[0], : SIZE[1]]
    hills = np.stack([20000 + 300 * y + 200 * x + 900 * c for c in range(channels)], -1)
    return (hills + rng.integers(0, 256, hills.shape)).astype(np.uint16)


@pytest.fixture(scope="module")
def engine() -> Engine:
    return tiny_engine()


def png(path: Path, values: np.ndarray) -> None:
    write_png16(path, values, chunk(b"pHYs", b"\0\0\x2e\x23" * 2 + b"\1"))


def tiff(path: Path, values: np.ndarray) -> None:
    with path.open("wb") as file:
        write_tiff(file, values, {"dpi": (300, 300)})


WRITE: dict[str, Callable[[Path, np.ndarray], None]] = {"a.png": png, "a.tiff": tiff}


def read(path: Path) -> np.ndarray:
    """All 16 bits, as they are read here."""
    found = deep(Source.of(path).image)
    assert found is not None
    return found


@pytest.mark.parametrize("name", WRITE)
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_all_bits_are_read(tmp_path: Path, name: str, channels: int) -> None:
    if channels == 1 and name == "a.tiff":
        Image.fromarray(pixels(1)[..., 0]).save(tmp_path / name)
    else:
        WRITE[name](tmp_path / name, pixels(channels))
    source = Source.of(tmp_path / name)
    wanted = pixels(1).repeat(3, 2) if channels == 1 else pixels(channels)
    assert np.array_equal(read(tmp_path / name), wanted)
    assert np.array_equal(source.own.rgb, wanted[..., :3] >> 8)
    (note,) = source.notes
    assert note.endswith("16 bits a channel, which are kept where nothing is rendered: the network sees and makes 8")


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("packed", [False, True])
def test_tiff_in_both_orders(tmp_path: Path, order: str, packed: bool) -> None:
    """Written by another library than ours."""
    compression = "zlib" if packed else None
    tifffile.imwrite(tmp_path / "a.tiff", pixels(), photometric="rgb", byteorder=order, compression=compression)
    assert np.array_equal(read(tmp_path / "a.tiff"), pixels())


@pytest.mark.parametrize("name", WRITE)
def test_what_was_not_rendered_keeps_its_bits(engine: Engine, tmp_path: Path, name: str) -> None:
    """Through a window, a commit, a file of the session, and undoing."""
    before, edited = pixels(4), pixels(4)
    before[:9, :9, 3] = edited[:9, :9, 3] = 1234
    edited[30:40, 20:30] = 65535
    WRITE[name](tmp_path / name, before)
    WRITE[name](tmp_path / f"b{name}", edited)
    opened = EditSession(engine, tmp_path / name, steps=1)
    result = opened.edit(tmp_path / f"b{name}")
    assert result.mask[30:40, 20:30].all() and result.edited < 0.2
    for out in ("c.png", "c.tiff"):
        save_image(result.picture, tmp_path / out)
        written = read(tmp_path / out)
        assert np.array_equal(written[~result.mask], before[~result.mask])
        inside = written[result.mask]
        assert (inside >> 8 == inside & 255).all()  # of 8 bits: white is white
        assert Image.open(tmp_path / out).info["dpi"] == pytest.approx((300, 300), rel=1e-2)
    opened.commit()
    opened.save(tmp_path / "s")
    again = EditSession.open(tiny_engine(), tmp_path / "s")
    found = deep(again.source.image)
    assert found is not None and np.array_equal(found, written)
    again.undo()
    found = deep(again.source.image)
    assert found is not None and np.array_equal(found, before)


def test_orientation_and_profile_go_with_them(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "Maker"
    exif.get_ifd(0x8769)[0x9003] = "2026:01:01 00:00:00"
    turned = np.rot90(pixels())
    with (tmp_path / "a.png").open("wb") as file:
        write_png(file, turned, {"icc_profile": display_p3(), "exif": exif.tobytes()})
    source = Source.of(tmp_path / "a.png")
    assert np.array_equal(read(tmp_path / "a.png"), pixels()) and source.own.profile
    for out in ("b.png", "b.tiff"):
        save_image(source.image, tmp_path / out)
        copy = Image.open(tmp_path / out)
        assert np.array_equal(read(tmp_path / out), pixels())
        assert copy.info["icc_profile"] == display_p3() and copy.getexif()[0x010F] == "Maker"
        assert copy.getexif().get_ifd(0x8769)[0x9003] == "2026:01:01 00:00:00"


def test_formats_without_room_for_them(tmp_path: Path) -> None:
    png(tmp_path / "a.png", pixels())
    image = Source.of(tmp_path / "a.png").image
    (told,) = losses(image, tmp_path / "c.webp")
    assert told.endswith("c.webp has no room for 16 bits a channel: 8 are kept; .png or .tiff would keep them")
    save_image(image, tmp_path / "c.webp")
    assert np.array_equal(np.asarray(Image.open(tmp_path / "c.webp")), pixels() >> 8)
    assert not losses(image, tmp_path / "c.tiff")


def test_an_image_that_was_changed_since_is_written_as_it_is(tmp_path: Path) -> None:
    """Its lower bits are of another size: 8 are written."""
    png(tmp_path / "a.png", pixels())
    image = Source.of(tmp_path / "a.png").image
    small = image.resize((20, 10))
    small.info[LOW] = image.info[LOW]
    save_image(small, tmp_path / "c.png")
    assert np.array_equal(np.asarray(Image.open(tmp_path / "c.png")), np.asarray(small))
    assert deep(small) is None
