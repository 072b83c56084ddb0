"""What a file that is no checkpoint seems to be, so that the error can say it."""

from __future__ import annotations

import re
from collections.abc import Iterable

OLD_MAGIC = b"L119547037146038801333356L"
"""How a file of torch.save begins that was told to use protocol 0 or 1."""

_TAR, _TAR_BLOCK = (257, b"ustar"), 512
_OLD_TAR = ("sys_info", "pickle", "storages", "tensors")  # its first file, where PyTorch wrote it
_MAGIC = (
    (0, b"\x1f\x8b", "a gzip archive: unpack it first"),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7z archive: unpack it first"),
    (0, b"BZh", "a bzip2 archive: unpack it first"),
    (0, b"\xfd7zXZ\0", "an xz archive: unpack it first"),
    (0, b"\x28\xb5\x2f\xfd", "a Zstandard archive: unpack it first"),
    (0, b"Rar!\x1a\x07", "a RAR archive: unpack it first"),
    (0, b"\x89HDF", "an HDF5 file (Keras?), not a PyTorch checkpoint"),
    (0, b"\x93NUMPY", "a NumPy array, not a PyTorch checkpoint"),
    (0, b"GGUF", "a GGUF file, not a PyTorch checkpoint"),
    (0, b"\x89PNG", "a picture, not a PyTorch checkpoint"),
    (0, b"\xff\xd8\xff", "a picture, not a PyTorch checkpoint"),
)
HEAD = 4096  # bytes `describe` wants


def is_safetensors(head: bytes) -> bool:
    """Whether a file beginning with `head` is a safetensors file: the length of a JSON header, then the header."""
    return len(head) > 8 and head[8:9] == b"{" and int.from_bytes(head[:8], "little") < 1 << 32


def describe(head: bytes) -> str | None:
    """What a file beginning with `head` seems to be, None if that cannot be told."""
    if is_safetensors(head):
        return "a safetensors file, not a PyTorch checkpoint"
    if head[_TAR[0] :].startswith(_TAR[1]):
        first = _first_of_tar(head)
        if first.removeprefix("./") in _OLD_TAR:
            return "a tar archive, as PyTorch wrote before 0.1.10: open it with an old PyTorch and save it again"
        return f"a tar archive (it begins with {first!r}): unpack it first"
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


def _first_of_tar(head: bytes) -> str:
    """The name of a tar archive's first file, as far as it is in `head`: what describes a file may come before it."""
    start = 0
    while head[start + 156 : start + 157] in (b"x", b"g", b"L"):
        digits = head[start + 124 : start + 136].strip(b" \0")
        size = int(digits, 8) if re.fullmatch(rb"[0-7]+", digits) else 0
        start += _TAR_BLOCK * (1 + -(-size // _TAR_BLOCK))
    return head[start : start + 100].partition(b"\0")[0].decode(errors="replace")


def packed(names: Iterable[str]) -> str:
    """What a zip archive with the entries `names` is instead of a checkpoint, to follow a sentence that says so."""
    names = list(names)
    if any(name.endswith(("archive_format", "serialized_exported_program.json")) for name in names):
        return ": torch.export wrote it (.pt2); save the state_dict() of the module instead"
    if any(name.endswith(".npy") for name in names):
        return ": it is an .npz of NumPy arrays"
    inner = [name for name in names if name.endswith((".pt", ".pth", ".ckpt", ".bin", ".safetensors", "data.pkl"))]
    return f" (it holds {', '.join(repr(name[:80]) for name in inner[:3])}: unpack it first)" if inner else ""
