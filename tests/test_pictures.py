"""Pictures from files, Pillow images and arrays: what is asked before they are decoded, and what is said."""

from __future__ import annotations

import io
import os
import struct
import warnings
from pathlib import Path

import mlx.core as mx
import numpy as np
import pytest
from PIL import Image, ImageFile

from sige_mlx.editing.label_maps import read_map
from sige_mlx.errors import SigeError
from sige_mlx.masks import user_mask
from sige_mlx.pictures import Wanted, check_is_picture, open_image, opened
from tests.files import chunk, header, write_png16


def gradient(h: int = 4, w: int = 6) -> np.ndarray:
    return np.arange(h * w * 3, dtype=np.uint8).reshape(h, w, 3)


def turned(orientation: int = 6) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def write(path: Path, **options: object) -> Path:
    Image.fromarray(gradient()).save(path, **options)
    return path


# ---- what may be given


def test_paths_of_every_kind(tmp_path: Path) -> None:
    path = write(tmp_path / "é.png")
    for given in (path, str(path), os.fsencode(path)):
        read = opened(given, "the original")
        assert read.name == str(path)
        assert np.array_equal(np.asarray(read.pixels), gradient())


def test_arrays_of_every_layout() -> None:
    frozen = gradient()
    frozen.flags.writeable = False
    for given in (gradient(), np.asfortranarray(gradient()), frozen, mx.array(gradient()), gradient().tolist()):
        read = opened(given, "the original")
        assert read.name == "the original" and np.array_equal(read.pixels, gradient())


@pytest.mark.parametrize("dtype", [mx.bfloat16, mx.float16])
def test_arrays_that_numpy_has_no_type_for(dtype: mx.Dtype) -> None:
    assert np.array_equal(opened(mx.array(gradient(2, 3), dtype), "it").pixels, gradient(2, 3))


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (None, "^it is a NoneType: the path of a file, a Pillow image or an array would be right$"),
        (7, "^it is a int: the path"),
        ((i for i in range(3)), "^it is a generator: the path"),
        (io.BytesIO(b"PNG"), "^it is a BytesIO: the path"),
        ([[1, 2], [3]], "^it is a list that cannot be read as an array$"),
        (b"\x89PNG\0\0\0", "^bytes of 7 characters are no path: give the name of a file$"),
        ("a\0b.png", "^str of 7 characters are no path"),
    ],
)
def test_what_is_no_picture(given: object, sentence: str) -> None:
    with pytest.raises(SigeError, match=sentence):
        opened(given, "it")  # type: ignore[arg-type]


def test_a_picture_file_is_opened_by_its_name_alone(tmp_path: Path) -> None:
    path = write(tmp_path / "a.png")
    for given in (path, str(path), os.fsencode(path)):
        assert open_image(given).size == (6, 4)
    with pytest.raises(SigeError, match=r"^ndarray is no path: give the name of a picture file$"):
        open_image(gradient())  # type: ignore[arg-type]


def test_files_that_are_no_pictures(tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("not a picture")
    whole = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3)).astype(np.uint8)).save(whole, "png")
    (tmp_path / "half.png").write_bytes(whole.getvalue()[:2000])
    (tmp_path / "empty.png").touch()
    (tmp_path / "drawing.eps").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n")
    for name, sentence in {
        "missing.png": "there is no such file",
        "text.png": "is not a picture that Pillow can read",
        "empty.png": "is not a picture that Pillow can read",
        "half.png": "cannot be read as a picture",
        "drawing.eps": "is of the format EPS, which is not read",
        "n" * 300: "cannot be read as a picture: .*File name too long",
        ".": "is a folder",
    }.items():
        with pytest.raises(SigeError, match=sentence):
            open_image(tmp_path / name)
        if name != "half.png":
            with pytest.raises(SigeError, match=sentence):
                check_is_picture(tmp_path / name)


def test_pipes_and_devices_are_no_pictures(tmp_path: Path) -> None:
    """One would be waited for, and be read once where a picture is read twice."""
    os.mkfifo(tmp_path / "pipe.png")
    for path in (tmp_path / "pipe.png", Path("/dev/null")):
        for asked in (open_image, check_is_picture):
            with pytest.raises(
                SigeError, match=f"^{path} is a pipe or a device: a picture in a regular file is wanted$"
            ):
                asked(path)


@pytest.mark.parametrize("raised", [struct.error("unpack"), IndexError(), KeyError("x"), OverflowError("too large")])
def test_whatever_a_decoder_raises(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, raised: Exception) -> None:
    def load(self: Image.Image) -> None:
        raise raised

    path = write(tmp_path / "a.png")
    monkeypatch.setattr(ImageFile.ImageFile, "load", load)
    with pytest.raises(SigeError, match=r"a\.png cannot be read as a picture: "):
        open_image(path)


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp", "a.tiff", "a.gif", "a.bmp", "a.jp2", "a.avif"])
def test_files_that_end_early(tmp_path: Path, name: str) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3)).astype(np.uint8)
    Image.fromarray(noise).save(tmp_path / name)
    whole = (tmp_path / name).read_bytes()
    for share in (0.02, 0.3, 0.6, 0.9):
        (tmp_path / name).write_bytes(whole[: int(len(whole) * share)])
        with pytest.raises(SigeError, match=name):
            open_image(tmp_path / name)


# ---- size, before anything is decoded


