"""Which kernels are right on this machine: each is tried on small calls before its first use, and the verdict kept.

A wrong picture is never an option: a kernel that does not compile, or that computes something else than plain MLX does,
is replaced by plain MLX.
"""

import json
import logging
import os
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path

import mlx.core as mx

from sige_mlx.engine.gpu import kernels, twins
from sige_mlx.engine.gpu.calls import Attention, Call, Conv, Depthwise
from sige_mlx.engine.gpu.launch import Device, Launch
from sige_mlx.engine.gpu.sample import samples
from sige_mlx.errors import first_line

_log = logging.getLogger(__name__)

BOUNDS = {mx.float32: 1e-8, mx.float16: 1e-4}
"""Largest normalised mean squared error, by storage type: far above rounding, far below what can be seen."""


class Trust:
    """Verdicts on the kernels of a device, kept in a file of `folder`."""

    def __init__(self, device: Device, folder: Path):
        self._device = device
        self._file = folder / "kernels.json"
        self._identity = device.identity
        self._verdicts: dict[str, str] = {}
        self._told: set[str] = set()
        if self._identity is not None:
            self._verdicts = _read(self._file).get(self._identity, {})

    def allows(self, launch: Launch, call: Call) -> bool:
        """Whether the kernel of a launch, that of `call`, may be used; a kernel that is not known yet is tried."""
        if self._identity is None:
            return True
        name = launch.kernel.specialisation
        if name not in self._verdicts:
            self._verdicts[name] = tried(self._device, launch, call)
            self._keep()
        if wrong := self._verdicts[name]:
            self._tell(launch.kernel.name, name, wrong)
        return not wrong

    def _tell(self, kernel: str, specialisation: str, wrong: str) -> None:
        """One warning for a kernel is enough; a log for reports has all its specialisations."""
        if specialisation not in self._told:
            _log.debug("%s is replaced: %s", specialisation, wrong)
        if kernel not in self._told:
            warnings.warn(
                f"the Metal kernel {kernel} is replaced by slower ones or MLX operations: {wrong}", stacklevel=3
            )
        self._told |= {kernel, specialisation}

    def _keep(self) -> None:
        """Adds the verdicts to the file. Whoever else writes at the same time may win: a kernel is then tried again."""
        verdicts = _read(self._file)
        verdicts[self._identity or ""] = self._verdicts
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            descriptor, name = tempfile.mkstemp(dir=self._file.parent)
            with os.fdopen(descriptor, "w") as file:
                json.dump(verdicts, file, indent=1)
            os.replace(name, self._file)
        except OSError:
            pass  # a folder that cannot be written to costs time at every start, no more


def tried(device: Device, launch: Launch, call: Call) -> str:
    """What is wrong with the kernel of a launch, that of `call`, on small inputs; nothing if it is right."""
    for i, small in enumerate(samples(call, launch)):
        again = kernels.launch(small, launch)
        if again is not None and again.kernel == launch.kernel:
            if wrong := _tried(device, again, small):
                return wrong
        elif i == 0:
            return "no small input was found to try it on"
    return ""


def _tried(device: Device, launch: Launch, call: Call) -> str:
    try:
        found = device.run(launch)
        mx.eval(found)
    except Exception as raised:  # whatever MLX, the compiler or the driver raise
        return f"it does not run ({first_line(raised)})"
    error = difference(call, found, twins.run(call))
    bound = max(BOUNDS.get(a.dtype, BOUNDS[mx.float32]) for a in found)
    return "" if error <= bound else f"its error is {error:.1e} on a small input"


def difference(call: Call, found: Sequence[mx.array], expected: Sequence[mx.array]) -> float:
    """The largest normalised mean squared error among the arrays of a call; rows that fill up a list of tiles are
    anything."""
    tiles = None
    if isinstance(call, Conv | Depthwise):
        tiles = call.epilogue.out.list
    elif isinstance(call, Attention):
        tiles = call.out.list
    errors = []
    for a, b in zip(found, expected, strict=True):
        a, b = a.astype(mx.float32), b.astype(mx.float32)
        if tiles is not None:
            written = (tiles[:, 0] >= 0).reshape(-1, *[1] * (a.ndim - 1))
            a, b = mx.where(written, a, 0.0), mx.where(written, b, 0.0)
        error = (mx.square(a - b).sum() / mx.maximum(mx.square(b).sum(), 1e-30)).item()
        assert isinstance(error, float)
        errors.append(error if error == error else float("inf"))
    return max(errors)


def _read(file: Path) -> dict[str, dict[str, str]]:
    try:
        found = json.loads(file.read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
