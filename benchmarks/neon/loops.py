"""The inner loops of the matrix products, as macOS wheels have them, on LLVM's model of a core.

The stand-in for Apple's fast cores is Arm's Neoverse V1: four vector pipes, each for a fused multiply-add of four
floats that takes four cycles, and three loads a cycle. LLVM's own `apple-m1` is the model of a core of 2013 with three
pipes. The analysis takes every load for one from the first-level cache.
"""

import json
import re
import shlex
import shutil
from dataclasses import dataclass
from pathlib import Path

from benchmarks.neon import cross
from sige_mlx.errors import SigeError

CORE = "neoverse-v1"
PIPES = 4
ITERATIONS = 1000
OLDEST = 17
"""Versions of LLVM before have the core by the model of another one."""

_ANALYSERS = ("llvm-mca", *(f"llvm-mca-{version}" for version in range(30, 16, -1)))
_FMA = re.compile(r"\s*fml[as]\.4s\b|\s*fml[as]\s+v\d+\.4s")
_LABEL = re.compile(r"(\w[\w.$]*):")
_KERNEL = re.compile(r"_?((?:WHOLE|NARROW)_\d+)")
_BRANCH = re.compile(r"\s*(?:b\.\w+|cbn?z\s+\w+,|tbn?z\s+\w+,[^,]+,)\s*(\w[\w.$]*)$")


@dataclass(frozen=True)
class Loop:
    """The inner loop of a micro-kernel: `WHOLE_6` sums six rows of a whole panel, `NARROW_10` ten of half a one."""

    kernel: str
    instructions: int
    fmas: int
    stack: int
    """Instructions that use memory of the stack: spilled registers."""
    fmas_per_cycle: float

    @property
    def rows(self) -> int:
        return int(self.kernel.rpartition("_")[2])


def analyser() -> str | None:
    """The name of LLVM's analyser, of a version that has the core; None where there is none."""
    for name in _ANALYSERS:
        if path := shutil.which(name):
            version = re.search(r"LLVM version (\d+)", cross.run(path, "--version").stdout)
            if version and int(version[1]) >= OLDEST:
                return path
    return None


def loops(folder: Path) -> list[Loop]:
    """Compiles the products into a folder, and analyses the loops of all micro-kernels. Raises `SigeError` where a
    program is missing."""
    program = analyser()
    if program is None:
        raise SigeError("LLVM's analyser is missing, llvm-mca of version 17 or newer (Debian: llvm-19)")
    found = []
    for kernel, body in _bodies(_compiled(folder)).items():
        (folder / "loop.s").write_text("\n".join(body) + "\n")
        told = cross.run(
            program, "-mtriple=aarch64-apple-macos", f"-mcpu={CORE}", f"-iterations={ITERATIONS}", folder / "loop.s"
        ).stdout
        cycles = re.search(r"Total Cycles:\s+(\d+)", told)
        assert cycles
        instructions = [line for line in body if not _LABEL.match(line)]
        fmas = sum(bool(_FMA.match(line)) for line in instructions)
        stack = sum("sp" in re.findall(r"\w+", line) for line in instructions)
        found.append(Loop(kernel, len(instructions), fmas, stack, fmas * ITERATIONS / int(cycles[1])))
    return sorted(found, key=lambda loop: (loop.kernel.rpartition("_")[0], loop.rows))


def _compiled(folder: Path) -> str:
    """The products in assembly, by the flags of a wheel."""
    made = cross.configure(
        folder, "aarch64-macos.14.0", "-DSIGE_TESTS=OFF", "-DSIGE_WERROR=OFF", "-DCMAKE_EXPORT_COMPILE_COMMANDS=ON"
    )
    commands = json.loads((made / "compile_commands.json").read_text())
    (command,) = (c for c in commands if c["file"].endswith("gemm.c"))
    arguments = shlex.split(command["command"])
    arguments[arguments.index("-o") + 1] = str(folder / "gemm.s")
    arguments[arguments.index("-c")] = "-S"
    cross.run(*arguments, "-g0", **cross.libc(folder))
    return (folder / "gemm.s").read_text()


def _bodies(assembly: str) -> dict[str, list[str]]:
    """The lines of each micro-kernel's inner loop, its label first: of those loops that have no label inside, the one
    that multiplies most."""
    found: dict[str, list[str]] = {}
    kernel, block = "", [""]
    for raw in assembly.splitlines():
        line = re.split(r";|//", raw)[0].rstrip()
        if label := _LABEL.match(line):
            if entered := _KERNEL.fullmatch(label[1]):
                kernel = entered[1]
            elif not label[1].startswith(("L", ".L", "l")):
                kernel = ""
            block = [line]
            continue
        if not line.strip() or line.strip().startswith("."):
            continue
        block.append(line)
        branch = _BRANCH.match(line)
        if kernel and branch and block[0] == f"{branch[1]}:" and _count(block) > _count(found.get(kernel, [])):
            found[kernel] = list(block)
    return found


def _count(lines: list[str]) -> int:
    return sum(bool(_FMA.match(line)) for line in lines)
