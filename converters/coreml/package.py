"""Functions become the files of a package: one of several functions for macOS 15 and later, which stores the weights
once, or for macOS 13 and later a folder of packages of one function each."""

import contextlib
import io
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import coremltools as ct
from coremltools.converters.mil.mil import Function
from coremltools.converters.mil.mil import Program as Mil

from sige_mlx.converters.coreml.about import describe
from sige_mlx.converters.coreml.borders import OUTPUT, input_name
from sige_mlx.converters.coreml.functions import Functions
from sige_mlx.converters.coreml.reading import EXACT
from sige_mlx.converters.coreml.saved import SUFFIX
from sige_mlx.converters.folder import staged_folder
from sige_mlx.engine.estimates import half as half_size
from sige_mlx.errors import SigeError
from sige_mlx.graph.lowered import Lowered
from sige_mlx.zoo import Pretrained

PASSES = {
    f"common::{name}"
    for name in (
        *("add_fp16_cast", "cast_optimization", "const_deduplication", "const_elimination", "dead_code_elimination"),
        *(
            "dedup_op_and_var_names",
            "fuse_transpose_matmul",
            "merge_consecutive_reshapes",
            "merge_consecutive_transposes",
        ),
        *("noop_elimination", "reduce_transposes", "remove_redundant_ops", "sanitize_input_output_names"),
        *("topological_reorder", "update_output_dtypes"),
    )
}
"""Passes of coremltools that programs go through; most others look for what ours do not hold, and after each of them
all is checked anew, which is half of the time. Three would do harm: `add_int16_cast` casts the indices of gathers to 16
bits, into which those of large planes do not fit; `guard_negative_gather_indices` has every gather look for negative
indices, of which lists of tiles have none; `fuse_elementwise_to_batchnorm` makes a scale and a shift a batch norm of
variance 1, whose epsilon of 1e-5 then moves every value by 5e-6 of itself."""

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
    as it was or complete. Raises `SigeError`
    for an option that is none, and for a network that has no program, which names the layer.
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

    def tell(spec: Any) -> None:
        describe(spec, network, functions, names, precision)

    files = ("Manifest.json", "Data") if multi else tuple(f"{name}{SUFFIX}" for name in names)
    with staged_folder(out, files, 0, force) as folder, tempfile.TemporaryDirectory() as work:
        apart = Path(work) if multi else folder
        for name in names:
            if progress is not None:
                progress(name)
            with _quiet():
                _save(
                    converted(functions.make(name), half and name != "tiles", TARGETS[target]),
                    apart / f"{name}{SUFFIX}",
                    tell,
                )
        if multi:
            with _quiet():
                _save(_join(apart, names), apart / f"package{SUFFIX}", tell)
            for part in (apart / f"package{SUFFIX}").iterdir():
                shutil.move(part, folder / part.name)
        nbytes = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    return Exported(out, tuple(names), nbytes)


def _pictures(network: Pretrained, lowered: Lowered) -> tuple[str, ...]:
    """Returns which input and output an app has as pictures: what is translated, and what is made, each of one picture
    in three colours. A denoiser's are noise."""
    graph = lowered.graph
    nodes = {OUTPUT: graph.output} | {input_name(name): i for name, i in graph.inputs.items()}
    asked = {"labels": (OUTPUT,), "translation": (input_name("x"), OUTPUT)}.get(network.task, ())
    return tuple(name for name in asked if (shape := graph.nodes[nodes[name]].shape)[0] == 1 and shape[3] == 3)


def converted(function: Function, half: bool, target: Any) -> Any:
    """Returns a function as a model of its own. With `half` it computes in float16, but for time embeddings."""
    program = Mil()
    program.add_function("main", function)
    precision: Any = ct.precision.FLOAT32
    if half:
        precision = ct.transform.FP16ComputePrecision(
            op_selector=lambda op: op.op_type != "identity" and not op.name.startswith(EXACT)
        )
    pipeline = ct.PassPipeline.DEFAULT
    pipeline.remove_passes({*pipeline.passes} - PASSES)
    return ct.convert(
        program,
        convert_to="mlprogram",
        compute_precision=precision,
        minimum_deployment_target=target,
        pass_pipeline=pipeline,
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
    if "edit" in kinds and (not buckets or min(buckets) < 1 or len({*buckets}) < len(buckets)):
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


def _join(apart: Path, names: Sequence[str]) -> Any:
    """Returns one model of several."""
    described = ct.utils.MultiFunctionDescriptor()
    for name in names:
        described.add_function(str(apart / f"{name}{SUFFIX}"), "main", name)
    described.default_function_name = names[0]
    joined = str(apart / f"joined package{SUFFIX}")
    ct.utils.save_multifunction(described, joined)
    return ct.models.MLModel(joined, skip_model_load=True)


def _save(model: Any, path: Path, tell: Callable[[Any], None]) -> None:
    """Writes a model whose description `tell` completes."""
    spec = model.get_spec()
    tell(spec)
    ct.models.MLModel(spec, weights_dir=model.weights_dir, skip_model_load=True).save(str(path))


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keeps coremltools from drawing progress bars of its own."""
    with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
        yield
