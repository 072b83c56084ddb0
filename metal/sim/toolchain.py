"""The compiler, the cache folder, and what is compiled once per machine: the runtime and the precompiled headers."""

import functools
import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
from importlib import metadata, util
from pathlib import Path

import mlx.core as mx

from .errors import SimError
from .rewrite import rewrite_header

_HERE = Path(__file__).resolve().parent
INCLUDE = _HERE / "include"
RUNTIME = _HERE / "runtime"
_CANDIDATES = ("clang++-19", "clang++", *(f"clang++-{n}" for n in range(24, 16, -1)))

_LANGUAGE = [
    "-std=c++14",  # as Metal before version 4
    "-Wno-c++17-extensions",  # which Metal takes, too
    "-fno-exceptions",
    "-fno-rtti",
    "-fno-strict-aliasing",
    "-fPIC",
    "-ffp-contract=on",  # within an expression, as Metal does
    "-Xclang",
    "-ffloat16-excess-precision=none",  # every operation on half rounds to half
    "-Xclang",
    "-fbfloat16-excess-precision=none",
]
KERNEL_FLAGS = [
    *_LANGUAGE,
    "-O2",
    # The optimisations of a GPU's compiler, not those that suit a CPU: an access stays one of one lane.
    "-fno-vectorize",
    "-fno-slp-vectorize",
    "-fno-unroll-loops",
    "-mllvm",
    "-disable-vector-combine",  # a load of a vector stays one, whatever part of it is used
    "-fno-builtin-memset",
    "-fno-builtin-memcpy",
    "-fconvergent-functions",  # any may hold a barrier: no call moves below a branch, no two become one
    "-fno-optimize-sibling-calls",  # recursion stays visible
    "-fno-threadsafe-statics",
    "-fno-math-errno",
    "-gline-tables-only",
    "-fsanitize=array-bounds,integer-divide-by-zero",
    "-fno-sanitize-recover=all",
    "-Werror=vla-extension",
    "-Werror=return-type",
    "-Wno-unknown-attributes",
    "-Wno-ignored-attributes",
    "-Wno-undefined-internal",
    "-Wno-psabi",
    "-Wno-duplicate-decl-specifier",  # constant is const already
]


def compiler() -> list[str] | None:
    """The command of a clang that compiles C++: SIGE_SIM_CXX, an installed clang that can do what we need, or that of
    the package ziglang."""
    if command := os.environ.get("SIGE_SIM_CXX"):
        return shlex.split(command)
    return _found(os.environ.get("PATH", ""))


@functools.cache
def _found(path: str) -> list[str] | None:
    for name in _CANDIDATES:
        if (program := shutil.which(name, path=path)) and _suits([program]):
            return [program]
    if package := util.find_spec("ziglang"):
        return [str(Path(package.origin or "").with_name("zig")), "c++"]
    return None


_TRIAL = """
#include <thread>
#include <unordered_map>
__bf16 sum(__bf16 a, __bf16 b) { return a + b; }
_Float16 sum(_Float16 a, _Float16 b) { return a + b; }
"""


def _suits(command: list[str]) -> bool:
    """Whether a compiler is new enough, and has C++'s headers: Debian 12's clang is 14, and may come without them."""
    with tempfile.TemporaryDirectory() as work:
        (source := Path(work) / "trial.cpp").write_text(_TRIAL)
        flags = [*KERNEL_FLAGS, *_march(command), "-std=c++17"]
        arguments = [*flags, "-c", str(source), "-o", str(source.with_suffix(".o"))]
        return subprocess.run([*command, *arguments], capture_output=True).returncode == 0


def required_compiler() -> list[str]:
    """`compiler()`; raises `SimError` when there is none."""
    command = compiler()
    if command is None:
        raise SimError("compiling Metal for this machine needs clang 17 or newer, or the Python package ziglang")
    return command


@functools.cache
def _version(command: tuple[str, ...]) -> str:
    return subprocess.run([*command, "--version"], capture_output=True, text=True).stdout


def target_flags() -> list[str]:
    """Vector and half-precision instructions, where the processor has them."""
    return _march(required_compiler())


def _march(command: list[str]) -> list[str]:
    if platform.machine() not in ("x86_64", "AMD64"):
        return []
    level = 3 if _processor() >= {"avx2", "f16c", "fma"} else 2
    return [f"-march=x86_64_v{level}" if Path(command[0]).name == "zig" else f"-march=x86-64-v{level}"]


@functools.cache
def _processor() -> frozenset[str]:
    """What an x86-64 processor has, by Linux's names."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    return frozenset(next((line.split(":")[1].split() for line in lines if line.startswith("flags")), []))


def mlx_include() -> Path:
    """The folder of the Metal headers that MLX's wheel brings."""
    return Path(mx.__file__).parent / "include"


