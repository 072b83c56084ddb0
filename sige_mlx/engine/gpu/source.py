"""The text of a kernel: its `.metal` file is the body, and the headers it needs become one."""

import functools
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from posixpath import dirname, join, normpath

_INCLUDE = re.compile(r'^#include "(.+)"\n', re.MULTILINE)


@functools.cache
def read(path: str) -> str:
    """A file of `metal/`."""
    return resources.files("sige_mlx").joinpath(f"metal/{path}").read_text("utf-8")


@dataclass(frozen=True)
class Source:
    """What MLX compiles, but for the signature, which it makes itself."""

    header: str
    body: str

    @property
    def digest(self) -> str:
        return hashlib.sha256(f"{self.header}\0{self.body}".encode()).hexdigest()[:12]


def source(name: str, defines: Mapping[str, int]) -> Source:
    """The kernel `name`, whose files are `name/name.h` and `name/name.metal`."""
    defined = "".join(f"#define {macro} {value}\n" for macro, value in defines.items())
    return Source(defined + expanded(f"{name}/{name}.h"), expanded(f"{name}/{name}.metal"))


@functools.cache
def expanded(path: str) -> str:
    """A file with the files it includes in place of their names, each once."""
    seen: set[str] = set()

    def expand(path: str) -> str:
        if path in seen:
            return ""
        seen.add(path)
        text = read(path).replace("#pragma once\n", "")
        return _INCLUDE.sub(lambda m: expand(normpath(join(dirname(path), m[1]))), text)

    return expand(path)
