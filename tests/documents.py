"""What people read: the documents of the repository, and the code and the links in them."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from sige_mlx import zoo

ROOT = Path(__file__).parents[1]
PAGES = sorted((ROOT / "docs" / "pages").rglob("*.md"))
NOTEBOOKS = sorted((ROOT / "docs" / "pages").rglob("*.ipynb"))
DOCUMENTS = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")] + PAGES

PICTURES = {
    "sea.png": "original.png",
    "island.png": "painted.png",
    "labels.png": "labels.png",
    "labels-painted.png": "labels-painted.png",
}
"""Files that examples read, and the pictures of the demo that they are."""


def name(path: Path) -> str:
    """What to call a document in a test's name."""
    return path.relative_to(ROOT).as_posix()


class Block(NamedTuple):
    """Code in a document."""

    language: str
    """That of a fence; nothing for code that is indented."""
    text: str


def blocks(text: str) -> Iterator[Block]:
    """The code of a Markdown text: between fences, and indented by four after an empty line."""
    fenced = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
    for found in fenced.finditer(text):
        yield Block(found[1], found[2])
    for found in re.finditer(r"(?<=\n\n)(?: {4}.*\n|\n(?= {4}))+", fenced.sub("", text)):
        yield Block("", re.sub(r"^ {4}", "", found[0], flags=re.MULTILINE))


def commands(text: str) -> Iterator[str]:
    """The commands for a shell in a Markdown text, a line each, without what is said of them."""
    for block in blocks(text):
        if block.language in ("", "sh"):
            for line in block.text.replace("\\\n", " ").splitlines():
                if command := re.sub(r"(^|\s)#.*", "", line).strip():
                    yield re.sub(r"\s+", " ", command)


def spread_pictures(folder: Path) -> Path:
    """A folder with the files that examples read."""
    for example, demo in PICTURES.items():
        shutil.copy(zoo.ASSETS / "demo" / demo, folder / example)
    return folder
