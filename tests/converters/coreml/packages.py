"""Functions of a network as saved packages, run by the interpreter beside the CPU engine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import coremltools as ct
import numpy as np

from sige_mlx.converters.coreml import interpreter, saved
from sige_mlx.converters.coreml.borders import input_name, recorded_name
from sige_mlx.converters.coreml.calls import Calls
from sige_mlx.converters.coreml.functions import Functions
from sige_mlx.converters.coreml.package import converted
from sige_mlx.converters.coreml.statistics import weights_of_tiles
from sige_mlx.engine import Engine
from sige_mlx.engine.weights import Loader
from sige_mlx.graph.lowered import Lowered
from tests.graph.networks import Mask

TARGET = ct.target.iOS16

BOUNDS = {False: 1e-5, True: 1e-2}
"""So much may a package differ from the CPU engine, in float32 and in float16: see `error`."""


@dataclass
class Saved:
    """`functions` of an engine's network, each converted and saved when it is first run."""

    engine: Engine
    load: Loader
    folder: Path
    buckets: tuple[int, ...]
    half: bool = False
    small: Lowered | None = None
    programs: dict[str, saved.Function] = field(default_factory=dict)

    def __post_init__(self) -> None:
        lowered = self.engine.lowered
        self.functions = Functions(lowered, self.load, TARGET, self.half, buckets=self.buckets, small=self.small)
        names = ["dense", "record", "tiles", *(f"edit_{bucket}" for bucket in self.functions.buckets)]
        told = {f"edit_{b}": {"statistics": self.functions.statistics(b)} for b in self.functions.buckets}
        takes = _Taken(self, names)
        self.calls = Calls(self.run, takes, {"functions": told})

    def program(self, name: str) -> saved.Function:
        """The saved function of a name."""
        if name not in self.programs:
            path = self.folder / f"{name}.mlpackage"
            converted(self.functions.make(name), TARGET, path)
            self.programs[name] = saved.read(path).functions["main"]
        return self.programs[name]

    def run(self, name: str, given: Mapping[str, np.ndarray]) -> interpreter.Arrays:
        return interpreter.run(self.program(name), given).outputs


class _Taken(dict[str, Any]):
    """Shapes of what functions take, which are converted when these are asked for."""

    def __init__(self, packages: Saved, names: list[str]):
        super().__init__(dict.fromkeys(names))
        self._packages = packages

    def __getitem__(self, name: str) -> dict[str, tuple[int, ...]]:
        return {of: kind.shape for of, kind in self._packages.program(name).inputs.items()}


def as_given(inputs: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Inputs of a network as a package takes them."""
    return {input_name(name): nchw(x) for name, x in inputs.items()}


def nchw(x: Any) -> np.ndarray:
    x = np.asarray(x, np.float32)
    return np.ascontiguousarray(x.transpose(0, 3, 1, 2)) if x.ndim == 4 else x


def needed(engine: Engine, mask: Mask) -> int:
    """The smallest bucket that an edit fits."""
    counts = engine.lowered.tiling(mask).counts
    return max(counts[size] for size in engine.lowered.planes)


def error(found: Any, expected: Any) -> float:
    """The root of the mean square of the difference, of that of what is expected."""
    a, b = np.asarray(found, np.float64), np.asarray(expected, np.float64)
    assert a.shape == b.shape
    return float(np.sqrt(((a - b) ** 2).mean() / (b**2).mean()))


def recorded_error(packages: Saved, recorded: Mapping[str, np.ndarray], key: Any) -> float:
    """How far an array of a recording is from what the CPU engine has recorded, which keeps statistics in other forms:
    a variance as the mean square that it is taken from. One that is a thousandth of that is known to three digits less.
    """
    what, value = key

    def both(key: Any) -> tuple[np.ndarray, np.ndarray]:
        found, expected = recorded[recorded_name(key)], recorded_array(packages.engine, key)
        return found.astype(np.float64), expected.astype(np.float64).reshape(found.shape)

    if what == "sums":
        (mean, variance), sums = (np.moveaxis(x, 1, 0) for x in both(key))
        _, h, w, _ = packages.engine.lowered.graph.nodes[value].shape
        pixels = weights_of_tiles((h, w), packages.engine.lowered.tile).reshape(-1, 1) * (h * w)
        pixels = np.tile(pixels, (mean.shape[0] // len(pixels), 1))
        return max(error(x * pixels, of) for x, of in zip((mean, variance + mean**2), sums, strict=True))
    if what in ("scale", "shift"):
        (s, right_s), (t, right_t) = both(("scale", value)), both(("shift", value))
        square = (1 + right_t**2) / right_s**2  # of values that the norm takes to mean 0 and variance 1
        of_mean = (t / s - right_t / right_s) / np.sqrt(square)
        return float(np.sqrt((of_mean**2 + ((1 + t**2) / s**2 / square - 1) ** 2).mean()))
    return error(*both(key))


def recorded_array(engine: Engine, key: Any) -> np.ndarray:
    """What the CPU engine has recorded, in the order of a package's array."""
    step: Any = engine.recordings.of(0).record
    array, lowered = step.arrays[key], engine.lowered
    if key in lowered.stored:
        n, h, w, c = lowered.stored[key].shape
        t = lowered.tile
        blocks = array.view(np.float32).reshape(n, -(-h // t), -(-w // t), t, t, c).swapaxes(2, 3)
        return blocks.reshape(n, -(-h // t) * t, -(-w // t) * t, c)[:, :h, :w].reshape(-1, c)
    return np.asarray(array)


def check(packages: Saved, inputs: Mapping[str, Any], edits: Mapping[str, tuple[Mask, Mapping[str, Any]]]) -> None:
    """Dense pass, recording with each of its arrays, and edits at buckets that one fills and that all fit."""
    engine, bound, calls = packages.engine, BOUNDS[packages.half], packages.calls
    expected = nchw(engine.record(**inputs))
    assert error(packages.run("dense", as_given(inputs))["output"], expected) <= bound
    recorded = packages.run("record", as_given(inputs))
    assert error(recorded["output"], expected) <= bound
    keys = [*packages.functions.recording.recorded]
    assert len(keys) > 3
    for key in keys:
        wrong = recorded_error(packages, recorded, key)
        assert wrong <= bound, f"{key}: {wrong}"
    for name, (mask, other) in edits.items():
        result = nchw(engine.edit(engine.prepare(mask), **other))
        lists = calls.lists(mask)
        shown = np.broadcast_to(engine.lowered.tiling(mask).at(result.shape[2:]).pixels()[:, None], result.shape)
        assert np.array_equal(lists["edited"] > 0, shown[:, :1])
        for bucket in (calls.bucket(lists), calls.buckets[-1]):
            assert bucket is not None
            found = calls.edit(bucket, as_given(other), recorded, lists)
            assert error(found, result) <= bound, f"{name}: {error(found, result)}"
            wrong = error(found[shown], result[shown])
            assert wrong <= bound, name
            assert error(result[shown], expected[shown]) > 5 * wrong, f"{name}: what it changes is lost in the error"
