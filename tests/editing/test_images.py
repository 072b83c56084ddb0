import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sige_mlx.editing.images import check_destination, from_model, open_image, picture, save_image, to_model
from sige_mlx.errors import SigeError
from tests.privileges import as_an_owner


def gradient(h: int = 4, w: int = 6) -> np.ndarray:
    return np.arange(h * w * 3, dtype=np.uint8).reshape(h, w, 3)


def test_every_grey_level_survives_the_network_range() -> None:
    levels = np.repeat(np.arange(256, dtype=np.uint8)[:, None, None], 3, axis=2)
    x = to_model(levels)
    assert x.shape == (1, 256, 1, 3)
    assert (float(x.min()), float(x.max())) == (-1, 1)
    assert np.array_equal(from_model(x), levels)


def test_what_is_beyond_the_range_is_clipped() -> None:
    x = to_model(gradient()) * 0 + 3
    assert (from_model(x) == 255).all()
    assert (from_model(-x) == 0).all()


def test_transparency_is_laid_over_white() -> None:
    layer = np.dstack([gradient(), np.zeros((4, 6), np.uint8)])
    layer[0, 0, 3] = 255
    pixels = picture(Image.fromarray(layer, "RGBA"), (4, 6))
    assert np.array_equal(pixels[0, 0], gradient()[0, 0])
    assert (pixels[1:] == 255).all()


def test_sixteen_bit_grey_is_scaled() -> None:
    pixels = picture(Image.fromarray(np.array([[0, 257 * 100, 65535]], np.uint16)), (1, 3))
    assert pixels.tolist() == [[[0] * 3, [100] * 3, [255] * 3]]


@pytest.mark.parametrize("mode", ["1", "L", "P", "CMYK", "LA", "YCbCr"])
def test_any_mode_is_a_picture(mode: str) -> None:
    assert picture(Image.fromarray(gradient()).convert("L").convert(mode), (4, 6)).shape == (4, 6, 3)


@pytest.mark.parametrize(
    "array", [gradient()[..., :2], gradient()[..., 0], gradient().astype(np.float32), np.zeros((0, 0, 3), np.uint8)]
)
def test_arrays_that_are_no_picture(array: np.ndarray) -> None:
    with pytest.raises(SigeError, match="the image is"):
        picture(array, (4, 6))


def test_exif_orientation_is_obeyed(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter
    Image.fromarray(gradient()).save(tmp_path / "turned.png", exif=exif)
    assert open_image(tmp_path / "turned.png").size == (4, 6)


def test_files_that_are_no_pictures(tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("not a picture")
    whole = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3)).astype(np.uint8)).save(whole, "png")
    (tmp_path / "half.png").write_bytes(whole.getvalue()[:2000])
    (tmp_path / "empty.png").touch()
    for name, sentence in {
        "missing.png": "there is no such file",
        "text.png": "is not a picture that Pillow can read",
        "empty.png": "is not a picture that Pillow can read",
        "half.png": "cannot be read as a picture",
        ".": "is a folder",
    }.items():
        with pytest.raises(SigeError, match=sentence):
            open_image(tmp_path / name)


@pytest.mark.parametrize("name", ["out.png", "out.PNG", "out.bmp", "out.tiff"])
def test_saved_pictures_come_back(tmp_path: Path, name: str) -> None:
    save_image(Image.fromarray(gradient()), tmp_path / name)
    assert np.array_equal(np.asarray(open_image(tmp_path / name)), gradient())
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("failure", [OSError("disk full"), KeyboardInterrupt()])
def test_a_failed_save_leaves_the_old_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: BaseException
) -> None:
    (tmp_path / "out.png").write_bytes(b"old")

    def save(self: Image.Image, file: io.BufferedWriter, format: str) -> None:
        file.write(b"half of it")
        raise failure

    monkeypatch.setattr(Image.Image, "save", save)
    with pytest.raises((SigeError, KeyboardInterrupt)):
        save_image(Image.fromarray(gradient()), tmp_path / "out.png")
    assert (tmp_path / "out.png").read_bytes() == b"old"
    assert len(list(tmp_path.iterdir())) == 1


def test_destinations_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "folder.png").mkdir()
    for name, sentence in {
        "out.xyz": "names no picture format",
        "out": "names no picture format",
        "out.psd": "names no picture format to write",  # Pillow reads it only
        "folder.png": "is a folder",
        "missing/out.png": "there is no folder",
    }.items():
        with pytest.raises(SigeError, match=sentence):
            check_destination(tmp_path / name)
    (tmp_path / "closed").mkdir(0o500)
    with pytest.raises(SigeError, match="is read-only"):
        as_an_owner(lambda: check_destination(tmp_path / "closed" / "out.png"))


def test_a_folder_that_refuses_after_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "open", lambda *_: (_ for _ in ()).throw(PermissionError(13, "Permission denied")))
    with pytest.raises(SigeError, match=r"cannot be written: .*Permission denied"):
        save_image(Image.fromarray(gradient()), tmp_path / "out.png")
