"""The C library: compiles without a warning for every platform, and its own tests pass, also under sanitizers."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from platform import machine

import pytest

from benchmarks.neon import cross

COMPILERS = [compiler for compiler in ("gcc", "clang", "clang-19") if shutil.which(compiler)] or ["cc"]
CMAKE, CTEST = (shutil.which(name, path=cross.PATH) or name for name in ("cmake", "ctest"))

x86_64 = pytest.mark.skipif(machine() not in ("x86_64", "AMD64"), reason="another architecture than x86-64")


def run(*command: str | Path, **environment: str) -> str:
    """Runs a command that must succeed; returns what it prints."""
    done = subprocess.run(
        [str(part) for part in command],
        capture_output=True,
        text=True,
        env={**os.environ, "PATH": cross.PATH, **environment},
    )
    assert done.returncode == 0, f"{command}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    return done.stdout


def build(folder: Path, preset: str, compiler: str, *options: str) -> Path:
    """Configures and builds cpu/ into `folder`."""
    run(
        CMAKE, "-S", cross.CPU, "-B", folder, "-G", "Ninja", "--preset", preset,
        f"-DCMAKE_C_COMPILER={compiler}", "-DSIGE_BENCH=ON", *options,
    )  # fmt: skip
    run(CMAKE, "--build", folder, "--parallel", "2")
    return folder


def run_c_tests(folder: Path, percent: int) -> None:
    """On every instruction set that this machine has."""
    run(CTEST, "--test-dir", folder, "--output-on-failure", SIGE_TEST_PERCENT=str(percent))


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a release build."""
    return build(tmp_path_factory.mktemp("release"), "release", COMPILERS[0])


def test_c_tests_pass_in_a_release_build(release: Path) -> None:
    run_c_tests(release, 10)


@pytest.mark.slow
@pytest.mark.parametrize("compiler", COMPILERS)
def test_all_c_tests_pass_with_every_compiler(compiler: str, tmp_path: Path) -> None:
    run_c_tests(build(tmp_path, "release", compiler), 100)


@pytest.mark.slow
@pytest.mark.parametrize("preset", ["address", "thread"])
def test_c_tests_pass_under_sanitizers(preset: str, tmp_path: Path) -> None:
    run_c_tests(build(tmp_path, preset, COMPILERS[-1]), 40)


def objects(folder: Path, isa: str) -> list[Path]:
    """What was compiled for one instruction set, or for `every` processor."""
    found = sorted(folder.glob(f"CMakeFiles/sige_{isa}.dir/src/*.o"))
    assert found
    return found


@x86_64
@pytest.mark.skipif(not shutil.which("objdump"), reason="binutils are not installed")
@pytest.mark.parametrize(
    ("isa", "lacks"),
    [
        ("every", r"%[yz]mm|\tv[a-z]"),
        ("generic", r"%[yz]mm|\tv[a-z]"),
        ("avx2", r"%zmm|%[xy]mm(1[6-9]|[23][0-9])|%k[0-7]"),
    ],
)
def test_nothing_is_compiled_for_a_better_processor(release: Path, isa: str, lacks: str) -> None:
    """One instruction of AVX in what an old processor runs would kill the process."""
    code = subprocess.run(["objdump", "-d", "-w", *objects(release, isa)], capture_output=True, text=True, check=True)
    assert "%xmm" in code.stdout or isa == "every"
    found = [line for line in code.stdout.splitlines() if re.search(lacks, line)]
    assert not found, found[:5]


@x86_64
@pytest.mark.skipif(not shutil.which("nm"), reason="binutils are not installed")
def test_no_function_of_a_set_bears_the_name_of_anothers(release: Path) -> None:
    """Of two functions of one name a linker would keep either."""
    for isa in ("avx512", "avx2", "generic"):
        names = subprocess.run(
            ["nm", "-g", "--defined-only", *objects(release, isa)], capture_output=True, text=True, check=True
        )
        defined = [line.split()[-1] for line in names.stdout.splitlines() if len(line.split()) == 3]
        assert len(defined) > 20
        assert not [name for name in defined if not name.endswith(f"_{isa}")]


@x86_64
@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("qemu-x86_64"), reason="qemu-user is not installed")
@pytest.mark.parametrize(("processor", "isas"), [("Nehalem", ["generic"]), ("Haswell", ["avx2", "generic"])])
def test_c_tests_pass_on_older_processors(release: Path, processor: str, isas: list[str]) -> None:
    """The best set is chosen that such a processor has, and does not run into an instruction that it lacks."""
    emulator = [shutil.which("qemu-x86_64") or "", "-cpu", processor, release / "tests" / "sige_cpu_tests"]
    told = run(*emulator, SIGE_TEST_PERCENT="4", SIGE_CPU_ISA="")
    assert told.startswith(f"{isas[0]}, of {', '.join(isas)}\n")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("target", "magic"),
    [
        ("aarch64-linux-gnu.2.28", b"\x7fELF"),
        ("aarch64-macos.14.0", b"\xcf\xfa\xed\xfe"),
        ("x86_64-linux-gnu.2.28", b"\x7fELF"),
    ],
)
def test_library_cross_compiles(target: str, magic: bytes, tmp_path: Path) -> None:
    (library,) = cross.build(tmp_path, target, "-DSIGE_TESTS=OFF").glob("libsige_cpu.*")
    assert library.read_bytes().startswith(magic)


@x86_64
@pytest.mark.slow
def test_c_tests_pass_when_zig_compiles(tmp_path: Path) -> None:
    run_c_tests(cross.build(tmp_path, "x86_64-linux-musl", "-DCMAKE_EXE_LINKER_FLAGS=-static"), 10)
