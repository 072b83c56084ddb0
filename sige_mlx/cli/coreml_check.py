"""A Core ML package against the CPU engine: what `sige-mlx doctor --coreml` runs.

On a Mac Core ML runs its functions, on each of its compute units; elsewhere the interpreter does.
"""

import math
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sige_mlx import zoo
from sige_mlx.benchmark.protocol import Progress
from sige_mlx.cli.self_check import Check
from sige_mlx.converters.coreml import interpreter, saved
from sige_mlx.converters.coreml.borders import OUTPUT, input_name
from sige_mlx.converters.coreml.calls import Array, Arrays, Calls, digest
from sige_mlx.engine import Engine
from sige_mlx.engine.gpu.launch import has_gpu
from sige_mlx.errors import SigeError, first_line
from sige_mlx.families import configured
from sige_mlx.graph.policy import EditPolicy

BOUNDS = {"float32": 1e-5, "float16": 1e-2}
"""The root of the mean square of the difference, of that of what is expected; by what a package computes in."""

GREY = 1 / 255
"""Core ML rounds pictures to whole grey levels: as large may their difference be at least."""

UNCHECKED = (
    "Core ML: that it loads the package, and what its devices compute",
    "which operations run on the GPU, and which on the Neural Engine",
    "the time that a dense pass and an edit take, beside that of our own engine",
)

Mask = npt.NDArray[np.bool_]


@dataclass
class Report:
    """Checks, what Core ML means to run where, and milliseconds, by compute units and functions."""

    checks: list[Check]
    unchecked: list[str]
    plan: dict[str, dict[str, dict[str, int]]] = field(default_factory=dict)
    times: dict[str, dict[str, float]] = field(default_factory=dict)


def coreml_report(path: Path, model: str | None, threads: int = 0, progress: Progress | None = None) -> Report:
    """Compares every function of a package with the CPU engine. `model` is that which it was exported of, if it is not
    called what the package says. Raises `SigeError` for what is no such package, and for another model."""
    package = saved.read(path)
    about = package.about
    try:
        network = zoo.load(model or about["model"])
        edit = configured(EditPolicy(), about["edit"])
        bound, expected = BOUNDS[about["precision"]], about["weights_sha256"]
    except (KeyError, TypeError) as error:
        raise SigeError(f"{path} was not written by `sige-mlx export`: its metadata miss {error}") from None
    if digest(network) != expected:
        raise SigeError(f"{path} was exported of other weights than those of {network.name}: give --model")
    comparing = _Comparing(package, network, edit, bound, threads)
    if sys.platform == "darwin":
        return _on_mac(path, comparing, progress)

    def run(name: str, given: Arrays) -> Arrays:
        return interpreter.run(package.functions[name], given).outputs

    checks = comparing.checks("interpreted", run, progress)
    return Report(checks, [*UNCHECKED])


def _on_mac(path: Path, comparing: "_Comparing", progress: Progress | None) -> Report:
    try:
        from sige_mlx.converters.coreml.on_mac import UNITS, OnMac
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "coremltools":
            raise
        raise SigeError("loading a package needs coremltools: pip install 'sige-mlx[coreml]'") from error
    report = Report([], [])
    for units in UNITS:
        loaded = OnMac(path, comparing.package, units)
        report.checks += comparing.checks(units, loaded.run, progress)
        report.plan[units], report.times[units] = {}, {}
        for name, given in comparing.given.items():
            try:
                report.plan[units][name] = dict(loaded.plan(name))
                made = loaded.prepared(name, given)
                report.times[units][name] = _milliseconds(partial(loaded.again, name, made))
            except Exception as error:  # whatever Core ML raises is what the report is to tell
                report.unchecked.append(f"{name} on {units}: {first_line(error)}")
    report.times |= comparing.own_times()
    return report


def _milliseconds(call: Callable[[], object], runs: int = 5) -> float:
    """Returns the mean of some calls, after one. MLX's arrays are lazy: they are asked for."""
    np.asarray(call())
    start = time.perf_counter()
    for _ in range(runs):
        np.asarray(call())
    return 1e3 * (time.perf_counter() - start) / runs


