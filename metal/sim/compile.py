"""From a captured kernel to a function that the runtime calls."""

import ctypes
import functools
import json
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

from . import toolchain
from .capture import Captured
from .instrument import Block, instrument
from .ir import Place
from .lint import lint
from .rewrite import rewrite


@dataclass(frozen=True)
class Module:
    """A compiled kernel."""

    name: str
    source: str
    entry: int
    """Address of `sim_entry`."""
    buffers: tuple[str, ...]
    arrays: tuple[str, ...]
    sites: tuple[Place, ...]
    blocks: tuple[Block, ...]
    indexed: tuple[Place, ...]
    """Where an array of a thread's is indexed by what is known only at run time: no fault, but a trap."""


_modules: dict[tuple[str, bool], Module] = {}
_libraries: list[ctypes.CDLL] = []  # a kernel stays loaded: its code may be in use


def compiled(kernel: Captured, count: bool) -> Module:
    """The kernel's module, from memory, from the cache folder or from the compiler. Raises `SimError` when Metal would
    refuse the text, with the first reason."""
    key = (kernel.source, count)
    if key not in _modules:
        _modules[key] = _load(kernel, count)
    return _modules[key]


def runtime() -> ctypes.CDLL:
    """The loaded runtime; kernels find its functions because it is loaded for all."""
    if not _libraries:
        library = ctypes.CDLL(str(toolchain.runtime_library()), mode=ctypes.RTLD_GLOBAL)
        library.sim_launch.restype = None
        _libraries.append(library)
    return _libraries[0]


def _load(kernel: Captured, count: bool) -> Module:
    stem = toolchain.digest(kernel.source, toolchain.headers_digest(), _translation(), str(count))
    library, notes = toolchain.folder() / f"{stem}.so", toolchain.folder() / f"{stem}.json"
    if not (library.exists() and notes.exists()):
        _compile(kernel, count, library, notes)
    found = json.loads(notes.read_text())
    runtime()
    loaded = ctypes.CDLL(str(library))
    _libraries.append(loaded)
    entry = ctypes.cast(loaded.sim_entry, ctypes.c_void_p).value
    assert entry is not None
    return Module(
        kernel.name,
        kernel.source,
        entry,
        tuple(found["buffers"]),
        tuple(found["arrays"]),
        tuple(Place(**p) for p in found["sites"]),
        tuple(Block(**b) for b in found["blocks"]),
        tuple(Place(**p) for p in found["indexed"]),
    )


@functools.cache
def _translation() -> str:
    """The text of what translates a kernel: what is compiled depends on it."""
    names = (
        *(
            "compile",
            "declarations",
            "identifiers",
            "instrument",
            "ir",
            "language",
            "lint",
            "reserved",
            "rewrite",
            "rules",
        ),
        *("statements", "tokens"),
    )
    return "".join((Path(__file__).parent / f"{name}.py").read_text() for name in names)


def _compile(kernel: Captured, count: bool, library: Path, notes: Path) -> None:
    lint(kernel.name, kernel.source)
    host = rewrite(kernel.source)
    with tempfile.TemporaryDirectory(dir=toolchain.folder()) as work:
        source, optimised, checked = (Path(work) / f"kernel.{suffix}" for suffix in ("cpp", "ll", "checked.ll"))
        source.write_text(host.text)
        flags = [*toolchain.prelude(count), "-S", "-emit-llvm", str(source)]
        toolchain.build(optimised, flags, f"kernel {kernel.name} does not compile")
        result = instrument(optimised.read_text(), kernel.name, count)
        checked.write_text(result.text)
        toolchain.build(library, [*toolchain.link_flags(), str(checked)], f"kernel {kernel.name} does not link")
    found = {
        "buffers": host.buffers,
        "arrays": host.arrays,
        "sites": [asdict(s) for s in result.sites],
        "blocks": [asdict(b) for b in result.blocks],
        "indexed": [asdict(p) for p in result.indexed],
    }
    toolchain.write(notes, json.dumps(found))
