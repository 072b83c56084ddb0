"""The documentation builds strictly, its notebooks run, no link of it is broken, and it fetches nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

import sige_mlx
from tests.documents import NOTEBOOKS, PAGES, ROOT

pytest.importorskip("mkdocs")
pytestmark = pytest.mark.slow

FETCHED = {("link", "href"), ("script", "src"), ("img", "src"), ("source", "src"), ("iframe", "src")}


class Page(HTMLParser):
    """Ids of a page, what it links to, and what a browser fetches for it."""

    def __init__(self, path: Path):
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.fetched: list[str] = []
        self.text: list[str] = []
        self.feed(path.read_text("utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value for name, value in attrs if value}
        self.ids |= {given[name] for name in ("id", "name") if name in given}
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        canonical = given.get("rel") in ("prev", "next", "canonical")
        self.fetched += [given[name] for of, name in FETCHED if of == tag and name in given and not canonical]

    def handle_data(self, data: str) -> None:
        self.text.append(data)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """It, built as `make docs` builds it."""
    folder = tmp_path_factory.mktemp("site")
    subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "-f", ROOT / "docs" / "mkdocs.yml", "-d", folder],
        check=True,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
    )
    return folder


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, Page]:
    return {path: Page(path) for path in site.rglob("*.html")}


def test_every_page_is_there(pages: dict[Path, Page], site: Path) -> None:
    sources = {path.relative_to(ROOT / "docs" / "pages").with_suffix(".html") for path in (*PAGES, *NOTEBOOKS)}
    assert len(NOTEBOOKS) == 2
    assert sources | {Path("404.html")} == {path.relative_to(site) for path in pages}


def test_no_link_is_broken(pages: dict[Path, Page], site: Path) -> None:
    broken, seen = [], 0
    for path, page in pages.items():
        for link in (*page.links, *page.fetched):
            parts = urlsplit(link)
            if parts.scheme or path.name == "404.html":
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            target = target / "index.html" if target.is_dir() else target
            fine = target.is_file() and target.is_relative_to(site)
            if fine and parts.fragment and target in pages:
                fine = unquote(parts.fragment) in pages[target].ids or parts.fragment == "__codelineno"
            seen += 1
            broken += [] if fine else [f"{path.name}: {link}"]
    assert seen > 500 and not broken


def test_nothing_is_fetched_from_elsewhere(pages: dict[Path, Page]) -> None:
    assert [url for page in pages.values() for url in page.fetched if urlsplit(url).scheme not in ("", "data")] == []


def test_the_api_page_has_what_there_is_to_import(pages: dict[Path, Page], site: Path) -> None:
    """Modules have members on pages of their own."""
    ids = {identifier for page in pages.values() for identifier in page.ids}
    values = {name: getattr(sige_mlx, name) for name in sige_mlx.__all__}
    homes = {name: {f"sige_mlx.{name}", f"{getattr(of, '__module__', '')}.{name}"} for name, of in values.items()}
    missing = [name for name in values if not homes[name] & ids]
    missing = [name for name in missing if not any(i.startswith(f"sige_mlx.{name}.") for i in ids)]
    assert missing == []
    assert "sige_mlx.EditSession.commit" in ids and "sige_mlx.nn.conv2d" in ids


def test_notebooks_were_run(pages: dict[Path, Page], site: Path) -> None:
    text = " ".join(pages[site / "notebooks" / "paint-and-go-on.html"].text)
    assert "times less arithmetic" in text and "1 commit can be undone, 1 be done again" in text
    assert "Traceback" not in text
