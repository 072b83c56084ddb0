"""Functions become the files of a package: one of several functions for macOS 15 and later, which stores the weights
once, or for macOS 13 and later a folder of packages of one function each."""

import contextlib
import hashlib
import io
import json
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import coremltools as ct
import numpy as np
from coremltools.converters.mil.mil import Function
from coremltools.converters.mil.mil import Program as Mil

from sige_mlx.converters.coreml.functions import Functions, tiles_in
from sige_mlx.converters.coreml.tiles import tiles_function
from sige_mlx.converters.coreml.translate import EXACT
from sige_mlx.converters.folder import staged_folder
from sige_mlx.errors import SigeError
from sige_mlx.graph.lowered import Lowered
from sige_mlx.nn.module import parameters
from sige_mlx.zoo import Pretrained

WITHOUT = {"common::add_int16_cast", "common::fuse_elementwise_to_batchnorm"}
"""Passes of coremltools that are left out. The first casts the indices of gathers to 16 bits, into which those of large
planes do not fit. The second makes a scale and a shift a batch norm of variance 1, whose epsilon of 1e-5 then moves
every value by 5e-6 of itself."""

KINDS = ("dense", "record", "edit", "tiles")
BUCKETS = (32, 96, 288)
PRECISIONS = ("float16", "float32")
TARGETS = {"macos13": ct.target.macOS13, "macos15": ct.target.macOS15}
"""Systems that packages are made for; those of the first need nothing newer than it."""

SUFFIX = ".mlpackage"
ABOUT = "sige-mlx"
"""Under this name the metadata say in JSON what the package holds and how it is called."""


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
    force: bool = False,
    progress: Callable[[str], None] | None = None,
) -> Exported:
    """Writes a network as Core ML programs.

    `kinds` are those of `KINDS`; an edit becomes a function `edit_N` for each of the `buckets`, which computes at most
    N tiles of every plane. With `target` "macos15" `out` is one package, NAME.mlpackage, with a function of each name;
    with "macos13" it is a folder with a package of each name. `progress` is told which function comes next. What was
    at `out` is only replaced with `force`, and whatever interrupts, it is as it was or complete. Raises `SigeError`
    for an option that is none, and for a network that has no program, which names the layer.
    """
    _check(out, kinds, buckets, precision, target)
    half, multi = precision == "float16", target == "macos15"
    lowered = Lowered.of(network.model, network.policy())
    functions = Functions(lowered, network.load, TARGETS[target], half)
    about = {ABOUT: json.dumps(_about(network, lowered, kinds, buckets, precision))}
    makers = dict(_makers(functions, kinds, buckets))
    files = ("Manifest.json", "Data") if multi else tuple(f"{name}{SUFFIX}" for name in makers)
    with staged_folder(out, files, 0, force) as folder, tempfile.TemporaryDirectory() as work:
        apart = Path(work) if multi else folder
        for name, make in makers.items():
            if progress is not None:
                progress(name)
            with _quiet():
                model = converted(make(), half and name != "tiles", TARGETS[target])
                _describe(model, network, about)
                model.save(str(apart / f"{name}{SUFFIX}"))
        if multi:
            with _quiet():
                _join(apart, [*makers], folder, network, about)
        nbytes = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    return Exported(out, tuple(makers), nbytes)


def converted(function: Function, half: bool, target: Any) -> Any:
    """Returns a function as a model of its own. With `half` it computes in float16, but for time embeddings."""
    program = Mil()
    program.add_function("main", function)
    precision: Any = ct.precision.FLOAT32
    if half:
        precision = ct.transform.FP16ComputePrecision(op_selector=lambda op: not op.name.startswith(EXACT))
    pipeline = ct.PassPipeline.DEFAULT
    pipeline.remove_passes(WITHOUT)
    return ct.convert(
        program,
        convert_to="mlprogram",
        compute_precision=precision,
        minimum_deployment_target=target,
        pass_pipeline=pipeline,
        skip_model_load=True,
    )


def _check(out: Path, kinds: Sequence[str], buckets: Sequence[int], precision: str, target: str) -> None:
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
    if target == "macos15" and out.suffix != SUFFIX:
        raise SigeError(f"{out}: a package for Core ML is called NAME{SUFFIX}")


def _makers(
    functions: Functions, kinds: Sequence[str], buckets: Sequence[int]
) -> Iterator[tuple[str, Callable[[], Function]]]:
    """Yields the functions of a package by name. A bucket larger than all tiles of the image adds nothing to one of
    them all, and is that one."""
    lowered = functions.lowered
    for kind in dict.fromkeys(kinds):
        if kind == "edit":
            most = max((tiles_in(size, lowered.tile, lowered.batch) for size in lowered.planes), default=1)
            for bucket in sorted({min(bucket, most) for bucket in buckets}):
                yield f"edit_{bucket}", lambda bucket=bucket: functions.edit(bucket)  # type: ignore[misc]
        elif kind == "tiles":
            yield kind, lambda: tiles_function(lowered, functions.border_of_edits(), functions.target)
        else:
            yield kind, lambda kind=kind: getattr(functions, kind)  # type: ignore[misc]


def _join(apart: Path, names: Sequence[str], folder: Path, network: Pretrained, about: Mapping[str, str]) -> None:
    """Makes one package of several, in `folder`."""
    described = ct.utils.MultiFunctionDescriptor()
    for name in names:
        described.add_function(str(apart / f"{name}{SUFFIX}"), "main", name)
    described.default_function_name = names[0]
    joined, told = (str(apart / f"{name} package{SUFFIX}") for name in ("joined", "described"))
    ct.utils.save_multifunction(described, joined)
    model = ct.models.MLModel(joined, skip_model_load=True)
    _describe(model, network, about)
    model.save(told)
    for part in Path(told).iterdir():
        shutil.move(part, folder / part.name)


def _describe(model: Any, network: Pretrained, about: Mapping[str, str]) -> None:
    model.short_description = f"{network.name}, a network of the family {network.family}, with edits by sige-mlx"
    model.version = _version()
    model.user_defined_metadata.update(about)


def _about(
    network: Pretrained, lowered: Lowered, kinds: Sequence[str], buckets: Sequence[int], precision: str
) -> dict[str, Any]:
    """Returns what an app must know of a package."""
    return {
        "model": network.name,
        "family": network.family,
        "task": network.task,
        "image_size": lowered.image_size,
        "tile": lowered.tile,
        "precision": precision,
        "edit": asdict(lowered.policy),
        "planes": lowered.planes,
        "buckets": sorted(buckets) if "edit" in kinds else [],
        "classes": [str(c) for c in network.classes],
        "weights_sha256": _digest(network),
        "calls": "record(image, …) on the original; tiles(mask) of a dilated mask; edit_N, the smallest N that no"
        " count_HxW exceeds, with all recorded_… of record, and of every list of tiles its first N; dense where none"
        " is large enough",
    }


def _digest(network: Pretrained) -> str:
    """Returns the SHA-256 of all parameters, in float32, by their names in order."""
    digest = hashlib.sha256()
    for name in sorted(parameters(network.model)):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(network.load(name), np.float32).tobytes())
    return digest.hexdigest()


def _version() -> str:
    try:
        return version("sige-mlx")
    except PackageNotFoundError:  # a checkout that was never installed
        return "unknown"


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keeps coremltools from drawing progress bars of its own."""
    with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
        yield
