"""The one place where kernels are launched: on a Mac by MLX, elsewhere, if SIGE_METAL=sim, by the model of Metal in
`metal/sim`."""

import functools
import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from typing import Any, Protocol

import mlx.core as mx

from sige_mlx.engine.gpu.source import source
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
    def text(self) -> Any:
        return source(self.name, dict(self.defines))

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
    shape: Any = None
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

    def with_weight(self, weight: mx.array) -> "Launch":
        """The launch with other weights, of the same shape."""
        given = zip(self.kernel.inputs, self.inputs, strict=True)
        return replace(self, inputs=[weight if name == "weight" else array for name, array in given])

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
    there is nothing to find out. `lazy`: outputs are computed when they are asked for."""

    dispatches: list[Dispatch] | None
    lazy: bool

    @property
    def identity(self) -> str | None: ...

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
        chip = mx.device_info().get("architecture", "unknown")
        return f"{chip}, macOS {platform.mac_ver()[0]}, MLX {version('mlx')}"

    def run(self, launch: Launch) -> list[mx.array]:
        if self.dispatches is not None:
            self.dispatches.append(Dispatch(launch.kernel.specialisation, launch.groups, launch.threads))
        outputs: list[mx.array] = launch.compiled()(**launch.arguments())
        return outputs


@dataclass
class Simulated:
    """The model of Metal: the kernel's text compiled for this processor and run thread by thread, in the order of
    `seed`; `count` asks it for counters, which takes longer."""

    dispatches: list[Dispatch] | None = field(default=None)
    seed: int = 0
    count: bool = False
    identity: str | None = None
    lazy: bool = False

    def run(self, launch: Launch) -> list[mx.array]:
        from sige_mlx.metal.sim import simulate

        run = simulate(launch.compiled(), **launch.arguments(), seed=self.seed, count=self.count)
        if self.dispatches is not None:
            self.dispatches.append(Dispatch(launch.kernel.specialisation, launch.groups, launch.threads, run.counted))
        return run.outputs


def device() -> Device:
    """The GPU of this machine; raises `SigeError` where there is none and SIGE_METAL does not ask for the model."""
    if os.environ.get("SIGE_METAL") == "sim":
        return Simulated()
    if not mx.metal.is_available():
        raise SigeError("device 'gpu' needs Metal, which this machine lacks: choose device='cpu'")
    return Metal()
