"""Colours of pictures of every kind, in 8-bit sRGB and back: profiles, transparency, depth."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from sige_mlx.editing.colour import DEEP, Profile, colours, off_white, over_white
from sige_mlx.errors import SigeError
from sige_mlx.pictures import open_image
from tests.files import DISPLAY_P3, chunk, display_p3, grey_gamma, icc, srgb_curve, write_png16, xyz

RANDOM = np.random.default_rng(0).integers(0, 256, (16, 24, 3)).astype(np.uint8)
SRGB = ((0.4360747, 0.2225045, 0.0139322), (0.3850649, 0.7168786, 0.0971045), (0.1430804, 0.0606169, 0.7141733))
"""XYZ of its primaries, adapted to D50 (IEC 61966-2-1, by Bradford's matrix)."""


def off(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a.astype(float) - b).max())


def p3_in_srgb(pixels: np.ndarray) -> np.ndarray:
    """By the definition of the two spaces: decoded, to XYZ, to the other's primaries, encoded; 0 to 255."""
    v = pixels / 255
    linear = np.where(v <= 0.04045, v / 12.92, ((v + 0.055) / 1.055) ** 2.4)
    other = np.clip(linear @ np.array(DISPLAY_P3) @ np.linalg.inv(np.array(SRGB)), 0, 1)
    return 255 * np.where(other <= 0.0031308, 12.92 * other, 1.055 * other ** (1 / 2.4) - 0.055)


def tagged(image: Image.Image, profile: bytes) -> Image.Image:
    image.info["icc_profile"] = profile
    return image


# ---- profiles


def test_display_p3_is_converted_by_its_definition() -> None:
    read = colours(tagged(Image.fromarray(RANDOM), display_p3()), "it")
    assert np.array_equal(read.rgb, RANDOM) and not read.notes
    assert off(read.srgb, p3_in_srgb(RANDOM)) <= 1
    assert off(read.srgb, RANDOM) > 20


def test_there_and_back() -> None:
    """A level of 255 in the wider space, as near as 8 bits are."""
    profile = Profile(display_p3())
    there = profile.from_srgb(RANDOM)
    assert off(profile.from_srgb(profile.to_srgb(there)), there) <= 1
    assert off(p3_in_srgb(there), RANDOM) < 10 and np.abs(p3_in_srgb(there) - RANDOM).mean() < 0.5


def test_srgb_is_not_converted() -> None:
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    primaries = {name + b"XYZ": xyz(*values) for name, values in zip((b"r", b"g", b"b"), SRGB, strict=True)}
    own = icc(b"RGB ", primaries | {name + b"TRC": srgb_curve() for name in (b"r", b"g", b"b")})
    for data in (srgb, own):
        read = colours(tagged(Image.fromarray(RANDOM), data), "it")
        assert read.profile and read.profile.is_srgb and np.array_equal(read.srgb, RANDOM)


def test_a_grey_picture_in_a_colour_profile_keeps_it() -> None:
    read = colours(tagged(Image.fromarray(RANDOM[..., 0]), display_p3()), "it")
    assert read.profile and np.array_equal(read.rgb, RANDOM[..., :1].repeat(3, 2))
    assert off(read.srgb, read.rgb) <= 1  # greys are the same in both


def test_a_profile_of_grey_pictures() -> None:
    read = colours(tagged(Image.fromarray(RANDOM[..., 0]), grey_gamma(1.0)), "it")
    expected = 255 * (1.055 * (RANDOM[..., :1] / 255.0) ** (1 / 2.4) - 0.055)
    assert np.abs(read.srgb - expected)[RANDOM[..., 0] > 10].max() <= 2
    assert read.profile is None
    assert read.notes == ("it has a colour profile that the result cannot have: the result is in sRGB",)


@pytest.mark.parametrize(
    ("mode", "profile", "why"),
    [
        ("RGB", b"", ""),
        ("RGB", b"no profile at all", "cannot open profile"),
        ("RGB", display_p3()[:200], "cannot open profile"),
        ("RGB", display_p3()[:300] + b"\xff" * 200, "cannot"),
        ("RGB", grey_gamma(2.2), "it is one of grey pictures, and this is a colour one"),
        ("CMYK", display_p3(), "it is one of colour pictures, and this is a CMYK one"),
    ],
)
def test_profiles_that_cannot_be_used_are_left_out(mode: str, profile: bytes, why: str) -> None:
    image = Image.fromarray(RANDOM).convert(mode)
    read = colours(tagged(image, profile), "it")
    assert np.array_equal(read.srgb, np.asarray(image.convert("RGB"))) and read.profile is None
    if why:
        assert len(read.notes) == 1 and read.notes[0].startswith("it has a colour profile that cannot be used (")
        assert why in read.notes[0]


def test_bytes_at_random_are_no_profile_and_do_no_harm() -> None:
    whole = bytearray(display_p3())
    rng = np.random.default_rng(0)
    for _ in range(60):
        broken = bytearray(whole)
        for at in rng.integers(128, len(whole), 6):
            broken[at] = rng.integers(0, 256)
        assert colours(tagged(Image.fromarray(RANDOM), bytes(broken)), "it").srgb.shape == RANDOM.shape


