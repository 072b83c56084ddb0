"""Every harness over its seeds, its corpus and a few hundred changed inputs; and that the loop finds what is wrong."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from PIL import Image

from sige_mlx.errors import SigeError
from sige_mlx.pictures import open_image
from tests.fuzz import mutate
from tests.fuzz.harness import Harness, one_sentence
from tests.fuzz.harnesses import HARNESSES
from tests.fuzz.harnesses.loader import of_loader
from tests.fuzz.loop import _peak, _resident, fuzz

SLOW = {"networks": 30, "config": 100}


@pytest.mark.parametrize("name", HARNESSES)
def test_a_short_run(name: str) -> None:
    outcome = fuzz(name, HARNESSES[name], SLOW.get(name, 300))
    assert not outcome.found, outcome


def test_any_loader(tmp_path: Path) -> None:
    Image.new("RGB", (3, 3)).save(tmp_path / "a.png")
    outcome = fuzz("a-test", of_loader(open_image, tmp_path), 100)
    assert outcome.executions == 101 and not outcome.found
    assert fuzz("a-test", of_loader(Image.open, tmp_path), 100, most=1).found


def _raises(data: bytes) -> None:
    if b"\xff" in data:
        raise KeyError(data)


def _waits(data: bytes) -> None:
    while b"\xff" in data:
        time.process_time()


def _fills(data: bytes) -> None:
    """More than other tests have taken in this process: what is less is not seen. The system may take pages away
    meanwhile, so it is far more."""
    assert b"\xff" not in data or len(b"a" * ((_peak() - _resident() + 700) << 20))


def _says_much(data: bytes) -> None:
    with one_sentence():
        if b"\xff" in data:
            error = SigeError()
            error.args = ("two\nlines",)
            raise error


@pytest.mark.parametrize(
    ("run", "wrong"),
    [
        (_raises, "KeyError at test_harnesses.py"),
        (_waits, "it took more than 0.2 s"),
        (_fills, "it took"),
        (_says_much, "AssertionError at harness.py"),
    ],
)
def test_the_loop_finds_what_is_wrong(run: object, wrong: str) -> None:
    harness = Harness(run, lambda: [bytes(16)], mutate.raw, seconds=0.2, megabytes=100)  # type: ignore[arg-type]
    outcome = fuzz("a-test", harness, 400, most=1)
    assert [said[: len(wrong)] for _, said in outcome.found] == [wrong]
    assert b"\xff" in outcome.found[0][0].read_bytes()


def test_the_same_seed_gives_the_same_inputs() -> None:
    def read(seed: int) -> list[bytes]:
        inputs: list[bytes] = []
        fuzz("a-test", Harness(inputs.append, lambda: [b"abc"], mutate.raw), 50, seed)
        return inputs

    assert read(1) == read(1) != read(2)
