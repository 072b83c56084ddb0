"""Picture files, as an edit, a mask and a label map are given them, and colour profiles."""

from __future__ import annotations

import io
from random import Random

import numpy as np
from PIL import Image

from sige_mlx.editing.colour import colours
from sige_mlx.editing.images import Source
from sige_mlx.editing.label_maps import read_instances, read_map
from sige_mlx.masks import user_mask
from tests.files import display_p3, grey_gamma
from tests.fuzz import mutate, scratch
from tests.fuzz.harness import Harness, one_sentence

SIDE = 8


def run_picture(data: bytes) -> None:
    path = scratch.file("a.png", data)
    with one_sentence():
        assert Source.of(path, (SIDE, SIDE), "the original").pixels.shape == (SIDE, SIDE, 3)


def run_mask(data: bytes) -> None:
    path = scratch.file("a.png", data)
    with one_sentence():
        mask = user_mask(path, (SIDE, SIDE))
        assert mask.shape == (SIDE, SIDE) and mask.dtype == np.bool_


def run_map(data: bytes) -> None:
    path = scratch.file("a.png", data)
    for read in (read_map, read_instances):
        with one_sentence():
            assert read(path, (SIDE, SIDE), "the map").shape == (SIDE, SIDE)


def run_profile(data: bytes) -> None:
    for mode in ("RGB", "L", "CMYK"):
        image = Image.new(mode, (2, 2), 100 if mode == "L" else (100, 20, 30, 40)[: len(mode)])
        image.info["icc_profile"] = data
        with one_sentence():
            assert colours(image, "it").srgb.shape == (2, 2, 3)


def of(mode: str) -> Image.Image:
    """A picture of a mode, with something in it."""
    ramp = np.arange(SIDE * SIDE * 4, dtype=np.uint8).reshape(SIDE, SIDE, 4)
    if mode in ("I;16", "F"):
        return Image.fromarray(ramp[..., 0].astype(np.uint16 if mode == "I;16" else np.float32))
    return Image.fromarray(ramp, "RGBA").convert("RGB").convert(mode)


_FILES: tuple[tuple[str, str, dict[str, object]], ...] = (
    *(("PNG", mode, {}) for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")),
    ("PNG", "RGB", {"icc_profile": display_p3(), "dpi": (72, 72)}),
    ("PNG", "L", {"transparency": 3}),
    ("JPEG", "RGB", {}),
    ("JPEG", "CMYK", {}),
    ("WEBP", "RGBA", {"lossless": True}),
    ("WEBP", "RGB", {}),
    ("TIFF", "RGB", {"compression": "tiff_lzw"}),
    ("TIFF", "F", {}),
    ("TIFF", "LAB", {}),
    *((kind, "RGB", {}) for kind in ("BMP", "DIB", "PPM", "TGA", "PCX", "SGI", "ICO", "ICNS", "DDS", "QOI")),
    ("JPEG2000", "RGB", {}),
    ("AVIF", "RGB", {}),
)


def files() -> list[bytes]:
    """A small one of every format and mode that this Pillow writes."""
    made = []
    exif = Image.Exif()
    exif[0x0112] = 6
    for kind, mode, options in _FILES:
        Image.init()
        if kind in Image.SAVE:
            out = io.BytesIO()
            try:
                of(mode).save(out, kind, **options)  # type: ignore[arg-type]
            except Exception:  # an option that this Pillow does not have
                continue
            made.append(out.getvalue())
    turned, moving = io.BytesIO(), io.BytesIO()
    of("RGB").save(turned, "JPEG", exif=exif)
    of("P").save(moving, "GIF", save_all=True, append_images=[of("P").rotate(90)])
    return [*made, turned.getvalue(), moving.getvalue()]


def mutated(rng: Random, data: bytes, others: list[bytes]) -> bytes:
    """Bytes of the file; the checksums of a PNG file are mostly made right again."""
    changed = mutate.raw(rng, data, others)
    if changed.startswith(b"\x89PNG") and rng.random() < 0.8:
        return mutate.repaired_png(changed)
    return changed


HARNESSES = {
    "pictures": Harness(run_picture, files, mutated),
    "masks": Harness(run_mask, files, mutated),
    "label_maps": Harness(run_map, files, mutated),
    "profiles": Harness(run_profile, lambda: [display_p3(), grey_gamma(2.2)], mutate.raw),
}
