"""What a network sees of a picture, and what of it a result keeps."""

from __future__ import annotations

from pathlib import Path

import mlx.core as mx
import numpy as np
import pytest
from PIL import Image

from sige_mlx.editing.colour import DEEP, Profile
from sige_mlx.editing.images import Source, from_model, to_model
from sige_mlx.errors import SigeError
from tests.files import chunk, display_p3, write_png16

SIZE = (8, 12)
PIXELS = np.random.default_rng(0).integers(0, 256, (*SIZE, 3)).astype(np.uint8)
MASK = np.zeros(SIZE, np.bool_)
MASK[2:5, 3:9] = True
RESULT = np.random.default_rng(1).integers(40, 200, (*SIZE, 3)).astype(np.uint8)


def test_every_grey_level_survives_the_network_range() -> None:
    levels = np.repeat(np.arange(256, dtype=np.uint8)[:, None, None], 3, axis=2)
    x = to_model(levels)
    assert x.shape == (1, 256, 1, 3)
    assert (float(x.min()), float(x.max())) == (-1, 1)
    assert np.array_equal(from_model(x), levels)


def test_what_is_beyond_the_range_is_clipped() -> None:
    x = to_model(PIXELS) * 0 + 3
    assert (from_model(x) == 255).all()
    assert (from_model(-x) == 0).all()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_no_number_is_no_picture(value: float) -> None:
    x = np.zeros((1, *SIZE, 3), np.float32)
    x[0, 1, 1, 1] = value
    with pytest.raises(SigeError, match="holds values that are not finite: its weights are damaged"):
        from_model(mx.array(x))


def test_what_was_recorded_cannot_be_written_to() -> None:
    with pytest.raises(ValueError, match="read-only"):
        Source.of(PIXELS.copy(), SIZE).pixels[:] = 0


def test_arrays_are_copied() -> None:
    mine = np.asfortranarray(PIXELS)
    source = Source.of(mine, SIZE)
    mine[:] = 0
    assert np.array_equal(source.pixels, PIXELS) and source.pixels.flags.c_contiguous


@pytest.mark.parametrize(
    "array", [PIXELS[..., :2], PIXELS[..., 0], PIXELS.astype(np.float32), PIXELS.astype(np.int64), PIXELS > 9]
)
def test_arrays_that_are_no_picture(array: np.ndarray) -> None:
    with pytest.raises(SigeError, match=r"^the image is an array .*: it must be \(H, W, 3\) of uint8$"):
        Source.of(array, SIZE)


def test_another_size() -> None:
    with pytest.raises(SigeError, match=r"^the image is 12×8 pixels \(width × height\): this model takes 8×8; resize"):
        Source.of(PIXELS, (8, 8))
    with pytest.raises(SigeError, match=r"^the image is 12×8 pixels"):
        Source.of(Source.of(PIXELS, SIZE), (8, 8))


def test_a_result_is_the_original_wherever_it_was_not_edited() -> None:
    changed = Source.of(PIXELS, SIZE).changed(RESULT, MASK)
    assert np.array_equal(changed.pixels, np.where(MASK[..., None], RESULT, PIXELS))
    assert np.array_equal(np.asarray(changed.image), changed.pixels)


# ---- colour profiles


def p3() -> Image.Image:
    image = Image.fromarray(PIXELS)
    image.info["icc_profile"] = display_p3()
    return image


def test_a_result_has_the_originals_profile() -> None:
    """Unedited pixels are those of the file, bit for bit; edited ones have the same colours as in sRGB."""
    source = Source.of(p3(), SIZE)
    assert np.abs(source.pixels.astype(int) - PIXELS).max() > 10  # they are converted for the network
    image = source.changed(RESULT, MASK).image
    assert image.info["icc_profile"] == display_p3()
    written = np.asarray(image)
    assert np.array_equal(written[~MASK], PIXELS[~MASK])
    managed = Profile(display_p3()).to_srgb(written)
    assert np.abs(managed[MASK].astype(int) - RESULT[MASK]).mean() < 0.6  # 8 bits of a wider space
    assert np.array_equal(managed[MASK], source.changed(RESULT, MASK).pixels[MASK])


def test_a_copy_that_lost_its_profile_is_read_in_the_originals() -> None:
    """Programs that know no profiles write the same numbers without one."""
    source = Source.of(p3(), SIZE)
    painted = np.where(MASK[..., None], np.uint8(0), PIXELS)
    copy = Source.of(painted, SIZE, "b.png", source)
    assert copy.notes == ("b.png has no colour profile, but the same numbers: it is read as the original is",)
    assert np.array_equal(copy.pixels[~MASK], source.pixels[~MASK])


def test_a_copy_that_was_given_another_profile_is_read_in_the_originals() -> None:
    """Programs that know the screen's profile alone give it to whatever they save."""
    source = Source.of(PIXELS, SIZE)
    copy = Source.of(p3(), SIZE, "b.png", source)
    assert "b.png has another colour profile than the original, but the same numbers" in copy.notes[0]
    assert np.array_equal(copy.pixels, source.pixels)


