"""Which compiler the model of Metal takes: whatever a machine has, there is one, the package ziglang's."""

from __future__ import annotations

from pathlib import Path

import pytest

from sige_mlx.metal.sim import toolchain


def program(path: Path, status: int) -> str:
    path.write_text(f"#!/bin/sh\nexit {status}\n")
    path.chmod(0o755)
    return str(path)


@pytest.fixture(autouse=True)
def unset(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("SIGE_SIM_CXX", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))


def test_where_there_is_no_clang() -> None:
    zig, verb = toolchain.compiler() or []
    assert Path(zig).name == "zig" and Path(zig).is_file() and verb == "c++"


def test_an_installed_clang_comes_first(tmp_path: Path) -> None:
    clang = program(tmp_path / "clang++", 0)
    assert toolchain.compiler() == [clang]


def test_a_clang_that_refuses_our_flags_is_passed_over(tmp_path: Path) -> None:
    """It is too old, or has no headers of C++."""
    program(tmp_path / "clang++-19", 1)
    assert Path((toolchain.compiler() or [""])[0]).name == "zig"
    clang = program(tmp_path / "clang++-18", 0)
    toolchain._found.cache_clear()
    assert toolchain.compiler() == [clang]


def test_one_that_is_named_is_not_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGE_SIM_CXX", "nice 'a clang' -v")
    assert toolchain.compiler() == ["nice", "a clang", "-v"]


def test_its_own_caches_are_in_ours(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """zig would fill the user's, and what it keeps beside what we keep would be the same twice."""
    told = tmp_path / "told"
    recorder = tmp_path / "recorder"
    recorder.write_text(f'#!/bin/sh\necho "$ZIG_GLOBAL_CACHE_DIR|$ZIG_LOCAL_CACHE_DIR" >"{told}"\n')
    recorder.chmod(0o755)
    monkeypatch.setenv("SIGE_SIM_CXX", f"'{recorder}'")
    toolchain.run([], "nothing", "scratch")
    assert told.read_text() == f"{toolchain.folder() / 'zig'}|scratch\n"
