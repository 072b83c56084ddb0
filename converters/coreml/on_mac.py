"""Packages as Core ML runs them, on a Mac, through coremltools. Nobody has run this yet: it is what the first report of
`sige-mlx doctor --coreml` comes from."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import coremltools as ct
import numpy as np
from PIL import Image

from sige_mlx.converters.coreml.calls import Array, Arrays
from sige_mlx.converters.coreml.saved import SUFFIX, Saved

UNITS = {
    "CPU": ct.ComputeUnit.CPU_ONLY,
    "CPU and GPU": ct.ComputeUnit.CPU_AND_GPU,
    "CPU and Neural Engine": ct.ComputeUnit.CPU_AND_NE,
    "all": ct.ComputeUnit.ALL,
}
"""Where Core ML may compute, by what a report calls it."""


class OnMac:
    """A package whose functions are loaded, for some compute units, when they are first run."""

    def __init__(self, path: Path, saved: Saved, units: str):
        self._path, self._saved, self._units = path, saved, UNITS[units]
        self._models: dict[str, Any] = {}
        self._states: dict[str, Any] = {}

    def model(self, name: str) -> Any:
        """Returns a function as coremltools loads it."""
        if name not in self._models:
            if self._path.suffix == SUFFIX:
                made = ct.models.MLModel(str(self._path), compute_units=self._units, function_name=name)
            else:
                made = ct.models.MLModel(str(self._path / f"{name}{SUFFIX}"), compute_units=self._units)
            self._models[name] = made
        return self._models[name]

    def run(self, name: str, given: Arrays) -> Arrays:
        """Returns what a function gives. Its states are filled anew."""
        return self.again(name, self.prepared(name, given))

    def prepared(self, name: str, given: Arrays) -> dict[str, Any]:
        """Returns what a function takes as Core ML wants it, with its states filled."""
        model, taken, pictures = self.model(name), self._saved.functions[name].inputs, self._saved.about["pictures"]
        if any(kind.state for kind in taken.values()):
            self._states[name] = model.make_state()
        made = {}
        for of, kind in taken.items():
            if kind.state:
                self._states[name].write_state(of, given[of].astype(np.float32))
            else:
                made[of] = _picture(given[of]) if of in pictures else given[of].astype(kind.dtype)
        return made

    def again(self, name: str, made: Mapping[str, Any]) -> Arrays:
        """Returns what a function gives of what was prepared for it."""
        found = self.model(name).predict(dict(made), self._states.get(name))
        return {of: _array(x) for of, x in found.items()}

    def plan(self, name: str) -> Counter[str]:
        """Returns how many operations of a function Core ML prefers to run where."""
        from coremltools.models.compute_plan import MLComputePlan

        path = self.model(name).get_compiled_model_path()
        plan = MLComputePlan.load_from_path(path=path, compute_units=self._units)
        functions = plan.model_structure.program.functions
        found: Counter[str] = Counter()
        for operation in (functions[name] if name in functions else functions["main"]).block.operations:
            usage = plan.get_compute_device_usage_for_mlprogram_operation(operation)
            if usage is not None:
                device = type(usage.preferred_compute_device).__name__
                found[device.removeprefix("ML").removesuffix("ComputeDevice")] += 1
        return found


def _picture(x: Array) -> Image.Image:
    """Returns a picture of [1, 3, H, W], 0 to 255."""
    return Image.fromarray(np.clip(np.rint(x[0].transpose(1, 2, 0)), 0, 255).astype(np.uint8))


def _array(x: Any) -> Array:
    if isinstance(x, Image.Image):
        return np.asarray(x.convert("RGB"), np.float32).transpose(2, 0, 1)[None]
    return np.asarray(x)
