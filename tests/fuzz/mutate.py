"""Ways to change an input: bytes that know nothing, and JSON, pickles, zip files and chunks by their structure."""

from __future__ import annotations

import json
import struct
import zlib
from random import Random
from typing import Any

INTERESTING = (0, 1, 2, 3, 4, 7, 8, 15, 16, 31, 32, 63, 64, 127, 128, 255)
_WIDE = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 1 << 63, (1 << 64) - 1)


def raw(rng: Random, data: bytes, others: list[bytes]) -> bytes:
    """Flips, numbers of all widths, cuts, repeats, and pieces of other inputs."""
    if not data:
        return rng.randbytes(rng.randrange(1, 16))
    at, kind = rng.randrange(len(data)), rng.randrange(8)
    if kind == 0:
        return data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1 :]
    if kind == 1:
        return data[:at] + bytes([rng.choice(INTERESTING)]) + data[at + 1 :]
    if kind == 2:
        width = rng.choice((2, 4, 8))
        value = (rng.choice(_WIDE) + rng.randrange(-2, 3)) & ((1 << 8 * width) - 1)
        return data[:at] + value.to_bytes(width, rng.choice(("little", "big"))) + data[at + width :]
    if kind == 3:
        return data[:at]
    end = min(len(data), at + rng.choice((1, 2, 4, 8, 16, 64)))
    if kind == 4:
        return data[:at] + data[end:]
    if kind == 5:
        return data[:end] + data[at:end] * rng.choice((1, 2, 16, 100)) + data[end:]
    if kind == 6:
        other = rng.choice(others)
        start = rng.randrange(len(other) + 1)
        return data[:at] + other[start : start + rng.choice((4, 16, 64, 1 << 20))] + data[end:]
    return data[:at] + rng.randbytes(rng.randrange(1, 9)) + data[end:]


# ---- JSON

_NUMBERS = (0, 1, -1, 2, 3, 7, 32, 64, 127, 255, 256, 65535, 65536, 1 << 31, 1 << 32, 1 << 63, 1 << 64, 10**30, 10**400)
_FLOATS = (0.0, -0.0, 0.5, 1e-300, 1e300, float("nan"), float("inf"), -float("inf"))
_TEXTS = ("", "a", "\0", "\n", "../a", "/", "é", "\ud800", "\x1b[31m", "x" * 300, "null", "ddpm", "F32", "float32")


def json_value(rng: Random, depth: int = 2) -> Any:
    """Any value that JSON has, as awkward as may be."""
    kind = rng.randrange(9 if depth else 6)
    if kind == 0:
        return rng.choice((None, True, False))
    if kind in (1, 2):
        return rng.choice(_NUMBERS)
    if kind == 3:
        return rng.choice(_FLOATS)
    if kind in (4, 5):
        return rng.choice(_TEXTS)
    inner = [json_value(rng, depth - 1) for _ in range(rng.choice((0, 1, 2, 3, 5)))]
    if kind == 6:
        return inner
    if kind == 7:
        return {rng.choice(_TEXTS): value for value in inner}
    return inner * rng.choice((1, 40))


def changed_json(rng: Random, value: Any) -> Any:
    """A value with something changed somewhere in it."""
    if isinstance(value, dict) and value and rng.random() < 0.9:
        key = rng.choice(list(value))
        kind = rng.randrange(8)
        if kind == 0:
            return {name: inner for name, inner in value.items() if name != key}
        if kind == 1:
            return {rng.choice(_TEXTS) if name == key else name: inner for name, inner in value.items()}
        if kind == 2:
            return {**value, rng.choice(_TEXTS): json_value(rng)}
        return {**value, key: changed_json(rng, value[key])}
    if isinstance(value, list) and value and rng.random() < 0.8:
        at = rng.randrange(len(value))
        kind = rng.randrange(5)
        if kind == 0:
            return value[:at] + value[at + 1 :]
        if kind == 1:
            return value[: at + 1] + value[at:] * rng.choice((1, 30))
        return [*value[:at], changed_json(rng, value[at]), *value[at + 1 :]]
    if type(value) is int and rng.random() < 0.5:
        return rng.choice(
            (
                value + 1,
                value - 1,
                -value,
                value * 2,
                value // 2,
                value * 32,
                float(max(min(value, 1 << 60), -(1 << 60))),
            )
        )
    return json_value(rng)


def of_json(rng: Random, data: bytes, others: list[bytes]) -> bytes:
    """A text in JSON with another value in it, or another text."""
    if rng.random() < 0.15:
        return nested(rng, data) if rng.random() < 0.1 else raw(rng, data, others)
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return raw(rng, data, others)
    try:
        return json.dumps(changed_json(rng, value)).encode()
    except (ValueError, RecursionError):
        return raw(rng, data, others)


def nested(rng: Random, data: bytes) -> bytes:
    """A value of the text far down in lists or objects, about as far as Python can go."""
    depth = rng.choice((50, 300, 900, 980, 990, 1000, 5000)) + rng.randrange(10)
    opening, closing = rng.choice(((b"[", b"]"), (b'{"a":', b"}")))
    deep = opening * depth + b"1" + closing * depth
    at = data.find(b":", rng.randrange(len(data) + 1)) + 1
    stop = min((end for end in (data.find(b",", at), data.find(b"}", at)) if end >= 0), default=len(data))
    return data[:at] + deep + data[stop:]


# ---- pickles

