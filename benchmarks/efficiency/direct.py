"""The CPU library as it would be without Winograd's convolutions, built of the checkout's sources."""

import shutil
import subprocess
import sys
from pathlib import Path

from sige_mlx.errors import SigeError

CPU = Path(__file__).parents[2] / "cpu"

SOURCE, LEAST, MORE = "src/pack.c", "WINOGRAD_C = 16", "WINOGRAD_C = 1 << 24"
"""Sources of fewer channels are not worth a transform, the library says: here none are."""


def library_without_winograd(folder: Path) -> Path:
    """Builds it in an empty folder. Raises `SigeError` where CMake or a compiler lacks, or the sources have changed."""
    cmake = shutil.which("cmake", path=str(Path(sys.executable).parent)) or shutil.which("cmake")
    if cmake is None:
        raise SigeError("a library without Winograd is built by CMake: pip install cmake ninja")
    source, build = folder / "cpu", folder / "build"
    shutil.copytree(CPU, source)
    text = (source / SOURCE).read_text()
    if text.count(LEAST) != 1:
        raise SigeError(
            f"cpu/{SOURCE} has no {LEAST!r}: say in benchmarks/efficiency/direct.py what turns Winograd off"
        )
    (source / SOURCE).write_text(text.replace(LEAST, MORE))
    options = ["-DSIGE_TESTS=OFF", "-DSIGE_BENCH=OFF", "-DCMAKE_BUILD_TYPE=Release"]
    _run([cmake, "-S", str(source), "-B", str(build), *options])
    _run([cmake, "--build", str(build), "--target", "sige_cpu"])
    return next(path for path in build.iterdir() if path.name.startswith("libsige_cpu."))


def _run(command: list[str]) -> None:
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        raise SigeError(f"the library without Winograd cannot be built: {done.stdout.strip().splitlines()[-1]}")
