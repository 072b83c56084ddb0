"""What a harness is, and what it asks of every sentence."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random

from sige_mlx.errors import MAX_MESSAGE, SigeError

CORPUS = Path(__file__).parent / "corpus"

Mutate = Callable[[Random, bytes, list[bytes]], bytes]
"""Makes another input of one, perhaps with parts of the others."""


@dataclass(frozen=True)
class Harness:
    """`run` reads an input; `seeds` makes valid ones, which `mutate` changes. What one input may take: `seconds` of a
    processor, and `megabytes` beyond what the process has had before."""

    run: Callable[[bytes], None]
    seeds: Callable[[], list[bytes]]
    mutate: Mutate
    seconds: float = 5
    megabytes: int = 600


def corpus(name: str) -> list[bytes]:
    """Inputs that were worth keeping, most of them because something was wrong once."""
    return [path.read_bytes() for path in sorted((CORPUS / name).glob("*")) if path.is_file()]


@contextmanager
def one_sentence() -> Iterator[None]:
    """Lets a `SigeError` be, if it is a sentence that may be printed; anything else is a fault."""
    try:
        yield
    except SigeError as error:
        said = str(error)
        assert said and said.isprintable() and len(said) <= MAX_MESSAGE + 100, said
