"""Where results go: what a file can hold, and files that are written whole or not at all."""

from __future__ import annotations

import errno
import io
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sige_mlx.editing.destination import (
    FORMATS,
    check_apart,
    check_file,
    check_picture,
    losses,
    own_or_new,
    save_image,
    save_text,
    signed,
)
from sige_mlx.errors import SigeError
from sige_mlx.pictures import open_image
from tests.editing.test_colour import off, p3_in_srgb
from tests.files import display_p3
from tests.privileges import as_an_owner

PIXELS = np.random.default_rng(0).integers(0, 256, (12, 16, 3)).astype(np.uint8)
EXACT = [suffix for suffix, image_format in FORMATS.items() if not image_format.lossy]


def picture() -> Image.Image:
    return Image.fromarray(PIXELS)


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


# ---- what comes back


@pytest.mark.parametrize("suffix", [*EXACT, ".PNG"])
def test_formats_without_loss_give_back_what_was_written(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"out{suffix}"
    save_image(picture(), path)
    assert np.array_equal(np.asarray(open_image(path)), PIXELS)
    assert names(tmp_path) == {path.name} and losses(picture(), path) == []


@pytest.mark.parametrize("suffix", [".jpg", ".avif"])
def test_formats_with_loss_say_so_and_are_written_well(tmp_path: Path, suffix: str) -> None:
    smooth = np.indices((64, 64)).sum(0)[..., None] * np.array([1, 1, 0]) + np.array([0, 60, 200])
    smooth[20:30, 20:30] = (200, 30, 30)
    path = tmp_path / f"out{suffix}"
    save_image(Image.fromarray(smooth.astype(np.uint8)), path)
    assert off(np.asarray(open_image(path)), smooth) < 40 and np.abs(open_image(path) - smooth).mean() < 2
    assert f"{path} is " in losses(picture(), path)[0]
    assert "changes all pixels a little; .png, .tiff or .webp would not" in losses(picture(), path)[0]


@pytest.mark.parametrize("suffix", FORMATS)
def test_transparency_is_kept_or_laid_on_white(tmp_path: Path, suffix: str) -> None:
    image = Image.fromarray(np.dstack([PIXELS, np.where(PIXELS[..., 0] > 99, 255, 40).astype(np.uint8)]))
    path = tmp_path / f"out{suffix}"
    save_image(image, path)
    told = any("no room for transparency" in sentence for sentence in losses(image, path))
    assert told != FORMATS[suffix].alpha
    found = open_image(path)
    if suffix in EXACT:
        white = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
        expected = image if FORMATS[suffix].alpha else white
        assert np.abs(np.asarray(found).astype(int) - np.asarray(expected)).max() <= (0 if FORMATS[suffix].alpha else 1)


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_colour_profile_is_kept_or_its_colours_are_converted(tmp_path: Path, suffix: str) -> None:
    image = picture()
    image.info["icc_profile"] = display_p3()
    path = tmp_path / f"out{suffix}"
    save_image(image, path)
    found = open_image(path)
    told = any("no room for a colour profile" in sentence for sentence in losses(image, path))
    if "icc_profile" in FORMATS[suffix].keeps:
        assert found.info["icc_profile"] == display_p3() and not told
    else:
        assert off(np.asarray(found), p3_in_srgb(PIXELS)) <= 1 and told


@pytest.mark.parametrize("suffix", FORMATS)
def test_exif_data_and_resolution_are_kept(tmp_path: Path, suffix: str) -> None:
    exif = Image.Exif()
    exif[0x010F] = "Maker"
    image = picture()
    image.info.update(exif=exif.tobytes(), dpi=(300.0, 300.0))
    path = tmp_path / f"out{suffix}"
    save_image(image, path)
    found = Image.open(path)
    assert found.size == image.size
    if "exif" in FORMATS[suffix].keeps:
        assert found.getexif()[0x010F] == "Maker"
    if "dpi" in FORMATS[suffix].keeps:
        assert found.info["dpi"] == pytest.approx((300, 300), rel=1e-2)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "F", "CMYK", "I;16"])
@pytest.mark.parametrize("suffix", FORMATS)
def test_other_images_are_written_or_refused_in_a_sentence(tmp_path: Path, mode: str, suffix: str) -> None:
    image = picture().convert("L").convert(mode) if mode != "CMYK" else picture().convert(mode)
    image.info["icc_profile"] = display_p3()
    try:
        save_image(image, tmp_path / f"out{suffix}")
    except SigeError as error:
        assert f"out{suffix} cannot be written: " in str(error)
        assert names(tmp_path) == set()
    else:
        assert open_image(tmp_path / f"out{suffix}").size == image.size


# ---- what is known before


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        (
            "out.xyz",
            r"the extension '\.xyz' names no picture format that holds a result; \.png, \.tiff or",
        ),
        ("out", "the extension '' names no picture format"),
        ("out.psd", "names no picture format"),  # Pillow reads it only
        ("out.pgm", "names no picture format"),  # grey
        ("out.pbm", "names no picture format"),
        ("out.gif", "names no picture format"),  # 256 colours
        ("out.ico", "names no picture format"),  # of its own sizes
        ("out.pdf", "names no picture format"),
        ("out.h5", "names no picture format"),  # Pillow has a place for a writer, and none
        ("out.wmf", "names no picture format"),
        ("out.xbm", "names no picture format"),
        ("folder.png", "is a folder"),
        ("missing/out.png", "there is no folder"),
        ("file.png/out.png", "cannot be written"),
        ("loop.png", "cannot be written"),
        ("pipe.png", "is no file, which is written whole"),
        ("n" * 252 + ".png", "File name too long"),
        ("a\0b.png", "cannot be written"),
        ("/proc/out.png", "cannot be written"),
    ],
)
def test_destinations_that_cannot_be(tmp_path: Path, name: str, sentence: str) -> None:
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "file.png").touch()
    (tmp_path / "loop.png").symlink_to("loop.png")
    os.mkfifo(tmp_path / "pipe.png")
    before = names(tmp_path)
    if name.startswith("/proc") and not Path("/proc").is_dir():
        pytest.skip("a machine without /proc")
    for decide in (check_picture, lambda path: save_image(picture(), path)):
        with pytest.raises(SigeError, match=sentence):
            decide(tmp_path / name)
    assert names(tmp_path) == before


