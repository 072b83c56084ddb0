"""The text of a kernel: its `.metal` file is the body, and the headers it needs become one.

Comments, blank lines and indentation stay here. MLX hands a text over as ASCII, and hashes all of it whenever a kernel
runs. `#line` directives say which file and line what follows is from, in what Apple's compiler writes too.
"""

import functools
import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import resources
from posixpath import dirname, join, normpath
from typing import NamedTuple

from sige_mlx.errors import SigeError

_INCLUDE = re.compile(r'#include "(.+)"')
_BLANKS_OR_QUOTED = re.compile(r"""(?:[ \t]|//[^\n]*|/\*.*?\*/)+|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'""", re.DOTALL)


@functools.cache
def read(path: str) -> str:
    """A file of `metal/`."""
    return resources.files("sige_mlx").joinpath(f"metal/{path}").read_text("utf-8")


@dataclass(frozen=True)
class KernelText:
    """What MLX compiles, but for the signature, which it makes itself."""

    header: str
    body: str

    @property
    def digest(self) -> str:
        return hashlib.sha256(f"{self.header}\0{self.body}".encode()).hexdigest()[:12]


def kernel_text(name: str, defines: Mapping[str, int]) -> KernelText:
    """The kernel `name`, whose files are `name/name.h` and `name/name.metal`."""
    defined = "".join(f"#define {macro} {value}\n" for macro, value in defines.items())
    signature = f'#line 1 "signature of {name}"\n'
    return KernelText(defined + expanded(f"{name}/{name}.h") + signature, expanded(f"{name}/{name}.metal"))


@functools.cache
def expanded(path: str) -> str:
    """A file with those it includes in place of their names, each once. Raises `SigeError` for what is not ASCII."""
    pieces: list[str] = []
    expected = Line("", 0, "")
    for line in _lines(path, set()):
        if not line.text.isascii():
            raise SigeError(f"metal/{line.file}, line {line.number} holds more than ASCII: {line.text}")
        directive = f"#line {line.number}\n" if line.file == expected.file else f'#line {line.number} "{line.file}"\n'
        gap = line.number - expected.number if line.file == expected.file else len(directive)
        pieces += ["\n" * gap if 0 <= gap < len(directive) else directive, line.text, "\n"]
        expected = Line(line.file, line.number + 1, "")
    return "".join(pieces)


class Line(NamedTuple):
    """A line of a file of `metal/` that is not blank."""

    file: str
    number: int
    text: str


def _lines(path: str, seen: set[str]) -> Iterator[Line]:
    """The lines of a file and of those it includes, but for files that were seen."""
    seen.add(path)
    for number, text in enumerate(without_comments(read(path)).split("\n"), 1):
        text = text.strip()
        if included := _INCLUDE.fullmatch(text):
            inner = normpath(join(dirname(path), included[1]))
            if inner not in seen:
                yield from _lines(inner, seen)
        elif text and text != "#pragma once":
            yield Line(path, number, text)


def without_comments(text: str) -> str:
    """C++ text with one space in place of spaces and comments, and as many lines."""

    def kept(found: re.Match[str]) -> str:
        return found[0] if found[0][0] in "\"'" else " " + "\n" * found[0].count("\n")

    return _BLANKS_OR_QUOTED.sub(kept, text)