def test_lab_and_cmyk(tmp_path: Path) -> None:
    to_lab = ImageCms.buildTransform(ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB")
    muted = (RANDOM // 2 + 64).astype(np.uint8)
    lab = ImageCms.applyTransform(Image.fromarray(muted), to_lab)
    assert lab is not None
    lab.info.clear()
    lab.save(tmp_path / "lab.tiff")
    read = colours(open_image(tmp_path / "lab.tiff"), "it")
    assert np.abs(read.srgb.astype(int) - muted).mean() < 2
    assert read.notes == ("it is in Lab colours: the result is in sRGB",)
    cmyk = colours(Image.fromarray(RANDOM).convert("CMYK"), "it")
    assert np.array_equal(cmyk.srgb, RANDOM)
    assert cmyk.notes == ("it is CMYK without a colour profile: its colours are a guess, and the result is in sRGB",)


@pytest.mark.parametrize("mode", ["1", "L", "P", "LA", "YCbCr", "RGBX", "HSV", "PA", "RGBa"])
def test_any_mode_has_colours(mode: str) -> None:
    grey = Image.fromarray(RANDOM).convert("L")
    image = grey.convert("LA").convert(mode) if mode == "PA" else grey.convert("RGBA").convert(mode)
    assert np.abs(colours(image, "it").srgb.astype(int) - np.asarray(image.convert("RGBA"))[..., :3]).max() <= 2


def test_premultiplied_grey() -> None:
    grey = Image.fromarray(RANDOM[..., 0])
    assert np.array_equal(colours(grey.convert("LA").convert("La"), "it").srgb[..., 0], RANDOM[..., 0])


# ---- transparency


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparency_is_laid_over_white_and_kept(mode: str) -> None:
    alpha = np.full(RANDOM.shape[:2], 255, np.uint8)
    alpha[:4], alpha[4:8] = 0, 100
    grey = Image.fromarray(RANDOM[..., 0])
    read = colours(Image.merge("LA", [grey, Image.fromarray(alpha)]).convert(mode), "it")
    assert read.alpha is not None and np.array_equal(read.alpha, alpha)
    assert (read.srgb[:4] == 255).all() and np.array_equal(read.srgb[8:], read.rgb[8:])
    assert off(read.srgb, (read.rgb * (alpha / 255.0)[..., None]) + 255 * (1 - alpha / 255.0)[..., None]) <= 0.51


def test_opaque_pictures_have_no_transparency() -> None:
    assert colours(Image.fromarray(RANDOM).convert("RGBA"), "it").alpha is None


def test_off_white_is_the_inverse_of_over_white() -> None:
    alpha = np.random.default_rng(1).integers(1, 256, RANDOM.shape[:2]).astype(np.uint8)
    seen = over_white(RANDOM, alpha)
    assert off(over_white(off_white(seen, alpha), alpha), seen) <= 1
    assert np.array_equal(off_white(RANDOM, np.full_like(alpha, 255)), RANDOM)


# ---- depth


def test_sixteen_bit_grey_is_scaled(tmp_path: Path) -> None:
    write_png16(tmp_path / "a.png", np.array([[[0], [257 * 100], [65535]]]))
    read = colours(open_image(tmp_path / "a.png"), "it")
    assert read.srgb.tolist() == [[[0] * 3, [100] * 3, [255] * 3]]
    assert read.notes == (f"it {DEEP}",)


def test_sixteen_bit_grey_with_a_transparent_value(tmp_path: Path) -> None:
    write_png16(tmp_path / "a.png", np.array([[[0], [25700], [65535]]]), chunk(b"tRNS", b"\0\0"))
    read = colours(open_image(tmp_path / "a.png"), "it")
    assert read.alpha is not None and read.alpha.tolist() == [[0, 255, 255]]
    assert read.srgb[0, :, 0].tolist() == [255, 100, 255] and read.rgb[0, :, 0].tolist() == [0, 100, 255]


@pytest.mark.parametrize("top", [1.0, 255.0])
def test_floats_in_the_two_usual_ranges(tmp_path: Path, top: float) -> None:
    Image.fromarray(np.linspace(0, top, 6, dtype=np.float32)[None]).save(tmp_path / "a.tiff")
    read = colours(open_image(tmp_path / "a.tiff"), "it")
    assert read.srgb[0, :, 0].tolist() == [0, 51, 102, 153, 204, 255]
    assert read.notes == (f"it holds floats: {top:g} is taken as white, and 8 bits are kept",)


@pytest.mark.parametrize("values", [[0, 1.5], [0, 300], [0, 65535], [-0.1, 0.5], [0, np.nan], [0, np.inf]])
def test_floats_of_which_nobody_can_tell_what_is_white(values: list[float]) -> None:
    with pytest.raises(SigeError, match=r"^it holds .*would be right"):
        colours(Image.fromarray(np.array([values], np.float32)), "it")


@pytest.mark.parametrize(("top", "white"), [(255, 255), (65535, 65535)])
def test_whole_numbers_of_32_bits(tmp_path: Path, top: int, white: int) -> None:
    Image.fromarray(np.array([[0, top // 5, top]], np.int32)).save(tmp_path / "a.tiff")
    assert colours(open_image(tmp_path / "a.tiff"), "it").srgb[0, :, 0].tolist() == [0, 51, 255]


def test_numbers_beyond_16_bits() -> None:
    with pytest.raises(SigeError, match=r"^it holds numbers to 70000: a picture of 8 or 16 bits would be right$"):
        colours(Image.fromarray(np.array([[70000]], np.int32)), "it")


def test_a_sixteen_bit_picture_that_is_nearly_black_is_told(tmp_path: Path) -> None:
    write_png16(tmp_path / "a.png", np.array([[[0], [200]]]))
    assert "nothing above 200 of 65535" in colours(open_image(tmp_path / "a.png"), "it").notes[0]


def test_a_profile_written_by_hand_is_one_that_others_read() -> None:
    assert ImageCms.getProfileDescription(ImageCms.ImageCmsProfile(io.BytesIO(display_p3()))).strip() == (
        "A profile of a test"
    )
