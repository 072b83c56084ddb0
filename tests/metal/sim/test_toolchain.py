"""Which compiler the model of Metal takes, and what it is told of the processor. Whatever a machine has, there is a
compiler: that of the package ziglang."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import mlx.core as mx
import numpy as np
import pytest

from metal.sim import SimError, toolchain
from tests.metal.sim.kernels import result


def program(path: Path, status: int) -> str:
    path.write_text(f"#!/bin/sh\nexit {status}\n")
    path.chmod(0o755)
    return str(path)


@pytest.fixture
def only_ours(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No compiler but what a test puts into `tmp_path`."""
    monkeypatch.delenv("SIGE_SIM_CXX", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))


@pytest.mark.usefixtures("only_ours")
def test_where_there_is_no_clang() -> None:
    zig, verb = toolchain.compiler() or []
    assert Path(zig).name == "zig" and Path(zig).is_file() and verb == "c++"


@pytest.mark.usefixtures("only_ours")
def test_an_installed_clang_comes_first(tmp_path: Path) -> None:
    clang = program(tmp_path / "clang++", 0)
    assert toolchain.compiler() == [clang]


@pytest.mark.usefixtures("only_ours")
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


def test_a_processor_without_instructions_for_half(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every half, and floats at and beside the middle of two: what the processor lacks, the runtime has."""
    monkeypatch.setattr(toolchain, "_processor", frozenset)
    halves = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    halves = halves[~np.isnan(halves)]
    with np.errstate(over="ignore"):
        middle = (halves.astype(np.float32) + np.nextafter(halves, np.float16(np.inf)).astype(np.float32)) / 2
        floats = np.concatenate(
            [halves, middle, *(np.nextafter(middle, np.float32(s * np.inf)) for s in (-1, 1)), [np.nan]]
        )
        floats = floats.astype(np.float32)
        expected = floats.astype(np.float16).astype(np.float32)
    body = "const uint i = thread_position_in_grid.x; if (i < x_shape[0]) out[i] = float(half(x[i]));"
    size = -(-len(floats) // 32) * 32
    found = result(body, mx.array(floats), shape=floats.shape, grid=(size, 1, 1))
    np.testing.assert_array_equal(found, expected)


def test_a_kernel_on_such_a_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    """Products, sums and a fused one of halves, one rounding each; bfloat too."""
    monkeypatch.setattr(toolchain, "_processor", frozenset)
    rng = np.random.default_rng(0)
    a, b, c = rng.standard_normal((3, 32)).astype(np.float16)
    body = """
        const uint i = thread_index_in_threadgroup;
        half a = x[i], b = x[32 + i], c = x[64 + i];
        out[i] = a * b;
        out[32 + i] = a + b;
        out[64 + i] = fma(a, b, c);
        out[96 + i] = float(bfloat(float(a)));
    """
    found = result(body, mx.array(np.concatenate([a, b, c])), shape=(4, 32))
    fused = (a.astype(np.float64) * b + c).astype(np.float16)
    rounded = np.array(mx.array(a.astype(np.float32)).astype(mx.bfloat16).astype(mx.float32))
    np.testing.assert_array_equal(found, np.stack([a * b, a + b, fused, rounded]).astype(np.float32))


def test_compiled_kernels_are_kept_where_one_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for setting, expected in (
        (str(tmp_path / "here"), tmp_path / "here"),
        ("~/there", tmp_path / "home" / "there"),
        ("", tmp_path / "caches" / "metal-sim"),
    ):
        monkeypatch.setenv("SIGE_SIM_CACHE", setting)
        assert toolchain.folder() == expected and expected.is_dir()
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert toolchain.folder() == tmp_path / "home" / ".cache" / "metal-sim"


def test_where_they_cannot_be_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for setting, sentence in (
        ("~nobody-of-this-name/x", "it cannot be told whose home that is; SIGE_SIM_CACHE may name a folder"),
        (str(tmp_path / "file" / "x"), r"x cannot be made a folder \(Not a directory\); SIGE_SIM_CACHE may name"),
    ):
        monkeypatch.setenv("SIGE_SIM_CACHE", setting)
        with pytest.raises(SimError, match=sentence):
            toolchain.folder()


def test_it_knows_nothing_of_the_package() -> None:
    program = "import sys, metal.sim; print([name for name in sys.modules if name.startswith('sige_mlx')])"
    root = Path(__file__).parents[3]
    assert subprocess.check_output([sys.executable, "-c", program], cwd=root, text=True) == "[]\n"
