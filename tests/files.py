"""Picture files of kinds that Pillow reads and does not write."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np

COLOUR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}  # of PNG, by channels


def chunk(name: bytes, data: bytes) -> bytes:
    """One chunk of a PNG file."""
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def header(width: int, height: int, channels: int = 3, bits: int = 8) -> bytes:
    """The beginning of a PNG file."""
    fields = struct.pack(">IIBBBBB", width, height, bits, COLOUR_TYPES[channels], 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", fields)


def write_png16(path: Path, pixels: np.ndarray, *chunks: bytes) -> None:
    """Values of 16 bits (H, W, 1 to 4) as a PNG file; `chunks` come before the pixels."""
    h, w, channels = pixels.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    body = [*chunks, chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")]
    path.write_bytes(header(w, h, channels, 16) + b"".join(body))


# ---- colour profiles (ICC.1:2010)

DISPLAY_P3 = ((0.51512, 0.24120, -0.00105), (0.29198, 0.69225, 0.04189), (0.15710, 0.06657, 0.78407))
"""XYZ of the primaries, adapted to D50."""


def fixed(*values: float) -> bytes:
    return b"".join(struct.pack(">i", round(value * 65536)) for value in values)


def icc(space: bytes, tags: dict[bytes, bytes], kind: bytes = b"mntr") -> bytes:
    """A profile of pictures in a colour space."""
    told = {b"desc": text(b"A profile of a test"), b"cprt": text(b"none"), b"wtpt": xyz(0.9642, 1.0, 0.8249), **tags}
    offset, table, data = 132 + 12 * len(told), b"", b""
    for name, tag in told.items():
        tag += b"\0" * (-len(tag) % 4)
        table += name + struct.pack(">II", offset + len(data), len(tag))
        data += tag
    body = struct.pack(">I", len(told)) + table + data
    fields = b"\0" * 4 + b"\x04\x30\0\0" + kind + space + b"XYZ " + b"\0" * 12 + b"acsp" + b"\0" * 28
    head = struct.pack(">I", 128 + len(body)) + fields + fixed(0.9642, 1.0, 0.8249)
    return head.ljust(128, b"\0") + body


def text(words: bytes) -> bytes:
    wide = words.decode().encode("utf-16-be")
    return b"mluc\0\0\0\0" + struct.pack(">II2s2sII", 1, 12, b"en", b"US", len(wide), 28) + wide


def xyz(*values: float) -> bytes:
    return b"XYZ \0\0\0\0" + fixed(*values)


def srgb_curve() -> bytes:
    return b"para\0\0\0\0\0\x03\0\0" + fixed(2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)


def display_p3() -> bytes:
    """The profile that Macs and phones give to photographs."""
    primaries = {name + b"XYZ": xyz(*values) for name, values in zip((b"r", b"g", b"b"), DISPLAY_P3, strict=True)}
    return icc(b"RGB ", primaries | {name + b"TRC": srgb_curve() for name in (b"r", b"g", b"b")})


def grey_gamma(gamma: float) -> bytes:
    """A profile of grey pictures."""
    return icc(b"GRAY", {b"kTRC": b"para\0\0\0\0\0\0\0\0" + fixed(gamma)})