_OPCODES = (
    b"\x80\x95(01hjqr\x94N\x88\x89JKM\x8a\x8bG\x8cX\x8dUTCB\x8e\x96)\x85\x86\x87t]ae}su\x8f\x90\x91c\x93R\x81\x92bQ."
)
_ARGUMENTS = {
    b"h": 1, b"q": 1, b"K": 1, b"\x80": 1, b"J": 4, b"M": 2, b"j": 4, b"r": 4, b"G": 8, b"\x95": 8,
}  # fmt: skip
_LENGTHS = {
    b"X": 4, b"\x8c": 1, b"\x8d": 8, b"U": 1, b"T": 4, b"C": 1, b"B": 4, b"\x8e": 8, b"\x96": 8, b"\x8a": 1, b"\x8b": 4,
}  # fmt: skip
_CLASSES = (
    *("collections\nOrderedDict", "collections\ndefaultdict", "torch\nSize", "torch\nfloat32", "torch\nbfloat16"),
    *("torch\nFloatStorage", "torch\nUntypedStorage", "torch\nQInt8Storage", "torch.storage\n_LoadFromFile"),
    *("torch._utils\n_rebuild_tensor", "torch._utils\n_rebuild_tensor_v2", "torch._utils\n_rebuild_tensor_v3"),
    *("torch._utils\n_rebuild_parameter", "torch._utils\n_rebuild_sparse_tensor", "torch._utils\n_rebuild_qtensor"),
    *("torch._tensor\n_rebuild_from_type_v2", "_codecs\nencode", "builtins\nset", "__builtin__\nbytes", "os\nsystem"),
    *("numpy\ndtype", "numpy\nndarray", "numpy.core.multiarray\n_reconstruct", "numpy._core.numeric\n_frombuffer"),
)
_KEYS = ("model", "ema", "state_dict", "a.weight", "module.a", "shadow_params", "param_groups", "_modules", "latin1")


def opcodes(data: bytes) -> list[bytes]:
    """A pickle taken to pieces, an opcode with its argument each; what cannot be is one piece at the end."""
    pieces, at = [], 0
    while at < len(data):
        code = data[at : at + 1]
        if code in _LENGTHS:
            width = _LENGTHS[code]
            size = 1 + width + int.from_bytes(data[at + 1 : at + 1 + width], "little")
        elif code == b"c":
            size = data.find(b"\n", data.find(b"\n", at) + 1) + 1 - at
        else:
            size = 1 + _ARGUMENTS.get(code, 0)
        if size < 1 or at + size > len(data):
            return [*pieces, data[at:]]
        pieces.append(data[at : at + size])
        at += size
        if code == b".":
            break
    return [*pieces, data[at:]] if at < len(data) else pieces


def opcode(rng: Random) -> bytes:
    """One opcode with an argument that it may have."""
    kind = rng.randrange(6)
    if kind == 0:
        return b"c" + rng.choice(_CLASSES).encode() + b"\n"
    if kind == 1:
        text = rng.choice(_KEYS).encode()
        return b"X" + struct.pack("<I", len(text)) + text
    if kind == 2:
        number = (rng.choice(_WIDE) + rng.randrange(-2, 3)).to_bytes(rng.choice((9, 16, 64)), "little", signed=True)
        return b"\x8a" + bytes([len(number)]) + number
    code = bytes([rng.choice(_OPCODES)])
    if code in _LENGTHS:
        text = rng.randbytes(rng.randrange(4))
        return code + len(text).to_bytes(_LENGTHS[code], "little") + text
    if code == b"c":
        return b"c" + rng.choice(_CLASSES).encode() + b"\n"
    return code + bytes(rng.choice(INTERESTING) for _ in range(_ARGUMENTS.get(code, 0)))


def of_pickle(rng: Random, data: bytes, others: list[bytes]) -> bytes:
    """A pickle with an opcode more, less, twice, many times or somewhere else, or pieces of another pickle."""
    if rng.random() < 0.1:
        return raw(rng, data, others)
    pieces = opcodes(data)
    at, kind = rng.randrange(len(pieces) or 1), rng.randrange(8)
    end = at + rng.choice((1, 1, 2, 3, 5, 9))
    if kind <= 1:
        pieces[at:at] = [opcode(rng) for _ in range(rng.choice((1, 1, 2, 3)))]
    elif kind == 2:
        del pieces[at:end]
    elif kind == 3:
        pieces[at : at + 1] = [opcode(rng)]
    elif kind == 4:
        pieces[at:end] = pieces[at:end] * rng.choice((2, 2, 3, 20, 200))
    elif kind == 5:
        moved = pieces[at:end]
        del pieces[at:end]
        to = rng.randrange(len(pieces) + 1)
        pieces[to:to] = moved
    elif kind == 6:
        theirs = opcodes(rng.choice(others))
        start = rng.randrange(len(theirs) or 1)
        pieces[at:end] = theirs[start : start + rng.choice((1, 3, 9, 27))]
    else:
        pieces[at:at] = [b"q" + bytes([rng.randrange(3)]) if rng.random() < 0.5 else b"h" + bytes([rng.randrange(3)])]
    return b"".join(pieces)[: 1 << 18]


# ---- chunks of a picture file


def repaired_png(data: bytes) -> bytes:
    """A PNG file whose chunks have the checksums of what is in them, so that a reader goes on to read it."""
    out, at = [data[:8]], 8
    while at + 8 <= len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        body = data[at + 4 : at + 8 + size]
        out.append(data[at : at + 8 + size] + struct.pack(">I", zlib.crc32(body)))
        at += 12 + size
    return b"".join(out)