@pytest.fixture
def no_decoding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda self: pytest.fail("it was decoded"))


@pytest.mark.usefixtures("no_decoding")
def test_a_huge_picture_is_refused_by_its_header(tmp_path: Path) -> None:
    """A file of a few bytes may say that it holds gigabytes."""
    path = tmp_path / "huge.png"
    path.write_bytes(header(13000, 13000) + chunk(b"IDAT", b"") + chunk(b"IEND", b""))
    with pytest.raises(SigeError, match=r"huge.png is 13000×13000 pixels \(width × height\): this model takes 128×64$"):
        opened(path, "it", Wanted((64, 128), "this model takes {}"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        image = Image.open(path)
    with pytest.raises(SigeError, match=r"^it is 13000×13000 pixels .*: this model takes 128×64$"):
        opened(image, "it", Wanted((64, 128), "this model takes {}"))
    with pytest.raises(SigeError, match=r"13000×13000 pixels \(width × height\): that is too large to edit$"):
        opened(path, "it")
    path.write_bytes(header(30000, 30000) + chunk(b"IDAT", b"") + chunk(b"IEND", b""))
    with pytest.raises(SigeError, match=r"has more than \d+ pixels: too many to edit$"):
        opened(path, "it", Wanted((64, 128)))


@pytest.mark.usefixtures("no_decoding")
@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.webp", "a.tiff"])
def test_the_size_that_is_told_is_the_upright_one(tmp_path: Path, name: str) -> None:
    write(tmp_path / name, exif=turned())
    with pytest.raises(SigeError, match=f"{name} is 4×6 pixels .*: 8×8 would be right"):
        opened(tmp_path / name, "it", Wanted((8, 8)))


def test_arrays_have_a_size_too() -> None:
    with pytest.raises(SigeError, match=r"^it is 6×4 pixels \(width × height\): 4×6 would be right$"):
        opened(gradient(), "it", Wanted((6, 4)))


# ---- orientation, frames, depth


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", ["a.png", "a.tiff", "a.webp"])
def test_exif_orientation_is_obeyed(tmp_path: Path, name: str, orientation: int) -> None:
    options = {"lossless": True} if name == "a.webp" else {}
    path = write(tmp_path / name, exif=turned(orientation), **options)
    size = (4, 6) if orientation < 5 else (6, 4)
    upright = [np.asarray(opened(given, "it", Wanted(size)).pixels) for given in (path, Image.open(path))]
    expected = {
        **{1: gradient(), 2: gradient()[:, ::-1], 3: gradient()[::-1, ::-1], 4: gradient()[::-1]},
        **{5: gradient().swapaxes(0, 1), 6: np.rot90(gradient(), -1)},
        **{7: gradient()[::-1, ::-1].swapaxes(0, 1), 8: np.rot90(gradient())},
    }[orientation]
    for found in upright:
        assert np.array_equal(found, expected)


def test_the_callers_image_stays_as_it_is(tmp_path: Path) -> None:
    image = Image.open(write(tmp_path / "a.png", exif=turned()))
    read = opened(image, "it")
    assert image.size == (6, 4) and image.getexif()[0x0112] == 6
    assert isinstance(read.pixels, Image.Image) and 0x0112 not in read.pixels.getexif()


def test_exif_data_that_cannot_be_read(tmp_path: Path) -> None:
    broken = b"Exif\0\0MM\0*\0\0\xff\xff" + b"\xff" * 20
    read = opened(write(tmp_path / "a.png", exif=broken), "it")
    assert np.array_equal(np.asarray(read.pixels), gradient())


@pytest.mark.parametrize("name", ["a.gif", "a.png", "a.webp", "a.tiff", "a.avif"])
def test_of_several_frames_the_first_is_taken(tmp_path: Path, name: str) -> None:
    frames = [Image.new("RGB", (6, 4), colour) for colour in ("red", "blue", "green")]
    frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:])
    read = opened(tmp_path / name, "it")
    assert read.notes == (f"{tmp_path / name} has several frames: number 1 is taken",)
    assert isinstance(read.pixels, Image.Image)
    r, _, b = read.pixels.convert("RGB").getpixel((0, 0))
    assert r > 200 and b < 50
    assert not opened(write(tmp_path / "one.gif"), "it").notes
    with pytest.raises(SigeError, match="several frames: number 1 is taken, which may be another than was meant"):
        read.check_certain()
    with pytest.raises(SigeError, match="several frames"):
        user_mask(tmp_path / name, (4, 6))
    with pytest.raises(SigeError, match="several frames"):
        read_map(tmp_path / name, (4, 6), "the map")


def test_bits_that_pillow_drops_are_told(tmp_path: Path) -> None:
    write_png16(tmp_path / "deep.png", gradient().astype(np.uint16) * 257)
    assert opened(tmp_path / "deep.png", "it").deep
    assert not opened(write(tmp_path / "a.png"), "it").deep
    (tmp_path / "deep.ppm").write_bytes(b"P6 2 1 65535\n" + struct.pack(">6H", *range(0, 60000, 10000)))
    assert opened(tmp_path / "deep.ppm", "it").deep
    assert not opened(write(tmp_path / "a.ppm"), "it").deep
    write_png16(tmp_path / "grey.png", np.full((2, 2, 1), 1000))
    assert not opened(tmp_path / "grey.png", "it").deep  # of grey, Pillow keeps all
