"""Files of results that grow line by line."""

from __future__ import annotations

from pathlib import Path

import pytest

from sige_mlx.errors import SigeError
from sige_mlx.evaluation.lines import Lines, lines_file, read_lines

SETTINGS = {"methods": ["dense", "edit"], "device": "cpu"}


def line(case: int) -> dict[str, object]:
    return {"case": case, "name": f"case {case}"}


def written(folder: Path, cases: list[int], rank: int = 0) -> Path:
    with Lines(lines_file(folder, rank), SETTINGS) as lines:
        for case in cases:
            lines.add(line(case))
    return lines_file(folder, rank)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    written(tmp_path, [4, 2])
    written(tmp_path, [1], rank=1)
    written(tmp_path, [3])
    assert read_lines(tmp_path, SETTINGS) == {case: line(case) for case in (4, 2, 3, 1)}
    assert read_lines(tmp_path / "none", SETTINGS) == {}


def test_a_torn_last_line_is_none_and_is_gone_on_from(tmp_path: Path) -> None:
    """Wherever a kill has ended the writing."""
    path = written(tmp_path, [0, 1, 2])
    content = path.read_bytes()
    for length in range(0, len(content) + 1, 7):
        path.write_bytes(content[:length])
        whole = max(content[:length].count(b"\n") - 1, 0)
        expected = {case: line(case) for case in range(whole)}
        assert read_lines(tmp_path, SETTINGS) == expected
        written(tmp_path, [7])
        assert read_lines(tmp_path, SETTINGS) == {**expected, 7: line(7)}


def test_other_settings_are_refused_and_named(tmp_path: Path) -> None:
    path = written(tmp_path, [0])
    before = path.read_bytes()
    other = {**SETTINGS, "device": "reference"}
    said = r"lines-0\.jsonl was begun with other settings \(device: cpu, not reference\): give another --out, or these$"
    with pytest.raises(SigeError, match=said):
        read_lines(tmp_path, other)
    with pytest.raises(SigeError, match=said):
        Lines(path, other)
    assert path.read_bytes() == before


def test_a_changed_line_is_told_and_nothing_is_lost(tmp_path: Path) -> None:
    """Whatever was changed in it, of what it says as much as of its form."""
    path = written(tmp_path, [0, 1, 2])
    content = path.read_bytes()
    starts = [i + 1 for i, byte in enumerate(content) if byte == ord("\n")]
    for place in range(starts[0], starts[2], 3):
        if content[place] in b"\n ":
            continue
        damaged = content[:place] + (b"7" if content[place] != ord("7") else b"8") + content[place + 1 :]
        path.write_bytes(damaged)
        for read in (lambda: read_lines(tmp_path, SETTINGS), lambda: Lines(path, SETTINGS)):
            with pytest.raises(SigeError, match=r"lines-0\.jsonl is damaged: .*give another --out"):
                read()
        assert path.read_bytes() == damaged


def test_two_runs_do_not_write_at_once(tmp_path: Path) -> None:
    path = written(tmp_path, [0])
    with Lines(path, SETTINGS) as lines:
        lines.add(line(1))
        with pytest.raises(SigeError, match=r"lines-0\.jsonl is written by another run: wait for its end, or"):
            Lines(path, SETTINGS)
        lines.add(line(2))
    written(tmp_path, [3])
    assert sorted(read_lines(tmp_path, SETTINGS)) == [0, 1, 2, 3]


@pytest.mark.parametrize("content", [b"{}\n", b"[]\n", b"7\n", b"{\n", b"\xff\n", b'{"sige-mlx evaluate": 9}\n'])
def test_other_files_are_refused_and_kept(tmp_path: Path, content: bytes) -> None:
    path = lines_file(tmp_path, 0)
    path.write_bytes(content)
    for read in (lambda: read_lines(tmp_path, SETTINGS), lambda: Lines(path, SETTINGS)):
        with pytest.raises(SigeError, match="give another --out"):
            read()
    assert path.read_bytes() == content