def test_the_longest_name_there_is(tmp_path: Path) -> None:
    path = tmp_path / ("n" * 251 + ".png")
    check_picture(path)
    save_image(picture(), path)
    assert names(tmp_path) == {path.name}


def test_checking_leaves_nothing_and_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / "out.png").write_bytes(b"old")
    check_picture(tmp_path / "out.png")
    check_picture(tmp_path / "new.png")
    assert names(tmp_path) == {"out.png"} and (tmp_path / "out.png").read_bytes() == b"old"


def test_read_only_folders_and_files(tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(0o500)
    with pytest.raises(SigeError, match=r"the folder .* is read-only"):
        as_an_owner(lambda: check_picture(tmp_path / "closed" / "new.png"))
    (tmp_path / "out.png").touch(0o400)
    with pytest.raises(SigeError, match=r"out\.png cannot be written: it is read-only"):
        as_an_owner(lambda: check_picture(tmp_path / "out.png"))


def test_a_folder_that_refuses_after_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A read-only file system, or a quota: only trying tells."""
    monkeypatch.setattr(os, "open", lambda *_: (_ for _ in ()).throw(OSError(errno.EROFS, "Read-only file system")))
    with pytest.raises(SigeError, match=r"cannot be written: Read-only file system$"):
        check_picture(tmp_path / "out.png")


def test_inputs_by_whatever_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_image(picture(), tmp_path / "a.png")
    (tmp_path / "link.png").symlink_to("a.png")
    os.link(tmp_path / "a.png", tmp_path / "hard.png")
    monkeypatch.chdir(tmp_path)
    for name in ("a.png", "./a.png", "link.png", "hard.png", str(tmp_path / "a.png")):
        with pytest.raises(SigeError, match="is what the result is made from: give it another name"):
            check_picture(name, [Path("missing.png"), tmp_path / "a.png"])
    check_picture("b.png", [tmp_path / "a.png"])


def test_two_results_are_two_files(tmp_path: Path) -> None:
    (tmp_path / "link.png").symlink_to("a.png")
    for other in ("a.png", "A.PNG", "link.png", "./a.png"):
        with pytest.raises(SigeError, match=r"^--out and --report are both .*a\.png: they must be two files$"):
            check_apart(tmp_path / "a.png", tmp_path / other, "--out and --report")
    check_apart(tmp_path / "a.png", tmp_path / "b.png", "--out and --report")


# ---- whole or not at all


@pytest.mark.parametrize("failure", [OSError("disk full"), ValueError("no room"), KeyboardInterrupt()])
def test_a_failed_save_leaves_the_old_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: BaseException
) -> None:
    (tmp_path / "out.png").write_bytes(b"old")

    def save(self: Image.Image, file: io.BufferedWriter, **_: object) -> None:
        file.write(b"half of it")
        raise failure

    monkeypatch.setattr(Image.Image, "save", save)
    with pytest.raises((SigeError, KeyboardInterrupt)):
        save_image(picture(), tmp_path / "out.png")
    assert (tmp_path / "out.png").read_bytes() == b"old"
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("exists", [True, False])
def test_a_link_is_written_through(tmp_path: Path, exists: bool) -> None:
    (tmp_path / "elsewhere").mkdir()
    target, link = tmp_path / "elsewhere" / "real.png", tmp_path / "link.png"
    if exists:
        target.write_bytes(b"old")
    link.symlink_to(target)
    save_image(picture(), link)
    assert link.is_symlink() and np.array_equal(np.asarray(Image.open(target)), PIXELS)
    assert names(tmp_path) == {"elsewhere", "link.png"} and names(target.parent) == {"real.png"}


def test_a_file_keeps_its_permissions(tmp_path: Path) -> None:
    path = tmp_path / "out.png"
    path.touch(mode=0o640)
    path.chmod(0o640)
    save_image(picture(), path)
    assert path.stat().st_mode & 0o777 == 0o640


def test_texts(tmp_path: Path) -> None:
    save_text("α → β", tmp_path / "graph.txt")
    assert (tmp_path / "graph.txt").read_text("utf-8") == "α → β" and names(tmp_path) == {"graph.txt"}
    check_file(tmp_path / "graph.txt")
    with pytest.raises(SigeError, match="is a folder"):
        save_text("", tmp_path)


# ---- names that are free


def test_a_file_that_the_demo_did_not_make_is_not_its_own(tmp_path: Path) -> None:
    wanted = tmp_path / "demo.png"
    assert own_or_new(wanted) == wanted
    save_image(picture(), wanted)
    assert own_or_new(wanted) == tmp_path / "demo-2.png"
    (tmp_path / "demo-2.png").write_text("no picture")
    (tmp_path / "demo-3.png").symlink_to("nowhere")
    assert own_or_new(wanted) == tmp_path / "demo-4.png"
    save_image(signed(picture()), wanted)
    assert own_or_new(wanted) == wanted
