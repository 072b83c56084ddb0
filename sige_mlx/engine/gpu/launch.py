"""The one place where kernels are launched: on a Mac's GPU by MLX, or on the device that takes its place."""

import contextlib
import functools
import platform
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from typing import Any, Protocol

import mlx.core as mx

from sige_mlx.engine.gpu.text import KernelText, kernel_text
from sige_mlx.errors import SigeError

CONSTANT_SIZE = 8
"""MLX puts smaller inputs into constant memory, where kernels that take device pointers cannot have them."""


MAX_BUFFERS = 31
"""Arrays that a kernel can have."""

THREADGROUP_MEMORY = 32768
"""Bytes that a threadgroup can have."""


@dataclass(frozen=True)
class Kernel:
    """A kernel with its macros and template arguments chosen: `template` holds the storage type, "T", and integers."""

    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    defines: tuple[tuple[str, int], ...]
    template: tuple[tuple[str, Any], ...]

    @functools.cached_property
    def text(self) -> KernelText:
        return kernel_text(self.name, dict(self.defines))

    @property
    def specialisation(self) -> str:
        """Tells it from every other kernel, and from itself after any change of its source."""
        chosen = ",".join(f"{k}={v}" for k, v in (*self.defines, *self.template))
        return f"{self.name}-{self.text.digest}({chosen})"


@functools.cache
def _compiled(name: str, inputs: tuple[str, ...], outputs: tuple[str, ...], header: str, body: str) -> Any:
    return mx.fast.metal_kernel(name=name, input_names=inputs, output_names=outputs, source=body, header=header)


@dataclass(frozen=True)
class Launch:
    """A kernel, its arrays and its grid; `groups` counts threadgroups, of `threads` threads each."""

    kernel: Kernel
    inputs: Sequence[mx.array]
    groups: tuple[int, int, int]
    threads: int
    outputs: Sequence[tuple[tuple[int, ...], mx.Dtype]]
    """Shape and type of each."""
    blocking: Any = None
    """How a threadgroup divides its work, where that depends on the call."""

    def arguments(self) -> dict[str, Any]:
        """What MLX's kernels are called with."""
        x, y, z = self.groups
        return {
            "inputs": [in_device_memory(a) for a in self.inputs],
            "template": [*self.kernel.template],
            "grid": (x * self.threads, y, z),
            "threadgroup": (self.threads, 1, 1),
            "output_shapes": [shape for shape, _ in self.outputs],
            "output_dtypes": [dtype for _, dtype in self.outputs],
        }

    def on(self, inputs: Sequence[mx.array]) -> "Launch":
        """The launch on other arrays of the same shapes."""
        return replace(self, inputs=inputs)

    def compiled(self) -> Any:
        """MLX's kernel. Its name is of its text: MLX finds compiled kernels by name."""
        k, text = self.kernel, self.kernel.text
        return _compiled(f"sige_{k.name}_{text.digest}", k.inputs, k.outputs, text.header, text.body)


def in_device_memory(a: mx.array) -> mx.array:
    """The array, or if it is too small for that, a longer one that begins with it."""
    return a if a.size >= CONSTANT_SIZE else mx.pad(a.reshape(-1), (0, CONSTANT_SIZE - a.size))


@dataclass(frozen=True)
class Dispatch:
    """One launch that happened; `counters` are the model's, None on a real GPU."""

    kernel: str
    groups: tuple[int, int, int]
    threads: int
    counters: Any = None


class Device(Protocol):
    """Where kernels run. `dispatches` grows with every launch while it is a list; a launch that MLX repeats by itself
    (`mx.compile`) is not seen. `identity` tells apart machines on which a kernel may behave differently; None where
    there is nothing to find out. `unfit` says why no kernel should run there at all, where none should. `lazy`: outputs
    are computed when they are asked for."""

    dispatches: list[Dispatch] | None
    lazy: bool

    @property
    def identity(self) -> str | None: ...

    @property
    def unfit(self) -> str | None: ...

    def run(self, launch: Launch) -> list[mx.array]:
        """The outputs; raises whatever compiling or running the kernel raises."""


@dataclass
class Metal:
    """The GPU, through MLX."""

    dispatches: list[Dispatch] | None = field(default=None)
    lazy: bool = True

    @property
    def identity(self) -> str:
        """Chip, system and MLX."""
        chip = mx.device_info(mx.gpu).get("architecture", "unknown")
        return f"{chip}, macOS {platform.mac_ver()[0]}, MLX {version('mlx')}"

    @property
    def unfit(self) -> str | None:
        return virtual_gpu()

    def run(self, launch: Launch) -> list[mx.array]:
        if self.dispatches is not None:
            self.dispatches.append(Dispatch(launch.kernel.specialisation, launch.groups, launch.threads))
        outputs: list[mx.array] = launch.compiled()(**launch.arguments())
        return outputs


def has_gpu() -> bool:
    """Whether MLX knows Metal and finds a GPU: without a screen, or in a sandbox, a Mac may have none to give."""
    return mx.metal.is_available() and mx.is_available(mx.gpu)


def virtual_gpu() -> str | None:
    """Why this machine's GPU is none for our kernels: that of a virtual machine, such as those that GitHub lends, has
    no simdgroup matrices. None where there is another, or no GPU."""
    if not has_gpu():
        return None
    name = str(mx.device_info(mx.gpu).get("device_name", ""))
    return f"{name} is not a real GPU" if "paravirt" in name.lower() else None


_in_place_of_the_gpu: Callable[[], Device] | None = None


@contextlib.contextmanager
def use(make: Callable[[], Device]) -> Iterator[None]:
    """Gives whoever asks for `device()` in the block what `make` gives, a model of a GPU for instance."""
    global _in_place_of_the_gpu
    before, _in_place_of_the_gpu = _in_place_of_the_gpu, make
    try:
        yield
    finally:
        _in_place_of_the_gpu = before


def device() -> Device:
    """The GPU of this machine, or what is in `use` in its place; raises `SigeError` where there is none that
    computes."""
    if _in_place_of_the_gpu is not None:
        return _in_place_of_the_gpu()
    if not has_gpu():
        raise SigeError("the device gpu needs Metal, which this machine lacks: choose cpu")
    metal = Metal()
    if metal.unfit and not _computes():
        raise SigeError(f"{metal.unfit}, and does not compute what it should: choose the device cpu")
    return metal


def _computes() -> bool:
    """Whether MLX's own operations on the GPU give what they give on the processor."""

    def product() -> mx.array:
        x = (mx.arange(2**14) % 97).reshape(1, 16, 16, 64).astype(mx.float16) / 97
        weight = (mx.arange(32 * 9 * 64) % 89).reshape(32, 3, 3, 64).astype(mx.float16) / 89
        found = mx.conv2d(x, weight).reshape(-1, 32)
        return (found.T @ found).astype(mx.float32)

    try:
        with mx.stream(mx.cpu):
            expected = product()
            mx.eval(expected)
        with mx.stream(mx.gpu):
            found = product()
            mx.eval(found)
        with mx.stream(mx.cpu):
            return bool(mx.allclose(found, expected, rtol=1e-2).item())
    except Exception:  # whatever MLX or the driver raise
        return False
