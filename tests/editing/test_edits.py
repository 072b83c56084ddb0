"""What an edit of a picture is: where it is, and what is said where it is everywhere."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sige_mlx import zoo
from sige_mlx.editing.colour import Profile
from sige_mlx.editing.edits import Painted, PictureReader
from sige_mlx.errors import SigeError
from sige_mlx.models.ddpm import DDPMConfig
from sige_mlx.pictures import ImageLike, open_image
from tests.files import display_p3
from tests.tiny import SIZE, original, painted, policy_of

DEMO = zoo.ASSETS / "demo"
CONFIG = DDPMConfig()


def read(before: ImageLike, after: ImageLike, mask: ImageLike | None = None, eps: float | None = None) -> Painted:
    size = (128, 128) if isinstance(before, Path) else (SIZE, SIZE)
    reader = PictureReader(policy_of(CONFIG), size, eps)
    return reader.read(reader.original(before), after, mask)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"eps": float("nan")}, "^eps is nan: it must be from 0 to 2$"),
        ({"eps": -0.1}, r"^eps is -0\.1: "),
        ({"eps": 3}, "^eps is 3: "),
        ({"eps": "0.1"}, r"^eps is '0\.1': it must be a number, from 0 to 2$"),
        ({"eps": True}, "^eps is True"),
        ({"dilation": -1}, "^the dilation is -1: it must be 0 or more$"),
        ({"dilation": 1.5}, r"^the dilation is 1\.5: it must be a whole number, 0 or more$"),
    ],
)
def test_numbers_out_of_range(options: dict[str, object], sentence: str) -> None:
    with pytest.raises(SigeError, match=sentence):
        PictureReader(policy_of(CONFIG), (8, 8), **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("levels", [0, 1, 20, 255])
def test_a_tolerance_in_levels_is_that_many(levels: int) -> None:
    """eps = levels / 127.5, whatever floats make of it: a pixel that differs by as many is unedited."""
    before = np.zeros((SIZE, SIZE, 3), np.uint8)
    after = before.copy()
    after[0, 0, 1], after[0, 1, 2] = levels, min(levels + 1, 255)
    reader = PictureReader(policy_of(CONFIG), (SIZE, SIZE), levels / 127.5, dilation=0)
    region = reader.read(reader.original(before), after, None).region
    assert not region[0, 0] and region[0, 1] == (levels < 255) and region.sum() <= 1


# ---- a painting that a format changed everywhere


@pytest.mark.parametrize(
    ("name", "options", "what"),
    [
        ("b.jpg", {}, "JPEG changes every pixel"),
        ("b.jpg", {"quality": 95}, "JPEG changes every pixel"),
        ("b.webp", {"quality": 80}, "lossy WebP changes every pixel"),
        ("b.avif", {}, "AVIF changes every pixel"),
        ("b.gif", {}, "such is noise, not paint"),
    ],
)
def test_a_lossy_copy_is_told_with_what_would_help(
    tmp_path: Path, name: str, options: dict[str, object], what: str
) -> None:
    open_image(DEMO / "painted.png").convert("RGB").save(tmp_path / name, **options)
    found = read(DEMO / "original.png", tmp_path / name)
    assert found.region.mean() > 0.8
    (note,) = found.notes
    assert note.startswith(f"{tmp_path / name} differs from the original in ") and what in note
    assert "so all of that is rendered: a mask of what was painted, or a " in note


def test_the_tolerance_that_is_offered_helps(tmp_path: Path) -> None:
    open_image(DEMO / "painted.png").convert("RGB").save(tmp_path / "b.jpg", quality=90)
    (note,) = read(DEMO / "original.png", tmp_path / "b.jpg").notes
    levels = int(note.split("a tolerance of ")[1].split()[0])
    found = read(DEMO / "original.png", tmp_path / "b.jpg", eps=levels / 127.5)
    assert found.region.mean() < 0.2 and not found.notes


def test_a_mask_needs_no_hint(tmp_path: Path) -> None:
    open_image(DEMO / "painted.png").convert("RGB").save(tmp_path / "b.jpg")
    mask = np.zeros((128, 128), np.bool_)
    mask[3, 4] = True
    assert not read(DEMO / "original.png", tmp_path / "b.jpg", mask).notes


def test_what_was_painted_is_no_noise() -> None:
    assert not read(DEMO / "original.png", DEMO / "painted.png").notes
    half = original()
    half[:, : SIZE // 2] = (200, 30, 30)
    assert not read(original(), half).notes


def test_another_picture_altogether_is_told() -> None:
    (note,) = read(original(), 255 - original()).notes
    assert "in 100% of its pixels, so all of that is rendered: if less was painted, a mask of it keeps the rest" in note


# ---- colours that sRGB has not


def test_an_edit_of_colours_beyond_srgb_is_found() -> None:
    before = np.zeros((SIZE, SIZE, 3), np.uint8)
    before[..., 1] = 250
    after = before.copy()
    after[3, 4, 1] = 240
    images = [Image.fromarray(pixels) for pixels in (before, after)]
    for image in images:
        image.info["icc_profile"] = display_p3()
    reader = PictureReader(policy_of(CONFIG), (SIZE, SIZE), dilation=0)
    first = reader.original(images[0])
    found = reader.read(first, images[1], None)
    assert np.argwhere(found.region).tolist() == [[3, 4]]


def test_a_copy_in_another_profile_is_edited_where_it_was_painted() -> None:
    """Numbers that two conversions rounded are no edit."""
    copy = Image.fromarray(Profile(display_p3()).from_srgb(painted()))
    copy.info["icc_profile"] = display_p3()
    reader = PictureReader(policy_of(CONFIG), (SIZE, SIZE), dilation=0)
    found = reader.read(reader.original(original()), copy, None)
    assert np.array_equal(found.region, (original() != painted()).any(-1)) and not found.notes


def test_notes_of_both_pictures_are_told(tmp_path: Path) -> None:
    frames = [Image.fromarray(original()), Image.fromarray(painted())]
    frames[0].save(tmp_path / "a.png", save_all=True, append_images=frames[1:])
    frames[1].convert("CMYK").save(tmp_path / "b.tiff")
    reader = PictureReader(policy_of(CONFIG), (SIZE, SIZE))
    notes = reader.read(reader.original(tmp_path / "a.png"), tmp_path / "b.tiff", None).notes
    assert ["frames" in note for note in notes] == [True, False] and "b.tiff is CMYK" in notes[1]
