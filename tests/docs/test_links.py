"""Links in the documents lead to files that there are, and to headings that are in them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.documents import DOCUMENTS, NOTEBOOKS, ROOT, blocks, name

LINK = re.compile(r"!?\[(?:[^\[\]]|\[[^\]]*\])*\]\(([^)\s]+)\)")
TEMPLATES = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"))


def anchors(text: str) -> set[str]:
    """Those that headings of a Markdown text have, on GitHub and on the site."""
    titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    plain = (re.sub(r"[^\w\- ]", "", title.lower()).strip() for title in titles)
    return {re.sub(r"\s+", "-", title) for title in plain}


def links(text: str) -> list[str]:
    for block in blocks(text):
        text = text.replace(block.text, "")
    return LINK.findall(text)


@pytest.mark.parametrize("document", [*DOCUMENTS, *NOTEBOOKS], ids=name)
def test_links_lead_somewhere(document: Path) -> None:
    for link in links(document.read_text("utf-8")):
        if link.startswith(("https://", "http://")):
            continue
        file, _, anchor = link.partition("#")
        target = document.parent / file if file else document
        assert target.exists(), f"{name(document)} links to {link}"
        assert target.resolve().is_relative_to(ROOT)
        if anchor:
            assert anchor in anchors(target.read_text("utf-8")), f"{name(document)} links to {link}"


def test_documents_that_the_readme_names_are_found() -> None:
    found = links((ROOT / "README.md").read_text("utf-8"))
    assert {"docs/pages/pictures/demo.png", "docs/pages/macs.md", "CITATION.cff", "SECURITY.md"} <= set(found)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("# A `word`, and 2\n", {"a-word-and-2"}), ("## What `--quality` chooses\n", {"what---quality-chooses"})],
)
def test_anchors(text: str, expected: set[str]) -> None:
    assert anchors(text) == expected


@pytest.mark.parametrize("path", TEMPLATES, ids=name)
def test_files_that_templates_name_exist(path: Path) -> None:
    for file in re.findall(r"\b[\w/-]+\.md\b", path.read_text("utf-8")):
        assert (ROOT / file).exists()