def test_a_copy_that_was_converted_to_another_profile_is_converted_back() -> None:
    source = Source.of(PIXELS // 2 + 64, SIZE)
    converted = Image.fromarray(Profile(display_p3()).from_srgb(source.pixels))
    converted.info["icc_profile"] = display_p3()
    copy = Source.of(converted, SIZE, "b.png", source)
    assert not copy.notes and np.abs(copy.pixels.astype(int) - source.pixels).max() <= 2


def test_a_copy_that_was_converted_to_srgb_is_read_so() -> None:
    source = Source.of(p3(), SIZE)
    painted = np.where(MASK[..., None], np.uint8(0), source.pixels)
    copy = Source.of(painted, SIZE, "b.png", source)
    assert not copy.notes and np.array_equal(copy.pixels, painted)


# ---- transparency


def transparent() -> tuple[Image.Image, np.ndarray]:
    alpha = np.full(SIZE, 255, np.uint8)
    alpha[:4, :6] = 0
    alpha[4:, :6] = 120
    return Image.fromarray(np.dstack([PIXELS, alpha])), alpha


def test_a_result_has_the_originals_transparency() -> None:
    image, alpha = transparent()
    source = Source.of(image, SIZE)
    written = np.asarray(source.changed(RESULT, MASK, source).image)
    assert np.array_equal(written[..., 3], alpha)
    assert np.array_equal(written[~MASK], np.asarray(image)[~MASK])
    opaque = MASK & (alpha == 255)
    assert np.array_equal(written[opaque][:, :3], RESULT[opaque])


def test_what_was_painted_over_is_opaque() -> None:
    image, alpha = transparent()
    source = Source.of(image, SIZE)
    flat = source.pixels.copy()
    flat[3, 3:5] = (1, 2, 3)
    written = np.asarray(source.changed(RESULT, MASK, Source.of(flat, SIZE)).image)
    assert (written[3, 3:5, 3] == 255).all()
    elsewhere = np.ones(SIZE, np.bool_)
    elsewhere[3, 3:5] = False
    assert np.array_equal(written[..., 3][elsewhere], alpha[elsewhere])


def test_the_paintings_own_transparency_is_kept_where_it_was_edited() -> None:
    image, _ = transparent()
    theirs = np.asarray(image).copy()
    theirs[..., 3] = 200
    written = np.asarray(Source.of(image, SIZE).changed(RESULT, MASK, Source.of(Image.fromarray(theirs), SIZE)).image)
    assert (written[..., 3][MASK] == 200).all()


def test_half_transparent_results_look_as_rendered_on_white() -> None:
    image, _ = transparent()
    source = Source.of(image, SIZE)
    pale = np.full((*SIZE, 3), 230, np.uint8)
    changed = source.changed(pale, MASK, source)
    half = MASK & (np.asarray(image)[..., 3] == 120)
    assert half.any() and np.abs(changed.pixels[half].astype(int) - 230).max() <= 1


# ---- metadata


def exif() -> Image.Exif:
    data = Image.Exif()
    data[0x010F], data[0x0112], data[0x8298] = "Maker", 6, "Somebody"
    data.get_ifd(0x8769)[0x9003] = "2026:01:01 00:00:00"
    return data


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.tiff", "a.webp"])
def test_exif_data_and_resolution_are_kept(tmp_path: Path, name: str) -> None:
    Image.fromarray(PIXELS.swapaxes(0, 1).copy()).save(tmp_path / name, exif=exif(), dpi=(300, 300))
    image = Source.of(tmp_path / name, SIZE).image
    kept = Image.Exif()
    kept.load(image.info["exif"])
    assert (kept[0x010F], kept[0x8298]) == ("Maker", "Somebody")
    assert 0x0112 not in kept  # it is upright now
    assert not set(kept) & {0x0100, 0x0101, 0x0102, 0x0103, 0x0111, 0x0116, 0x0117}  # how the other file is stored
    if name != "a.tiff":  # where Pillow does not write them
        assert kept.get_ifd(0x8769)[0x9003] == "2026:01:01 00:00:00"
    if name != "a.webp":
        assert image.info["dpi"] == pytest.approx((300, 300), rel=1e-3)


@pytest.mark.parametrize("chunks", [chunk(b"eXIf", b"MM\0*\0\0\xff\xff" + b"\xff" * 9), chunk(b"pHYs", b"\0" * 9)])
def test_metadata_that_make_no_sense_are_left_out(tmp_path: Path, chunks: bytes) -> None:
    write_png16(tmp_path / "a.png", PIXELS.astype(np.uint16) * 257, chunks)
    source = Source.of(tmp_path / "a.png", SIZE)
    assert np.array_equal(source.pixels, PIXELS) and not source.metadata
    assert source.notes[-1] == f"{tmp_path / 'a.png'} {DEEP}"
