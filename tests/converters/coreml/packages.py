"""Functions of a network as saved packages, run by the interpreter beside the CPU engine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import coremltools as ct
import numpy as np
from coremltools.converters.mil.mil import Function

from sige_mlx.converters.coreml.borders import input_name
from sige_mlx.converters.coreml.functions import Functions
from sige_mlx.converters.coreml.package import converted
from sige_mlx.converters.coreml.tiles import MASK, tiles_function
from sige_mlx.engine import Engine
from sige_mlx.engine.weights import Loader
from tests.converters.coreml import interpreter
from tests.graph.networks import Mask

TARGET = ct.target.iOS16


@dataclass
class Saved:
    """`functions` of an engine's network, each converted and saved when it is first run."""

    engine: Engine
    load: Loader
    folder: Path
    half: bool = False
    programs: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.functions = Functions(self.engine.lowered, self.load, TARGET, self.half)

    def program(self, name: str, bucket: int = 0) -> Any:
        """The saved program of "dense", "record", "tiles", or of "edit" at a bucket."""
        key = f"{name}{bucket or ''}"
        if key not in self.programs:
            path = self.folder / f"{key}.mlpackage"
            function = self._function(name, bucket)
            converted(function, self.half and name != "tiles", TARGET).save(str(path))
            self.programs[key] = interpreter.load(path)
        return self.programs[key]

    def _function(self, name: str, bucket: int) -> Function:
        if name == "tiles":
            return tiles_function(self.engine.lowered, self.functions.border_of_edits(), TARGET)
        return self.functions.edit(bucket) if name == "edit" else getattr(self.functions, name)

    def run(self, name: str, given: Mapping[str, np.ndarray], bucket: int = 0) -> interpreter.Arrays:
        return interpreter.run(self.program(name, bucket), given).outputs

    def lists(self, mask: Mask) -> interpreter.Arrays:
        """What `tiles` makes of a mask [H, W], the same for every image, or [B, H, W]."""
        lowered = self.engine.lowered
        whole = np.broadcast_to(mask, (lowered.batch, *lowered.image_size))
        return self.run("tiles", {MASK: whole[:, None].astype(np.float32)})

    def edit(
        self, bucket: int, mask: Mask, recorded: interpreter.Arrays, inputs: Mapping[str, np.ndarray]
    ) -> np.ndarray:
        """The output of an edit, as an app would ask for it: lists of all tiles are cut to what the function takes."""
        given = {**recorded, **inputs}
        taken = self.program("edit", bucket).functions["main"].inputs
        given |= {name: x[: taken[name].shape[0]] for name, x in self.lists(mask).items() if name in taken}
        return self.run("edit", given, bucket)["output"]


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
