"""Builds `cpu/` for other platforms, by the C compiler of zig, which also builds the wheels for macOS."""

import functools
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

from metal.sim import toolchain
from sige_mlx.errors import SigeError

CPU = Path(__file__).parents[2] / "cpu"
PATH = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
"""Where programs are: those of this environment, CMake and Ninja among them, come first."""

_SYSTEMS = {"linux": "Linux", "macos": "Darwin"}


def run(*command: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs a command and returns what it prints. Raises `SigeError` where it fails."""
    of = {**os.environ, "PATH": PATH, **environment}
    program = shutil.which(command[0], path=PATH)
    if program is None:
        raise SigeError(f"{command[0]} is not installed")
    done = subprocess.run(
        [program, *map(str, command[1:])],
        capture_output=True,
        text=True,
        env=of,
        check=False,
    )
    if done.returncode:
        raise SigeError(f"{' '.join(map(str, command))}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}")
    return done


@functools.cache
def zig() -> Path:
    """Raises `SigeError` where it is not installed."""
    spec = find_spec("ziglang")
    if spec is None or spec.origin is None:
        raise SigeError("the C compiler of zig is missing: install 'sige-mlx[cross]'")
    return Path(spec.origin).with_name("zig")


def libc(folder: Path) -> Mapping[str, str]:
    """Where zig keeps what it compiles: C libraries, which take long, in a cache that all builds share."""
    return {"ZIG_GLOBAL_CACHE_DIR": str(toolchain.folder() / "zig"), "ZIG_LOCAL_CACHE_DIR": str(folder)}


def configure(folder: Path, target: str, *options: str) -> Path:
    """Prepares a build for a target as zig names it, such as "aarch64-macos.14.0"; returns its folder."""
    folder = folder.resolve()
    architecture, system = target.split("-")[:2]
    described = folder / "zig.cmake"
    described.write_text(
        f"set(CMAKE_SYSTEM_NAME {_SYSTEMS[system.split('.')[0]]})\n"
        f"set(CMAKE_SYSTEM_PROCESSOR {architecture})\n"
        f'set(CMAKE_OSX_SYSROOT "" CACHE STRING "")\n'
        f"set(CMAKE_C_COMPILER {zig()} cc -target {target})\n"
        "set(SIGE_NEON_FLAGS -mcpu=apple_m1)\n"
    )
    build = folder / "build"
    run(
        "cmake", "-S", CPU, "-B", build, "-G", "Ninja", f"-DCMAKE_TOOLCHAIN_FILE={described}", "-DSIGE_WERROR=ON",
        "-DSIGE_BENCH=OFF", *options, **libc(folder),
    )  # fmt: skip
    return build


def build(folder: Path, target: str, *options: str) -> Path:
    """Builds for a target as zig names it; returns the folder of the build."""
    made = configure(folder, target, *options)
    run("cmake", "--build", made, "--parallel", "2", **libc(folder))
    return made
