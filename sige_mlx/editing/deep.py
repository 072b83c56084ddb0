"""Pictures of 16 bits a channel in files, of which Pillow has no images and writes none."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from typing import IO, Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from PIL.TiffImagePlugin import IFDRational, ImageFileDirectory_v2

LOW = "sige_mlx.low"
"""In the `info` of an image, the lower 8 bits of its channels, (H, W, C) uint8, of which it has the upper itself."""

_INCH = 0.0254
"""Metres."""
_PARTS_OF_EXIF = (0x8769, 0x8825)
"""Tags under which it has tags of its own: of the camera, and of the place."""


def deep(image: Image.Image) -> npt.NDArray[np.uint16] | None:
    """The channels (H, W, C) of an image whose lower bits are known; None for others."""
    low, high = image.info.get(LOW), np.asarray(image)
    if not isinstance(low, np.ndarray) or low.shape != high.shape:
        return None
    found: npt.NDArray[np.uint16] = np.bitwise_or(high.astype(np.uint16) << 8, low, dtype=np.uint16)
    return found


def write_png(file: IO[bytes], pixels: npt.NDArray[np.uint16], kept: Mapping[str, Any]) -> None:
    """Writes a picture (H, W, 3 or 4) as PNG (W3C, "Portable Network Graphics", third edition), with what is `kept`
    under Pillow's names: a colour profile, EXIF data, a resolution."""

    def chunk(name: bytes, data: bytes) -> None:
        file.write(struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)))

    height, width, channels = pixels.shape
    rows = np.ascontiguousarray(pixels, ">u2").view(np.uint8).reshape(height, -1)
    filtered = np.empty((height, rows.shape[1] + 1), np.uint8)
    filtered[:, 0] = 2  # every row is told by how it differs from the one above
    filtered[0, 1:] = rows[0]
    np.subtract(rows[1:], rows[:-1], out=filtered[1:, 1:])
    file.write(b"\x89PNG\r\n\x1a\n")
    chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, 2 if channels == 3 else 6, 0, 0, 0))
    if profile := kept.get("icc_profile"):
        chunk(b"iCCP", b"ICC Profile\0\0" + zlib.compress(profile))
    if exif := kept.get("exif"):
        chunk(b"eXIf", exif.removeprefix(b"Exif\0\0"))
    if dpi := kept.get("dpi"):
        chunk(b"pHYs", struct.pack(">IIB", *(round(per_inch / _INCH) for per_inch in dpi), 1))
    chunk(b"IDAT", zlib.compress(filtered.data))
    chunk(b"IEND", b"")


def write_tiff(file: IO[bytes], pixels: npt.NDArray[np.uint16], kept: Mapping[str, Any]) -> None:
    """Writes a picture (H, W, 3 or 4) as TIFF (Adobe, "TIFF Revision 6.0"), as `write_png` does."""
    height, width, channels = pixels.shape
    data = zlib.compress(np.ascontiguousarray(pixels, "<u2").data)
    tags = ImageFileDirectory_v2(prefix=b"II")
    if exif := kept.get("exif"):
        of_exif = Image.Exif()
        of_exif.load(exif)
        for tag, value in of_exif.items():
            tags[tag] = value
        for tag in _PARTS_OF_EXIF:
            if part := of_exif.get_ifd(tag):
                tags[tag] = dict(part)
    tags[256], tags[257], tags[258] = width, height, (16,) * channels
    tags[259], tags[262], tags[277] = 8, 2, channels  # deflated, RGB
    tags[273], tags[278], tags[279] = 0, height, len(data)  # one strip, behind the tags
    tags[284] = 1
    if channels == 4:
        tags[338] = 2  # of which the last is transparency
    if dpi := kept.get("dpi"):
        tags[282], tags[283], tags[296] = (*(IFDRational(round(value * 1000), 1000) for value in dpi), 2)
    if profile := kept.get("icc_profile"):
        tags.tagtype[34675] = 7
        tags[34675] = profile
    tags.save(file)
    file.write(data)


WRITERS = {"PNG": write_png, "TIFF": write_tiff}
"""By Pillow's names of the formats."""
