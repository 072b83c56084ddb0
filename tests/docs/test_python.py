"""The lines of Python in the documents run as they are written, one block after another, with the demo's pictures."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import sige_mlx
from sige_mlx import zoo
from tests.documents import DOCUMENTS, ROOT, blocks, name, spread_pictures

FENCE = re.compile(r"^(<!-- not run: .+ -->\n\n)?```python$", re.MULTILINE)
PAGES = [path for path in DOCUMENTS if FENCE.search(path.read_text("utf-8"))]


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_the_lines_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """But for those that need a file of somebody's, before which a comment says so."""
    monkeypatch.chdir(spread_pictures(tmp_path))
    names: dict[str, object] = {"__name__": "__main__"}
    text = page.read_text("utf-8")
    wanted = [not comment for comment in FENCE.findall(text)]
    written = [block.text for block in blocks(text) if block.language == "python"]
    for code, run in zip(written, wanted, strict=True):
        compiled = compile(code, page.name, "exec")
        if run:
            exec(compiled, names)


def test_what_the_first_lines_leave(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(spread_pictures(tmp_path))
    (lines,) = (b.text for b in blocks((ROOT / "README.md").read_text("utf-8")) if b.language == "python")
    assert lines.startswith("import sige_mlx\n")
    exec(compile(lines, "README.md", "exec"), {})
    assert (tmp_path / "new.png").exists() and sige_mlx.load(zoo.DEFAULT).open("sea.sige").undoable == 1


@pytest.mark.slow
def test_a_type_checker_has_nothing_against_them(tmp_path: Path) -> None:
    """For whoever has installed the package: it says that it is typed."""
    lines = "".join(b.text for b in blocks((ROOT / "README.md").read_text("utf-8")) if b.language == "python")
    (tmp_path / "lines.py").write_text(lines + "seconds: int = session.edit('island.png').seconds\n")
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file=", "lines.py"]
    said = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True).stdout
    assert 'expression has type "float", variable has type "int"' in said and "Found 1 error in 1 file" in said
