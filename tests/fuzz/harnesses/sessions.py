"""Files of sessions: the container, and what sessions of every kind make of one that they open and go on with."""

from __future__ import annotations

import dataclasses
import json
import os
import warnings
import zlib
from collections.abc import Mapping
from functools import cache
from random import Random
from typing import Any

import numpy as np

from sige_mlx.editing import EditSession, LabelSession, TranslationSession
from sige_mlx.editing.container import DTYPES, VERSION, Container, write
from sige_mlx.editing.saved import PURPOSE
from sige_mlx.engine import Engine
from tests.files import display_p3
from tests.fuzz import mutate, scratch
from tests.fuzz.harness import Harness, one_sentence
from tests.fuzz.harnesses.safetensors import packed
from tests.tiny import (
    CONFIG,
    LABEL_CONFIG,
    TRANSLATION_CONFIG,
    label_engine,
    labels,
    original,
    tiny_engine,
    translation_engine,
)

STROKES = dataclasses.replace(CONFIG, image_size=8, ch_mult=(1,), attn_resolutions=())
TRANSLATION = dataclasses.replace(TRANSLATION_CONFIG, image_size=(8, 12), ngf=4, n_blocks=1)

Parts = tuple[dict[str, Any], dict[str, Any], bytes]
"""What a file tells, its header without that, and the bytes of its arrays."""


@cache
def engine(kind: type) -> Engine:
    """One for all sessions of a kind."""
    if kind is EditSession:
        return tiny_engine(config=STROKES, tiles_from=8)
    return label_engine(config=LABEL_CONFIG) if kind is LabelSession else translation_engine(config=TRANSLATION)


def run_container(data: bytes) -> None:
    with one_sentence():
        file = Container(scratch.file("s.sige", data), PURPOSE)
        for name in file._header:
            with one_sentence():
                array = file.array(name)
                assert array.nbytes <= len(data) and array.dtype.str in DTYPES.values()


def run(kind: type[EditSession] | type[LabelSession] | type[TranslationSession], data: bytes) -> None:
    """Opens a file, goes back and forth in it, and writes what it became."""
    path = scratch.file("s.sige", data)
    with one_sentence(), warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        session = kind.open(engine(kind), path)
        for _, recording in session._views:
            recording.take_all()
        for move in session.undo, session.redo:
            with one_sentence():
                move()
        session.save(path)
        kind.open(engine(kind), path)
    assert all(str(one.message).isprintable() for one in told)


def _session(kind: type, times: int = 1) -> Any:
    """Of an original so many times as high and wide as what the network sees."""
    if kind is LabelSession:
        before = np.tile(labels(), (times, times))
        after = before.copy()
        after[14:18, 10:14] = 21
        opened: Any = LabelSession(engine(kind), before)
    else:
        before = np.tile(original(*engine(kind).image_size), (times, times, 1))
        after = before.copy()
        after[2:4, 2:4] = 200
        opened = EditSession(engine(kind), before, steps=1) if kind is EditSession else kind(engine(kind), before)
    opened.edit(after)
    opened.note = {"model": "m", "device": "cpu", "threshold": None}
    return opened


def seeds(kind: type) -> list[bytes]:
    """Sessions that are not recorded, recorded and committed in, and such that have been undone in."""
    path, made = scratch.folder(os.getpid()) / "seed.sige", []
    opened = _session(kind)
    for before in (lambda: None, opened.commit, opened.undo):
        before()
        opened.save(path)
        made.append(path.read_bytes())
    larger = _session(kind, 2)
    larger.commit()
    larger.save(path)
    made.append(path.read_bytes())
    told, header, arrays = parts(made[1])
    bare = {name: told[name] if name != "windows" else [] for name in told}
    return [*made, joined(bare, header, arrays)]


def container_seeds() -> list[bytes]:
    """A few small arrays of every type."""
    path = scratch.folder(os.getpid()) / "seed.sige"
    arrays = {f"a.{name}": np.zeros((2, 3), dtype) for name, dtype in DTYPES.items()}
    write(path, PURPOSE, {**arrays, "none": np.zeros((0, 3), np.float32), "n": np.array(3.0)}, {"kind": "EditSession"})
    return [path.read_bytes()]


