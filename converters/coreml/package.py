"""Functions become the files of a package: one of several functions for macOS 15 and later, which stores the weights
once, or for macOS 13 and later a folder of packages of one function each."""

import contextlib
import io
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import coremltools as ct
from coremltools.converters.mil.mil import Function
from coremltools.converters.mil.mil import Program as Mil

from sige_mlx.converters.coreml.about import about, describe
from sige_mlx.converters.coreml.borders import OUTPUT, input_name
from sige_mlx.converters.coreml.functions import Functions
from sige_mlx.converters.coreml.joined import MODEL, WEIGHTS, Joined, spec_of
from sige_mlx.converters.coreml.saved import SUFFIX
from sige_mlx.converters.folder import staged_folder
from sige_mlx.engine.estimates import half as half_size
from sige_mlx.errors import SigeError
from sige_mlx.graph.lowered import Lowered
from sige_mlx.nn.module import parameters
from sige_mlx.zoo import Pretrained

PASSES = tuple(
    f"common::{name}"
    for name in (
        *("dead_code_elimination", "const_elimination", "noop_elimination", "merge_consecutive_reshapes"),
        *("merge_consecutive_transposes", "remove_redundant_ops", "fuse_transpose_matmul", "topological_reorder"),
        *("const_deduplication", "dead_code_elimination", "cast_optimization", "dedup_op_and_var_names"),
    )
)
"""Passes of coremltools that programs go through, in this order; after each all is checked anew. Most others look for
what ours do not hold, and `reduce_transposes` takes longer than all of these and finds next to nothing. Three would
do harm: `add_int16_cast` casts the indices of gathers to 16 bits, into which those of large planes do not fit;
`guard_negative_gather_indices` has every gather look for negative indices, of which lists of tiles have none;
`fuse_elementwise_to_batchnorm` makes a scale and a shift a batch norm of variance 1, whose epsilon of 1e-5 then moves
every value by 5e-6 of itself."""

KINDS = ("dense", "record", "edit", "tiles")
BUCKETS = (32, 96, 288)
PRECISIONS = ("float16", "float32")
TARGETS = {"macos13": ct.target.macOS13, "macos15": ct.target.macOS15}
"""Systems that packages are made for; those of the first need nothing newer than it."""


@dataclass(frozen=True)
class Exported:
    """`path` is written: `functions` of so many bytes in all."""

    path: Path
    functions: tuple[str, ...]
    nbytes: int


def export(
    network: Pretrained,
    out: Path,
    *,
    kinds: Sequence[str] = KINDS,
    buckets: Sequence[int] = BUCKETS,
    precision: str = "float16",
    target: str = "macos15",
    state: bool = False,
    pictures: bool = True,
    force: bool = False,
    progress: Callable[[str], None] | None = None,
) -> Exported:
    """Writes a network as Core ML programs.

    `kinds` are those of `KINDS`; an edit becomes a function `edit_N` for each of the `buckets`, which computes at most
    N tiles of every plane. With `target` "macos15" `out` is one package, NAME.mlpackage, with a function of each name;
    with "macos13" it is a folder with a package of each name. With `state` edits take the recording as states, which an
    app fills once. With `pictures` what is translated or made is a picture, and not an array from -1 to 1. `progress`
    is told which function comes next. What was at `out` is only replaced with `force`, and whatever interrupts, it is
    as it was or complete. Raises `SigeError` for an option that is none, where there is no room for the package, for
    parameters that float16 does not reach, and for a network that has no program, which names the layer.
    """
    _check(out, kinds, buckets, precision, target, state)
    half, multi = precision == "float16", target == "macos15"
    lowered = Lowered.of(network.model, network.policy())
    small = None
    if "estimated" in lowered.policy.all_statistics:
        small = Lowered.of(network.model, network.policy(), size=half_size(lowered))
    functions = Functions(
        lowered,
        network.load,
        TARGETS[target],
        half,
        buckets=tuple(buckets) if "edit" in kinds else (),
        state=state,
        small=small,
        pictures=_pictures(network, lowered) if pictures else (),
    )
    names = _names(functions, kinds)
    files = ("Manifest.json", "Data") if multi else tuple(f"{name}{SUFFIX}" for name in names)
    with staged_folder(out, files, _needed(network, names, half, multi), force) as folder:
        told = about(network, functions, names, precision)
        made = _packages(functions, names, folder, progress)
        if multi:
            _join(made, folder, lambda spec: describe(spec, network, functions, told))
        else:
            for package in made:
                spec = spec_of(package)
                describe(spec, network, functions, told)
                (package / MODEL).write_bytes(spec.SerializeToString())
        _open_to_others(folder)
        nbytes = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    return Exported(out, tuple(names), nbytes)


