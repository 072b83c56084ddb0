"""Which kernels are right on this machine: each is tried on small calls before its first use, and the verdict kept.

A wrong picture is never an option: a kernel that does not compile, or that computes something else than plain MLX does,
is replaced by plain MLX. What goes wrong with a trial is the kernel's fault or nobody's, and no reason to stop.
"""

import logging
import re
import time
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import mlx.core as mx

from sige_mlx.engine import verdicts
from sige_mlx.engine.gpu.launch import Device, Launch
from sige_mlx.engine.gpu.ops import Call
from sige_mlx.engine.gpu.ops.sampling import Sampling
from sige_mlx.errors import SigeError, first_line

_log = logging.getLogger(__name__)

BOUNDS = {mx.float32: 1e-8, mx.float16: 1e-4}
"""Largest normalised mean squared error, by storage type: far above rounding, far below what can be seen."""

REPORTS = 4
"""How often an error of the GPU can be reported before it is given up."""

_MEMORY = re.compile("allocat|insufficient memory|out ?of ?memory|resource limit", re.IGNORECASE)


class GpuLost(SigeError):
    """The GPU computes nothing any more; `because` is what it said first."""

    def __init__(self, kernel: str, because: str):
        super().__init__(
            f"the GPU stopped working while the Metal kernel {kernel} was tried ({because}): start again, and the"
            " kernel is left out, or choose the device cpu"
        )
        self.because = because


class Trial(NamedTuple):
    """How a kernel did on small inputs."""

    wrong: str
    """Nothing if it is right."""
    lasting: bool = True
    """Whether it would do no better another time."""
    seconds: float = 0.0
    """Of its first run, in which it was compiled."""


class Trust:
    """Verdicts on the kernels of a device, kept in a file of `folder`."""

    def __init__(self, device: Device, folder: Path):
        self._device = device
        self._file = folder / "kernels.json"
        self._identity = device.identity
        self._verdicts: dict[str, str] = {}
        self._passing: dict[str, str] = {}
        """Verdicts that hold until the program ends."""
        self._told: set[str] = set()
        if self._identity is not None:
            self._verdicts = verdicts.read(self._file).get(self._identity, {})

    def allows(self, launch: Launch, call: Call) -> bool:
        """Whether the kernel of a launch, that of `call`, may be used; a kernel that is not known yet is tried. Raises
        `GpuLost` where nothing else can be used either."""
        if self._identity is None:
            return True
        if self._device.unfit:
            self._warn("Metal kernels are", self._device.unfit)
            return False
        name = launch.kernel.specialisation
        if name not in self._verdicts and name not in self._passing:
            try:
                trial = tried(self._device, launch, call)
            except GpuLost as lost:
                self._keep(name, lost.because)
                raise
            if trial.lasting:
                self._keep(name, trial.wrong)
            else:
                self._passing[name] = trial.wrong
        if wrong := self._passing.get(name) or self._verdicts.get(name):
            self._tell(launch.kernel.name, name, wrong)
        return not wrong

    def _keep(self, name: str, wrong: str) -> None:
        self._verdicts[name] = wrong
        verdicts.write(self._file, self._identity or "", self._verdicts)

    def _tell(self, kernel: str, specialisation: str, wrong: str) -> None:
        """One warning for a kernel is enough; a log for reports has all its specialisations."""
        if specialisation not in self._told:
            _log.debug("%s is replaced: %s", specialisation, wrong)
        self._told.add(specialisation)
        self._warn(f"Metal kernel {kernel} is", wrong)

    def _warn(self, what: str, why: str) -> None:
        """Once."""
        if what not in self._told:
            warnings.warn(f"the {what} replaced by slower ones or MLX operations: {why}", stacklevel=4)
        self._told.add(what)


def tried(device: Device, launch: Launch, call: Call) -> Trial:
    """The kernel of a launch, that of `call`, on small inputs. Raises `GpuLost` if the GPU does not outlive it."""
    seconds = 0.0
    try:
        for i, small in enumerate(samples(call, launch.blocking)):
            again = small.launch(launch.blocking)
            if again is not None and again.kernel == launch.kernel:
                trial = _tried(device, again, small)
                if trial.wrong:
                    return trial
                seconds = seconds or trial.seconds
            elif i == 0:
                return Trial("no small input was found to try it on")
    except GpuLost:
        raise
    except Exception as raised:  # a mistake of ours: MLX's operations do not depend on it
        return Trial(f"it cannot be tried ({first_line(raised)})", lasting=False)
    return Trial("", seconds=seconds)


def samples(call: Call, blocking: Any) -> Iterator[Call]:
    """Calls on a few tiles of two images, for the kernel that runs `call` in a blocking. The first reads and writes as
    the call does; of what a kernel is told only when it runs (is there a bias? is the plane reflected?) the second has
    all that can be, the third nothing. They may need another kernel, where what one was compiled for hangs on that."""
    for options in (None, True, False):
        yield call.sample(Sampling(blocking, options))


def _tried(device: Device, launch: Launch, call: Call) -> Trial:
    start = time.perf_counter()
    try:
        found = device.run(launch)
        mx.eval(found)
    except Exception as raised:  # whatever MLX, the compiler or the driver raise
        _settle(launch.kernel.name, raised)
        return Trial(f"it does not run ({first_line(raised)})", lasting=not _is_of_memory(raised))
    seconds = time.perf_counter() - start
    try:
        error = difference(call, found, call.by_mlx())
    except Exception as raised:
        _settle(launch.kernel.name, raised)
        return Trial(f"MLX's operations do not run to compare it with ({first_line(raised)})", lasting=False)
    bound = max(BOUNDS.get(dtype, BOUNDS[mx.float32]) for dtype in _precisions(launch, found))
    return Trial("" if error <= bound else f"its error is {error:.1e} on a small input", seconds=seconds)


def _precisions(launch: Launch, found: Sequence[mx.array]) -> Iterator[mx.Dtype]:
    """The types that a kernel rounds to: those of its results; and of sums that threadgroups share, which are float32,
    that of what was read and activated for them."""
    yield from (a.dtype for a in found)
    if dict(launch.kernel.defines).get("SHARED"):
        yield dict(launch.kernel.template)["T"]


def _settle(kernel: str, raised: Exception) -> None:
    """Waits until an error of the GPU is reported no more: MLX hands it to whoever waits next, too."""
    for _ in range(REPORTS):
        try:
            mx.eval(mx.zeros(8) + 1)
            return
        except Exception:  # the same once more, or what followed from it
            continue
    raise GpuLost(kernel, first_line(raised)) from raised


def _is_of_memory(raised: Exception) -> bool:
    return isinstance(raised, MemoryError) or _MEMORY.search(str(raised)) is not None


def difference(call: Call, found: Sequence[mx.array], expected: Sequence[mx.array]) -> float:
    """The largest normalised mean squared error among the results of a call; what was written for rows that only fill
    a list of tiles up does not count."""
    tiles = call.listed
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