def parts(data: bytes) -> Parts:
    """A file taken to pieces; raises `ValueError` for one that cannot be."""
    stop = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:stop])
    try:
        told = json.loads(header.pop("__metadata__")["told"])
    except (KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError from error
    if not isinstance(told, dict):
        raise ValueError
    return told, header, data[stop:]


def joined(told: Mapping[str, Any], header: Mapping[str, Any], arrays: bytes, purpose: str = PURPOSE) -> bytes:
    """A file whose checksums are right, as far as what it tells has room for them."""
    sums = {}
    for name, entry in header.items():
        try:
            first, last = entry["data_offsets"]
            sums[name] = zlib.crc32(arrays[first:last])
        except (TypeError, ValueError, KeyError):
            continue
    text = json.dumps({**told, "checksums": sums} if isinstance(told.get("checksums"), dict) else told)
    metadata = {
        "is": purpose,
        "version": str(VERSION),
        "told": text,
        "checksum": str(zlib.crc32(text.encode("utf-8", "replace"))),
    }
    return packed(json.dumps({**header, "__metadata__": metadata}).encode(), arrays)


def mutated(rng: Random, data: bytes, others: list[bytes], purpose: str = PURPOSE) -> bytes:
    """Something else in what a file tells, other arrays, or bytes anywhere."""
    kind = rng.randrange(10)
    if kind == 0:
        return mutate.raw(rng, data, others)
    try:
        told, header, arrays = parts(data)
        if kind == 1:
            stop = 8 + int.from_bytes(data[:8], "little")
            return packed(mutate.of_json(rng, data[8:stop], [b"{}"]), data[stop:])
        if kind <= 5:
            changed = mutate.changed_json(rng, told)
            return joined(changed if isinstance(changed, dict) else told, header, arrays, purpose)
        return joined(told, *_others(rng, header, arrays, others), purpose)
    except (ValueError, TypeError, RecursionError, OverflowError):  # somebody has changed too much of it before
        return mutate.raw(rng, data, others)


def _others(rng: Random, header: dict[str, Any], arrays: bytes, others: list[bytes]) -> tuple[dict[str, Any], bytes]:
    """Arrays of other values, shapes or types, under other names, or fewer; their places are right again."""
    held = {}
    for name, entry in header.items():
        try:
            first, last = entry["data_offsets"]
            held[name] = (entry["dtype"], list(entry["shape"]), arrays[first:last])
        except (TypeError, KeyError) as error:
            raise ValueError from error
    if not held:
        raise ValueError
    name = rng.choice(list(held))
    dtype, shape, raw = held[name]
    kind = rng.randrange(8)
    if kind == 0:
        del held[name]
    elif kind == 1:
        held[
            rng.choice(
                (*held, "window.0.step.0.0", "given.low", "given.alpha", "given.profile", "given.exif", "undo.0.alpha")
            )
        ] = held.pop(name)
    elif kind == 2:
        held[name] = held[rng.choice(list(held))]
    elif kind == 3:
        rng.shuffle(shape)
        held[name] = dtype, shape, raw
    elif kind == 4:
        held[name] = _of_size(rng.choice((*DTYPES, "I64", "BF16")), shape, raw)
    elif kind == 5:
        shape = [rng.choice((0, 1, 2, 3, n - 1, n + 1, 2 * n)) if rng.random() < 0.5 else max(n, 0) for n in shape]
        shape = shape if rng.random() < 0.8 else shape[1:]
        held[name] = _of_size(dtype, [max(n, 0) for n in shape], raw)
    elif kind == 6:
        held[name] = dtype, shape, mutate.raw(rng, raw, [display_p3()])[: len(raw)].ljust(len(raw), b"\0")
    else:
        length = rng.choice((0, 1, 16, 500))
        profile = mutate.raw(rng, display_p3(), others)
        held[f"given.{rng.choice(('profile', 'exif'))}"] = (
            "U8",
            [length or len(profile)],
            (profile * 2)[: length or len(profile)],
        )
    header, at, out = {}, 0, []
    for name, (dtype, shape, raw) in held.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [at, at + len(raw)]}
        at += len(raw)
        out.append(raw)
    return header, b"".join(out)


def _of_size(dtype: str, shape: list[int], raw: bytes) -> tuple[str, list[int], bytes]:
    """An array of such a type and shape; its bytes are those that are there, as often as it takes."""
    size = np.dtype(DTYPES.get(dtype, "<i8" if dtype == "I64" else "<i2")).itemsize * int(np.prod(shape, dtype=object))
    if size > 1 << 20:
        raise ValueError
    return dtype, shape, (raw * (size // max(len(raw), 1) + 1))[:size].ljust(size, b"\0")


def _of(kind: Any) -> Harness:
    return Harness(lambda data: run(kind, data), lambda: seeds(kind), mutated)


HARNESSES = {
    "containers": Harness(run_container, container_seeds, mutated),
    "strokes": _of(EditSession),
    "labels": _of(LabelSession),
    "translations": _of(TranslationSession),
}
