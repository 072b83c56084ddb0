"""The C library: compiles without a warning for every platform, and its own tests pass, also under sanitizers."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from platform import machine

import pytest

from sige_mlx.metal.sim import toolchain

CPU = Path(__file__).parents[2] / "cpu"
COMPILERS = [compiler for compiler in ("gcc", "clang", "clang-19") if shutil.which(compiler)] or ["cc"]
TOOLS = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
"""Where programs are: those of this environment, CMake and Ninja among them, come first."""
CMAKE = shutil.which("cmake", path=TOOLS) or "cmake"


def run(*command: str | Path, **environment: str) -> None:
    done = subprocess.run(
        [str(part) for part in command],
        capture_output=True,
        text=True,
        env={**os.environ, "PATH": TOOLS, **environment},
    )
    assert done.returncode == 0, f"{command}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"


def build(folder: Path, preset: str, compiler: str, *options: str) -> Path:
    """Configures and builds cpu/ into `folder`; returns its test program."""
    run(
        CMAKE, "-S", CPU, "-B", folder, "-G", "Ninja", "--preset", preset,
        f"-DCMAKE_C_COMPILER={compiler}", "-DSIGE_BENCH=ON", "-DCMAKE_EXPORT_COMPILE_COMMANDS=ON", *options,
    )  # fmt: skip
    run(CMAKE, "--build", folder, "--parallel", "2")
    return folder / "tests" / "sige_cpu_tests"


def test_c_tests_pass_in_a_release_build(tmp_path: Path) -> None:
    run(build(tmp_path, "release", COMPILERS[0]), SIGE_TEST_PERCENT="20")


@pytest.mark.slow
@pytest.mark.parametrize("compiler", COMPILERS)
def test_all_of_the_c_tests_pass(compiler: str, tmp_path: Path) -> None:
    run(build(tmp_path, "release", compiler))


@pytest.mark.slow
@pytest.mark.parametrize("preset", ["address", "thread"])
def test_c_tests_pass_under_sanitizers(preset: str, tmp_path: Path) -> None:
    run(build(tmp_path, preset, COMPILERS[-1]), SIGE_TEST_PERCENT="30")


@pytest.mark.slow
@pytest.mark.skipif(machine() not in ("x86_64", "AMD64"), reason="only x86-64 has AVX2")
def test_c_tests_pass_without_avx2(tmp_path: Path) -> None:
    """The generic face of simd.h."""
    run(build(tmp_path, "release", COMPILERS[0], "-DSIGE_MARCH=-march=x86-64"), SIGE_TEST_PERCENT="30")


@cache
def compile_flags(folder: Path) -> tuple[str, ...]:
    """The flags CMake gave the library's sources, less those of one machine."""
    build(folder, "release", COMPILERS[0])
    commands = json.loads((folder / "compile_commands.json").read_text())
    flags = next(entry["command"].split() for entry in commands if entry["file"].endswith("src/gemm.c"))
    return tuple(flag for flag in flags[1 : flags.index("-o")] if flag not in ("-mavx2", "-mfma", "-mcpu=apple-m1"))


def cross_compile(tmp_path: Path, target: str, sources: list[Path], *flags: str) -> Path:
    output = tmp_path / target
    zig = [sys.executable, "-m", "ziglang", "cc", "-target", target]
    libc = {"ZIG_GLOBAL_CACHE_DIR": str(toolchain.folder() / "zig"), "ZIG_LOCAL_CACHE_DIR": str(tmp_path)}
    run(*zig, *compile_flags(tmp_path / "build"), *flags, *sources, "-o", output, "-lm", **libc)
    return output


@pytest.mark.slow
@pytest.mark.parametrize(
    ("target", "magic"),
    [
        ("aarch64-linux-gnu.2.28", b"\x7fELF"),
        ("aarch64-macos.12.0", b"\xcf\xfa\xed\xfe"),
        ("x86_64-linux-musl", b"\x7fELF"),
    ],
)
def test_library_cross_compiles(target: str, magic: bytes, tmp_path: Path) -> None:
    library = cross_compile(tmp_path, target, sorted(CPU.glob("src/*.c")), "-shared")
    assert library.read_bytes().startswith(magic)


@pytest.mark.slow
@pytest.mark.skipif(machine() != "aarch64" and not shutil.which("qemu-aarch64"), reason="qemu-user is not installed")
def test_c_tests_pass_on_neon(tmp_path: Path) -> None:
    sources = sorted(CPU.glob("src/*.c")) + sorted(CPU.glob("tests/*.c"))
    program = cross_compile(tmp_path, "aarch64-linux-musl", sources, "-static")
    emulator = [] if machine() == "aarch64" else ["qemu-aarch64"]
    run(*emulator, program, SIGE_TEST_PERCENT="4")