def _pictures(network: Pretrained, lowered: Lowered) -> tuple[str, ...]:
    """Returns which input and output an app has as pictures: what is translated, and what is made, each of one picture
    in three colours. A denoiser's are noise."""
    graph = lowered.graph
    nodes = {OUTPUT: graph.output} | {input_name(name): i for name, i in graph.inputs.items()}
    asked = {"labels": (OUTPUT,), "translation": (input_name("x"), OUTPUT)}.get(network.task, ())
    return tuple(name for name in asked if (shape := graph.nodes[nodes[name]].shape)[0] == 1 and shape[3] == 3)


def converted(function: Function, target: Any, path: Path) -> None:
    """Writes a function as a package of its own, NAME.mlpackage."""
    program = Mil()
    program.add_function("main", function)
    with _quiet():
        ct.convert(
            program,
            convert_to="mlprogram",
            compute_precision=ct.precision.FLOAT32,  # it is what the program says it is: nothing is cast
            minimum_deployment_target=target,
            pass_pipeline=ct.PassPipeline([*PASSES]),
            package_dir=str(path),
            skip_model_load=True,
        )


def _check(out: Path, kinds: Sequence[str], buckets: Sequence[int], precision: str, target: str, state: bool) -> None:
    for kind in kinds or [""]:
        if kind not in KINDS:
            raise SigeError(f"function {kind!r} is none: choose of {', '.join(KINDS)}")
    if precision not in PRECISIONS:
        raise SigeError(f"precision {precision!r} is none: choose {' or '.join(PRECISIONS)}")
    if target not in TARGETS:
        raise SigeError(f"target {target!r} is none: choose {' or '.join(TARGETS)}")
    if min(buckets, default=int("edit" not in kinds)) < 1 or len({*buckets}) < len(buckets):
        raise SigeError(
            f"buckets are {', '.join(map(str, buckets)) or 'none'}: numbers from 1 on, each once, would be right"
        )
    if state and (target, precision) != ("macos15", "float16"):
        raise SigeError("states hold float16, from macOS 15 on: leave --state, or take float16 and macos15")
    if target == "macos15" and out.suffix != SUFFIX:
        raise SigeError(f"{out}: a package for Core ML is called NAME{SUFFIX}")


def _names(functions: Functions, kinds: Sequence[str]) -> list[str]:
    """Returns what the functions of a package are called."""
    found = []
    for kind in dict.fromkeys(kinds):
        found += [f"edit_{bucket}" for bucket in functions.buckets] if kind == "edit" else [kind]
        if kind == "edit" and functions.estimates:
            found.append("estimate")
    return found


def _needed(network: Pretrained, names: Sequence[str], half: bool, multi: bool) -> int:
    """Returns how many bytes packages take at most while they are made: one is there beside those that it joins."""
    weights = sum(of.size for of in parameters(network.model).values()) * (2 if half else 4)
    functions = [name for name in names if name != "tiles"]
    return weights * (min(len(functions), 2) if multi else len(functions))


def _open_to_others(folder: Path) -> None:
    """Gives all in a folder the permissions of the folder. coremltools writes files that their owner alone can read."""
    mode = folder.stat().st_mode & 0o7777
    for path in folder.rglob("*"):
        path.chmod(mode if path.is_dir() else mode & 0o666)


def _packages(
    functions: Functions, names: Sequence[str], folder: Path, progress: Callable[[str], None] | None
) -> Iterator[Path]:
    """Yields packages of one function each, as they are converted."""
    for name in names:
        if progress is not None:
            progress(name)
        converted(functions.make(name), functions.target, path := folder / f"{name}{SUFFIX}")
        yield path


def _join(made: Iterator[Path], folder: Path, tell: Callable[[Any], None]) -> None:
    """Makes one package of several, in the folder that they are in. The last becomes that of all: it keeps its
    manifest."""
    weights, last = folder / "weights", None
    with Joined(weights) as joined:
        for package in made:
            if last is not None:
                shutil.rmtree(last)
            joined.take(last := package, package.stem)
            (package / WEIGHTS).unlink(missing_ok=True)  # room is asked for one package beside the joined weights
    assert last is not None
    tell(joined.spec)
    (last / MODEL).write_bytes(joined.spec.SerializeToString())
    weights.replace(last / WEIGHTS)
    for part in last.iterdir():
        part.rename(folder / part.name)
    last.rmdir()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keeps coremltools from drawing progress bars of its own."""
    with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
        yield
