"""Whole files of torch.save, of both formats, and the zip archive alone."""

from __future__ import annotations

import io
import os
import zipfile
from random import Random
from zipfile import ZIP_DEFLATED, ZIP_STORED

import numpy as np

from sige_mlx.converters.checkpoint import read
from sige_mlx.converters.checkpoint.reader import map_file
from sige_mlx.converters.checkpoint.zip_archive import ZipArchive
from tests.converters.writer import dumps, write_legacy, write_zip
from tests.converters.writer import state_dict as written
from tests.fuzz import mutate, scratch
from tests.fuzz.harness import Harness, one_sentence
from tests.fuzz.harnesses.pickles import ROOM, roots, walk


def run(data: bytes) -> None:
    with one_sentence():
        walk(read(scratch.file("a.pth", data)))


def run_archive(data: bytes) -> None:
    if not data:
        return
    with one_sentence():
        archive = ZipArchive(map_file(scratch.file("a.zip", data)))
        for name in archive.entries:
            with one_sentence():
                assert len(archive.read(name)) == archive.entries[name].size


def seeds() -> list[bytes]:
    arrays = {"a.weight": np.ones((2, 3), np.float32), "a.bias": np.zeros(2, np.float16), "n": np.array(3)}
    named, storages = written(arrays)
    old, old_storages = written(arrays, in_legacy=True)
    path = scratch.folder(os.getpid()) / "seed.pth"
    stored = [write_zip(path, named, storages, compression=c).read_bytes() for c in (ZIP_STORED, ZIP_DEFLATED)]
    others = [write_zip(path, root, {"0": bytes(ROOM)}).read_bytes() for root in roots()[1:5]]
    counted = {key: (array.size, old_storages[key]) for key, array in zip(old_storages, arrays.values(), strict=True)}
    return [*stored, *others, write_legacy(path, old, counted).read_bytes()]


def mutated(rng: Random, data: bytes, others: list[bytes]) -> bytes:
    """Bytes of the file, or its pickle in an archive that is sound."""
    if not data.startswith(b"PK") or rng.random() < 0.5:
        return mutate.raw(rng, data, others)
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            parts = {name: archive.read(name) for name in archive.namelist()[:20]}
    except Exception:  # one that is damaged already
        return mutate.raw(rng, data, others)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", rng.choice((ZIP_STORED, ZIP_DEFLATED))) as archive:
        for name, part in parts.items():
            changed = mutate.of_pickle if name.endswith("data.pkl") else mutate.raw
            archive.writestr(name, changed(rng, part, [dumps(None)]) if rng.random() < 0.5 else part)
    return out.getvalue()


HARNESSES = {"checkpoints": Harness(run, seeds, mutated), "archives": Harness(run_archive, seeds, mutate.raw)}