def folder() -> Path:
    """Where compiled kernels are kept: SIGE_SIM_CACHE, or `metal-sim` among the user's caches. Raises `SimError` where
    that is nowhere, or may not be written."""
    caches = os.environ.get("XDG_CACHE_HOME") or os.path.join("~", ".cache")
    path = Path(os.path.expanduser(os.environ.get("SIGE_SIM_CACHE") or os.path.join(caches, "metal-sim")))
    wanted = "SIGE_SIM_CACHE may name a folder for compiled kernels"
    if path.parts[0].startswith("~"):
        raise SimError(f"{path}: it cannot be told whose home that is; {wanted}")
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SimError(f"{path} cannot be made a folder ({error.strerror}); {wanted}") from error
    return path


def digest(*parts: str) -> str:
    """A name for something compiled from these texts by this compiler."""
    text = "\0".join([*parts, _version(tuple(required_compiler())), *target_flags()])
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def headers_digest() -> str:
    """Changes with the headers a kernel sees, ours and MLX's, with where they are, and with how it is compiled."""
    files = sorted(p for p in INCLUDE.rglob("*") if p.is_file())
    texts = [p.read_text() for p in files]
    flags = [*KERNEL_FLAGS, *link_flags()]
    return digest(*texts, _mlx_utils(), metadata.version("mlx"), str(INCLUDE), str(mlx_include()), *flags)


def run(arguments: list[str], what: str, work: str) -> None:
    """Runs the compiler, which may leave files in the folder `work`; raises `SimError` with what it says."""
    # zig has a cache of its own. The part for all is C++'s library, made once; the other would keep all that we keep.
    caches = {"ZIG_GLOBAL_CACHE_DIR": str(folder() / "zig"), "ZIG_LOCAL_CACHE_DIR": work}
    command = [*required_compiler(), *arguments]
    result = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **caches})
    if result.returncode:
        raise SimError(f"{what}: {_summary(result.stderr)}")


def _summary(messages: str) -> str:
    """The first error, with the note that explains it."""
    lines = messages.strip().splitlines()
    errors = [i for i, line in enumerate(lines) if "error:" in line]
    if not errors:
        return messages.strip() or "the compiler failed without a word"
    return "\n".join(lines[errors[0] : errors[0] + 12])


def build(path: Path, arguments: list[str], what: str) -> Path:
    """Makes `path` with the compiler unless it is there; concurrent processes do not disturb each other."""
    if not path.exists():
        with tempfile.TemporaryDirectory(dir=folder()) as work:
            made = Path(work) / path.name
            run([*arguments, "-o", str(made)], what, work)
            made.replace(path)
    return path


@functools.cache
def _mlx_utils() -> str:
    """What MLX puts in front of a kernel, with what clang does not take rewritten."""
    return rewrite_header((mlx_include() / "mlx/backend/metal/kernels/utils.h").read_text())


def write(path: Path, text: str) -> None:
    """Writes a file of the cache, whole or not at all."""
    with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False) as file:
        file.write(text)
    Path(file.name).replace(path)


def prelude(count: bool) -> list[str]:
    """Flags that compile a kernel, behind what MLX puts in front of it and what that stands on here: precompiled."""
    stem = f"prelude-{headers_digest()}"
    generated = folder() / stem
    generated.mkdir(exist_ok=True)
    if not (generated / "mlx_utils.h").exists():
        write(generated / "mlx_utils.h", _mlx_utils())
    include = [f"-I{INCLUDE}", f"-I{mlx_include()}", f"-I{generated}"]
    flags = [*KERNEL_FLAGS, *target_flags(), *include, *(["-DSIM_COUNT"] if count else [])]
    header = folder() / f"{stem}{'-count' if count else ''}.pch"
    # Templates are instantiated once, here; and a header that is only touched stays the same.
    options = ["-fpch-instantiate-templates", "-Xclang", "-fno-pch-timestamp", "-x", "c++-header"]
    build(header, [*flags, *options, str(INCLUDE / "msl" / "prelude.h")], "the headers do not compile")
    return [*flags, "-include-pch", str(header)]


def link_flags() -> list[str]:
    """Flags that make a kernel a library whose other half, the runtime, is loaded already."""
    # Of the functions that both have, such as the checks, a kernel calls its own: they count, or they do not.
    missing = ["-Wl,-undefined,dynamic_lookup"] if sys.platform == "darwin" else ["-nostdlib", "-Wl,-Bsymbolic"]
    # Optimised before the checks went in; with them, the same passes take seconds to tens of seconds and gain little.
    return ["-O1", "-Xclang", "-disable-llvm-passes", "-fPIC", "-shared", *missing]


def runtime_library() -> Path:
    """The runtime as a shared library."""
    sources = sorted(RUNTIME.glob("*.cpp"))
    texts = [p.read_text() for p in [*sources, *sorted(RUNTIME.glob("*.h")), *sorted((INCLUDE / "msl").glob("*.h"))]]
    path = folder() / f"libsim-{digest(*texts)}.so"
    flags = ["-std=c++17", "-O2", "-fPIC", "-shared", "-pthread", f"-I{INCLUDE}", *target_flags()]
    return build(path, [*flags, *map(str, sources)], "the runtime does not compile")
