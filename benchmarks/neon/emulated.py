"""A small network from end to end under qemu-user: the recording of a picture, then an edit of it, on NEON."""

import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from platform import machine
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.neon import cross
from benchmarks.neon.replay import Replay
from sige_mlx import families, zoo
from sige_mlx.engine import Engine
from sige_mlx.engine.inputs import checked, with_embeddings
from sige_mlx.engine.weights import Loader
from sige_mlx.errors import SigeError
from sige_mlx.models.ddpm import DDPMConfig

PLUGIN = cross.CPU / "tests" / "count.c"
ABSENT = "qemu-user is not installed"

Floats = npt.NDArray[np.float32]


def emulator() -> list[str] | None:
    """How a program for aarch64 is run here; None where it cannot be."""
    if machine() in ("aarch64", "arm64"):
        return []
    return ["qemu-aarch64"] if shutil.which("qemu-aarch64") else None


@dataclass(frozen=True)
class Counts:
    """What one pass executes."""

    what: str
    instructions: int
    fmas: int
    """Multiply-adds of vectors of four floats."""
    macs: int
    """Multiplications that convolutions are left with."""

    @property
    def instructions_per_mac(self) -> float:
        return self.instructions / self.macs

    @property
    def fmas_per_mac(self) -> float:
        """Of single floats. More than one: transforms, norms, activations and attention multiply, too."""
        return 4 * self.fmas / self.macs


@dataclass(frozen=True)
class Network:
    """A network on the CPU of this machine, an original and an edit of it."""

    engine: Engine
    load: Loader
    mask: npt.NDArray[np.bool_]
    original: Mapping[str, Any]
    edited: Mapping[str, Any]

    @classmethod
    def small(cls) -> "Network":
        """A DDPM of 64 pixels a side and a million random weights, as the frozen cases of `ddpm-small` have it."""
        config = DDPMConfig(image_size=64, ch=32, ch_mult=(1, 2, 2), num_res_blocks=1, attn_resolutions=(16,))
        model = families.build("ddpm", config.__dict__)
        load = zoo.random_weights(model)
        x = np.random.default_rng(0).normal(size=(1, 64, 64, 3)).astype(np.float32)
        mask = np.zeros((64, 64), np.bool_)
        mask[21:30, 17:29] = True
        given = {"t": np.array([500.0], np.float32)}
        engine = Engine(model, "cpu", families.of(config).policy(config), threads=1, load=load)
        return cls(engine, load, mask, {"x": x, **given}, {"x": x + mask[..., None], **given})

    def here(self) -> list[Floats]:
        """The outputs of both passes by this machine's own instruction set."""
        recorded = np.asarray(self.engine.record(**self.original))
        return [recorded, np.asarray(self.engine.edit(self.engine.prepare(self.mask), **self.edited))]

    def replay(self) -> bytes:
        """Both passes, as another program reads them."""
        lowered = self.engine.lowered

        def inputs(of: Mapping[str, Any]) -> Mapping[Any, Floats]:
            return {
                name: np.asarray(x) for name, x in with_embeddings(lowered, checked(lowered, of, on_host=True)).items()
            }

        tiling = lowered.tiling(self.mask)
        return Replay(lowered, self.load, tiling, inputs(self.original), inputs(self.edited)).file()


class Emulated:
    """The library for Linux on aarch64, built into a folder, with the programs that run it. Raises `SigeError` where
    one that it takes is missing."""

    def __init__(self, folder: Path):
        found = emulator()
        if found is None:
            raise SigeError(f"{ABSENT} (Debian: qemu-user)")
        self._emulator, self._folder = found, folder
        built = cross.build(folder, "aarch64-linux-musl", "-DCMAKE_EXE_LINKER_FLAGS=-static")
        self.tests = built / "tests" / "sige_cpu_tests"
        self._program = built / "tests" / "sige_cpu_replay"

    def run(self, *command: str | Path, **environment: str) -> str:
        """Runs a program of the build; returns what it prints."""
        return cross.run(*self._emulator, *command, **environment).stdout

    def outputs(self, network: Network) -> list[Floats]:
        """The outputs of both passes on NEON."""
        results, _ = self._replay(network, 1)
        shape = network.engine.lowered.graph.nodes[network.engine.lowered.graph.output].shape
        return list(np.frombuffer(results, np.float32).reshape(2, *shape))

    def counts(self, network: Network) -> list[Counts]:
        """What each pass executes: by running it once more, so that reading files and packing weights do not count."""
        plugin = self._folder / "count.so"
        cross.run(cross.zig(), "cc", "-O2", "-shared", "-fPIC", "-o", plugin, PLUGIN, **cross.libc(self._folder))
        runs = [self._counted(network, plugin, times) for times in ((1, 1), (2, 1), (1, 2))]
        found = []
        for what, more, macs in zip(("recording", "edit"), runs[1:], runs[0][0], strict=True):
            instructions, fmas = (after - before for after, before in zip(more[1], runs[0][1], strict=True))
            found.append(Counts(what, instructions, fmas, macs))
        return found

    def _counted(self, network: Network, plugin: Path, times: Sequence[int]) -> tuple[list[int], list[int]]:
        """The multiplications of each pass, and what is executed in all."""
        _, done = self._replay(network, *times, emulator=[*self._emulator, "-plugin", str(plugin)])
        counted = re.search(r"(\d+) instructions, (\d+) FMAs", done.stderr)
        assert counted, done.stderr
        return [int(n) for n in done.stdout.split()[1:]], [int(n) for n in counted.groups()]

    def _replay(self, network: Network, *times: int, emulator: Sequence[str] | None = None) -> tuple[bytes, Any]:
        given, results = self._folder / "replay", self._folder / "results"
        given.write_bytes(network.replay())
        command = self._emulator if emulator is None else emulator
        done = cross.run(*command, self._program, given, results, *map(str, times))
        assert done.stdout.startswith("neon "), done.stdout
        return results.read_bytes(), done
