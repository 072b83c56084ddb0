"""Files that `sige-mlx edit` is given and leaves: what is kept of them, and what is said of them."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.cli.conftest import Edit, names
from tests.files import chunk, display_p3, header
from tests.tiny import SIZE, original, painted


def test_the_picture_is_safe_when_the_report_cannot_be_written(
    edit: Edit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save = Image.Image.save

    def full(self: Image.Image, file: object, **options: object) -> None:
        if self.width > SIZE:
            raise OSError(28, "No space left on device")
        save(self, file, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(Image.Image, "save", full)
    said = edit(report=tmp_path / "r.png").sentence
    assert f"{tmp_path / 'c.png'} is written, but not the report: " in said and "No space left on device" in said
    assert names(tmp_path) == {"c.png", "pictures"}
    assert Image.open(tmp_path / "c.png").size == (SIZE, SIZE)


def test_what_a_user_should_know_is_a_note(edit: Edit, pictures: Path, tmp_path: Path) -> None:
    """On stderr, or in the JSON, after the results."""
    Image.fromarray(painted()).save(pictures / "b.jpg", quality=60)
    ended = edit(edited=pictures / "b.jpg", out=tmp_path / "c.jpg")
    assert ended.status == 0
    everywhere, lossy = ended.err.splitlines()
    assert everywhere.startswith(f"sige-mlx: note: {pictures / 'b.jpg'} differs from the original in ")
    assert lossy.startswith(f"sige-mlx: note: {tmp_path / 'c.jpg'} is JPEG, which changes all pixels a little")
    ended = edit(edited=pictures / "b.jpg", out=tmp_path / "c.jpg", json=True)
    assert ended.err == "" and len(ended.json["notes"]) == 2
    assert edit(json=True).json["notes"] == []


def test_a_tolerance_leaves_out_what_a_format_changed(edit: Edit, pictures: Path) -> None:
    Image.fromarray(painted()).save(pictures / "b.jpg", quality=90)
    everywhere = edit(edited=pictures / "b.jpg", json=True).json["edited"]
    assert edit(edited=pictures / "b.jpg", tolerance=40, json=True).json["edited"] < 0.15 < 0.5 < everywhere


@pytest.mark.parametrize(
    ("replaced", "why"),
    [
        ({"edited": "a.png"}, "the pictures do not differ. The result is the original."),
        ({"edited": "near.png"}, "no pixels differ by more than 1 of 255 levels. The result is the original."),
        ({"tolerance": 250}, "no pixels differ by more than 250 of 255 levels."),
        ({"mask": "black.png"}, "the mask is black. The result is the original."),
    ],
)
def test_why_nothing_was_edited(edit: Edit, pictures: Path, replaced: dict[str, object], why: str) -> None:
    Image.new("L", (SIZE, SIZE)).save(pictures / "black.png")
    Image.fromarray(original() + np.uint8(1)).save(pictures / "near.png")
    ended = edit(**{name: pictures / value if isinstance(value, str) else value for name, value in replaced.items()})
    assert f"Nothing was edited: {why}" in ended.out


def test_a_mask_that_is_none(edit: Edit, pictures: Path) -> None:
    Image.new("L", (SIZE, SIZE), 1).save(pictures / "m.png")
    said = edit(mask=pictures / "m.png").sentence
    assert f"{pictures / 'm.png'} is 1 everywhere, of 255, which would be white: it is neither black nor white" in said


def test_a_photograph_keeps_what_its_file_has(edit: Edit, pictures: Path, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x010F] = "Maker"
    for name, pixels in (("a", original()), ("b", painted())):
        Image.fromarray(pixels).save(pictures / f"{name}.png", icc_profile=display_p3(), exif=exif, dpi=(300, 300))
    mask = np.zeros((SIZE, SIZE), np.bool_)
    mask[7:15, 9:17] = True
    for suffix in (".png", ".tiff"):
        assert edit(out=tmp_path / f"c{suffix}").status == 0
        written = Image.open(tmp_path / f"c{suffix}")
        assert written.info["icc_profile"] == display_p3() and written.getexif()[0x010F] == "Maker"
        assert written.info["dpi"] == pytest.approx((300, 300), rel=1e-3)
        assert np.array_equal(np.asarray(written)[~mask], original()[~mask])
    ended = edit(out=tmp_path / "c.bmp")
    assert "c.bmp has no room for a colour profile: its colours are sRGB" in ended.err


def test_transparency_is_kept_or_missed(edit: Edit, pictures: Path, tmp_path: Path) -> None:
    alpha = np.full((SIZE, SIZE), 255, np.uint8)
    alpha[:, :5] = 0
    for name, pixels in (("a", original()), ("b", painted())):
        Image.fromarray(np.dstack([pixels, alpha])).save(pictures / f"{name}.png")
    assert edit().err == ""
    assert np.array_equal(np.asarray(Image.open(tmp_path / "c.png"))[..., 3], alpha)
    assert "c.jpg has no room for transparency: the picture is laid on white" in edit(out=tmp_path / "c.jpg").err


def test_a_huge_picture_is_refused_before_it_is_decoded(edit: Edit, pictures: Path) -> None:
    (pictures / "huge.png").write_bytes(header(13000, 13000) + chunk(b"IDAT", b"") + chunk(b"IEND", b""))
    told = {"original": "that is too large to edit", "edited": "the original is 32×32", "mask": "its picture is 32×32"}
    for option, words in told.items():
        said = edit(**{option: pictures / "huge.png"}).sentence
        assert "huge.png is 13000×13000 pixels (width × height): " in said and words in said