class _Comparing:
    """Inputs, edits that fill a bucket and that do not, and what the CPU engine makes of them."""

    def __init__(self, package: saved.Saved, network: zoo.Pretrained, edit: EditPolicy, bound: float, threads: int):
        self.package, self.network, self.bound, self.threads = package, network, bound, threads
        self.edit = replace(edit, large=None, dense_from=math.inf)
        self.functions: Mapping[str, Any] = package.about["functions"]
        self.takes = {n: {of: kind.shape for of, kind in f.inputs.items()} for n, f in package.functions.items()}
        self.buckets = sorted(self.functions[n]["tiles"] for n in package.functions if n.startswith("edit_"))
        self.engine = self._engine("cpu", self.edit)
        self.recorded = False
        self.pictures = package.about["pictures"]
        rng, graph = np.random.default_rng(0), self.engine.lowered.graph
        self.inputs: dict[str, Any] = {}
        for name, index in graph.inputs.items():
            shape = graph.nodes[index].shape
            drawn = rng.uniform(-1, 1, shape) if len(shape) == 4 else np.full(shape, 500.0 if name == "t" else 0.5)
            self.inputs[name] = drawn.astype(np.float32)
        self.given: dict[str, Arrays] = {}
        """What each function was last given."""

    def _engine(self, device: str, policy: EditPolicy) -> Engine:
        return self.network.engine(device, policy, threads=self.threads if device == "cpu" else 0)

    def checks(self, where: str, run: Callable[[str, Arrays], Arrays], progress: Progress | None) -> list[Check]:
        """Compares all functions, as `run` runs them. One that fails has failed."""

        def noted(name: str, given: Arrays) -> Arrays:
            self.given[name] = given
            return run(name, given)

        calls = Calls(noted, self.takes, self.package.about)
        found: list[Check] = []
        compared = list(self._compared(calls))
        for done, (name, compare) in enumerate(compared):
            if progress:
                progress("check", done, len(compared))
            try:
                error = compare()
                passed = error <= (max(self.bound, GREY) if self.pictures and where != "interpreted" else self.bound)
                found.append(Check(f"{name}, {where}", passed, f"differs by {error:.1e}, at most {self.bound:.0e}"))
            except Exception as failure:  # Core ML raises what it likes
                found.append(Check(f"{name}, {where}", False, first_line(failure)))
        return found

    def _compared(self, calls: Calls) -> Iterator[tuple[str, Callable[[], float]]]:
        """Yields what is compared, and what tells the error; a recording comes before edits of it."""
        kept: dict[str, Arrays] = {}
        inputs = self._given(self.inputs)
        if "dense" in calls.takes:
            yield "dense", lambda: self._error(calls.run("dense", inputs)[OUTPUT], self.engine(**self.inputs))
        if "record" in calls.takes:

            def record() -> float:
                kept["recorded"] = calls.run("record", inputs)
                return self._error(kept["recorded"][OUTPUT], self.engine(**self.inputs))

            yield "record", record
        if "tiles" not in calls.takes:
            return
        for name, mask in self._masks():
            yield f"tiles of {name}", partial(self._wrong_tiles, calls, mask)
            if "record" in calls.takes:
                for bucket in calls.buckets:
                    if self._needed(mask) <= bucket:
                        of = f"edit_{bucket} of {name}"
                        yield of, partial(self._edit, calls, bucket, mask, kept)

    def _masks(self) -> Iterator[tuple[str, Mask]]:
        """Yields squares that just fit a bucket, and one in a corner."""
        h, w = self.engine.image_size
        corner = np.zeros((h, w), np.bool_)
        corner[-2:, -2:] = True
        yield "a corner", corner
        for bucket in self.buckets:
            for side in range(min(h, w), 1, -2):
                mask = np.zeros((h, w), np.bool_)
                top, left = (h - side) // 2, (w - side) // 2
                mask[top : top + side, left : left + side] = True
                if self._needed(mask) <= bucket:
                    yield f"{side} x {side} pixels", mask
                    break

    def _needed(self, mask: Mask) -> int:
        counts = self.engine.lowered.tiling(mask).counts
        return max(counts[size] for size in self.engine.lowered.planes)

    def _wrong_tiles(self, calls: Calls, mask: Mask) -> float:
        """Returns which share of the planes has other tiles."""
        lists, tiling = calls.lists(mask), self.engine.lowered.tiling(mask)
        wrong, planes = 0, self.engine.lowered.planes
        for h, w in planes:
            rows = tiling.at((h, w)).rows
            found = lists[f"tiles_{h}x{w}"][: len(rows)]
            wrong += int(lists[f"count_{h}x{w}"][0]) != len(rows) or not np.array_equal(found, rows)
        return wrong / len(planes)

    def _edit(self, calls: Calls, bucket: int, mask: Mask, kept: Mapping[str, Arrays]) -> float:
        other: dict[str, Any] = {
            name: np.where(mask[None, ..., None], -x, x) if x.ndim == 4 else x for name, x in self.inputs.items()
        }
        statistics = self.functions[f"edit_{bucket}"]["statistics"]
        if statistics != self.engine.policy.statistics:
            self.engine, self.recorded = self._engine("cpu", replace(self.edit, statistics=statistics)), False
        if not self.recorded:
            self.engine.record(**self.inputs)
            self.recorded = True
        expected = self.engine.edit(self.engine.prepare(mask), **other)
        return self._error(calls.edit(bucket, self._given(other), kept["recorded"], calls.lists(mask)), expected)

    def _given(self, inputs: Mapping[str, Array]) -> Arrays:
        """Returns inputs of the network as the package takes them."""
        made = {}
        for name, x in inputs.items():
            array = np.ascontiguousarray(x.transpose(0, 3, 1, 2)) if x.ndim == 4 else x
            made[input_name(name)] = (array + 1) * np.float32(127.5) if input_name(name) in self.pictures else array
        return made

    def _error(self, found: Array, expected: Any) -> float:
        a, b = np.asarray(found, np.float64), np.asarray(expected, np.float64).transpose(0, 3, 1, 2)
        if OUTPUT in self.pictures:
            a = a / 127.5 - 1
        return float(np.sqrt(((a - b) ** 2).mean() / (b**2).mean()))

    def own_times(self) -> dict[str, dict[str, float]]:
        """Milliseconds that our own engines take for the dense pass, and for the edits that fill buckets."""
        found: dict[str, dict[str, float]] = {}
        for device in ("cpu", *(["gpu"] if has_gpu() else [])):
            engine = self._engine(device, self.edit)
            dense = _milliseconds(partial(engine, **self.inputs))
            times = found[f"our engine, {device}"] = {"dense": dense}
            engine.record(**self.inputs)
            masks = dict(self._masks())
            for bucket in self.buckets:
                fitting = [mask for mask in masks.values() if self._needed(mask) <= bucket]
                prepared = engine.prepare(max(fitting, key=np.count_nonzero))
                times[f"edit_{bucket}"] = _milliseconds(partial(engine.edit, prepared, **self.inputs))
        return found
