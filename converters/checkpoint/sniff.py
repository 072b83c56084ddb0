"""What a file that is no checkpoint seems to be, so that the error can say it."""

from __future__ import annotations

import re

_MAGIC = (
    (0, b"\x1f\x8b", "a gzip archive: unpack it first"),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7z archive: unpack it first"),
    (257, b"ustar", "a tar archive, as PyTorch wrote before 0.1.10: open it with an old PyTorch and save it again"),
    (0, b"\x89HDF", "an HDF5 file (Keras?), not a PyTorch checkpoint"),
    (0, b"\x93NUMPY", "a NumPy array, not a PyTorch checkpoint"),
    (0, b"GGUF", "a GGUF file, not a PyTorch checkpoint"),
    (0, b"\x89PNG", "a picture, not a PyTorch checkpoint"),
    (0, b"\xff\xd8\xff", "a picture, not a PyTorch checkpoint"),
)
HEAD = 512  # bytes `describe` wants


def is_safetensors(head: bytes) -> bool:
    """Whether a file beginning with `head` is a safetensors file: the length of a JSON header, then the header."""
    return len(head) > 8 and head[8:9] == b"{" and int.from_bytes(head[:8], "little") < 1 << 32


def describe(head: bytes) -> str | None:
    """What a file beginning with `head` seems to be, None if that cannot be told."""
    if is_safetensors(head):
        return "a safetensors file, not a PyTorch checkpoint"
    for position, magic, meaning in _MAGIC:
        if head[position:].startswith(magic):
            return meaning
    if re.fullmatch(rb"[\t\n\r\x20-\x7e\x80-\xff]+", head) is None or head[0] >= 0x80:
        return None
    if head.startswith(b"version https://git-lfs"):
        return "a Git LFS pointer: fetch the file itself with git lfs pull"
    if head.lstrip()[:1] == b"<":
        return "a web page: the download failed, or its address was that of a page about the file"
    return "a text file, not a PyTorch checkpoint"
