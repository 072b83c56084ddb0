"""The wheel for Macs with Apple silicon that is cross-built here: all that can be known of it without a Mac."""

from __future__ import annotations

import hashlib
import struct
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
from macholib import mach_o
from macholib.MachO import MachO
from macholib.ptypes import sizeof

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (Path(sys.prefix) / ".test").exists(), reason="needs an environment made by make"),
]

ROOT = Path(__file__).resolve().parents[2]
LIBRARY = "sige_mlx/_native/libsige_cpu.dylib"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("dist")
    subprocess.run(["make", "macos-wheel", f"VENV={sys.prefix}", f"DIST={out}"], cwd=ROOT, check=True)
    (path,) = out.iterdir()
    return path


@pytest.fixture(scope="module")
def library(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    with zipfile.ZipFile(wheel) as archive:
        return Path(archive.extract(LIBRARY, tmp_path_factory.mktemp("wheel")))


@pytest.fixture(scope="module")
def commands(library: Path) -> dict[int, list[tuple[Any, Any]]]:
    """Load commands and what follows them, by kind."""
    (header,) = MachO(str(library)).headers
    found: dict[int, list[tuple[Any, Any]]] = {}
    for load, command, data in header.commands:
        found.setdefault(load.cmd, []).append((command, data))
    return found


def test_tag(wheel: Path) -> None:
    assert wheel.name.endswith("-py3-none-macosx_14_0_arm64.whl")
    with zipfile.ZipFile(wheel) as archive:
        (metadata,) = (n for n in archive.namelist() if n.endswith(".dist-info/WHEEL"))
        assert "Tag: py3-none-macosx_14_0_arm64\n" in archive.read(metadata).decode()
        assert archive.testzip() is None
        assert not [n for n in archive.namelist() if n.endswith(".so")], "a library of this machine"


def test_the_kernels_are_in_it(wheel: Path) -> None:
    files = [p.relative_to(ROOT).as_posix() for suffix in ("metal", "h") for p in (ROOT / "metal").rglob(f"*.{suffix}")]
    expected = {f"sige_mlx/{name}" for name in files if not name.startswith("metal/sim/")}
    assert {"sige_mlx/metal/conv/conv.metal", "sige_mlx/metal/params.h"} <= expected
    with zipfile.ZipFile(wheel) as archive:
        assert expected <= {*archive.namelist()}


def test_library_is_for_apple_silicon(library: Path) -> None:
    (header,) = MachO(str(library)).headers
    assert mach_o.CPU_TYPE_NAMES[header.header.cputype] == "ARM64"
    assert header.filetype == "dylib"


def test_deployment_target(commands: dict[int, list[tuple[Any, Any]]]) -> None:
    ((version, _),) = commands[mach_o.LC_BUILD_VERSION]
    assert version.platform == 1, "macOS"
    assert version.minos == 14 << 16


def test_names(commands: dict[int, list[tuple[Any, Any]]]) -> None:
    """It is found by where it lies, and needs nothing that is not on every Mac."""
    ((_, name),) = commands[mach_o.LC_ID_DYLIB]
    assert name.rstrip(b"\0") == b"@rpath/libsige_cpu.dylib"
    assert [name.rstrip(b"\0") for _, name in commands[mach_o.LC_LOAD_DYLIB]] == [b"/usr/lib/libSystem.B.dylib"]


def test_threads_are_of_those_that_a_user_waits_for(library: Path) -> None:
    """Threads without a class of their own macOS may keep from the fast cores; and slow cores are not counted."""
    names = library.read_bytes()
    assert b"_pthread_set_qos_class_self_np" in names and b"hw.perflevel0.logicalcpu" in names


def test_exports_are_the_abi(commands: dict[int, list[tuple[Any, Any]]], library: Path) -> None:
    """Every function that `sige_cpu.h` declares, and besides what the linker adds no other."""
    ((table, _),) = commands[mach_o.LC_SYMTAB]
    content = library.read_bytes()
    exported, size = set(), sizeof(mach_o.nlist_64)
    for i in range(table.nsyms):
        entry = mach_o.nlist_64.from_str(content[table.symoff + i * size :][:size], _endian_="<")
        external, private, section = entry.n_type & 0x01, entry.n_type & 0x10, entry.n_type & 0x0E == 0x0E
        if external and section and not private:
            name = content[table.stroff + entry.n_un :]
            exported.add(name[: name.index(b"\0")].decode().removeprefix("_"))
    declared = {
        line.split("(")[0].split()[-1].lstrip("*")
        for line in (ROOT / "cpu" / "sige_cpu.h").read_text().splitlines()
        if line.startswith("SIGE_API")
    }
    assert exported - {"_mh_dylib_header", "__dso_handle"} == declared


def test_signature(commands: dict[int, list[tuple[Any, Any]]], library: Path) -> None:
    """Apple silicon runs no unsigned code: the ad-hoc signature covers the file, and every page has its hash."""
    ((signature, _),) = commands[mach_o.LC_CODE_SIGNATURE]
    content = library.read_bytes()
    blob = content[signature.dataoff : signature.dataoff + signature.datasize]
    magic, _, count = struct.unpack(">III", blob[:12])
    assert magic == 0xFADE0CC0, "an embedded signature"
    slots = dict(struct.unpack(">II", blob[12 + 8 * i : 20 + 8 * i]) for i in range(count))
    directory = blob[slots[0] :]  # slot 0: the code directory
    magic, _, _, flags, hashes, _, _, pages, limit = struct.unpack(">IIIIIIIII", directory[:36])
    size, kind, _, page = struct.unpack("BBBB", directory[36:40])
    assert magic == 0xFADE0C02 and flags & 0x2, "a code directory, ad hoc"
    assert (kind, size) == (2, 32), "SHA-256"
    assert limit == signature.dataoff and pages == -(-limit // 2**page)
    for i in range(pages):
        covered = content[i << page : min((i + 1) << page, limit)]
        assert directory[hashes + size * i :][:size] == hashlib.sha256(covered).digest(), f"page {i}"
