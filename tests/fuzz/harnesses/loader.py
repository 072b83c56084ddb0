"""Any function that reads a file, over files that are given: what other formats begin with."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.fuzz import mutate, scratch
from tests.fuzz.harness import Harness, one_sentence


def of_loader(load: Callable[[Path], object], folder: Path) -> Harness:
    """`load` takes a path; the files in `folder` are valid ones. It may raise `SigeError` and nothing else."""

    def run(data: bytes) -> None:
        with one_sentence():
            load(scratch.file("input", data))

    return Harness(run, lambda: [path.read_bytes() for path in sorted(folder.iterdir())], mutate.raw)
