"""The engine against plain MLX on a small random network: what `sige-mlx doctor` runs."""

from collections.abc import Callable
from typing import NamedTuple

import mlx.core as mx
import numpy as np
import numpy.typing as npt

from sige_mlx import zoo
from sige_mlx.editing.recording import Progress
from sige_mlx.engine import Engine
from sige_mlx.errors import SigeError
from sige_mlx.graph.policy import EditPolicy
from sige_mlx.models.ddpm import DDPMConfig, DDPMUNet

SIZE = 32
BOUND = 1e-9  # normalised mean squared error: rounding leaves about 1e-12


class Check(NamedTuple):
    """One comparison and how it went."""

    name: str
    passed: bool
    detail: str


def self_checks(threads: int = 0, progress: Progress | None = None) -> list[Check]:
    """Runs all checks; `threads` are the native engine's. A check that cannot run has failed."""
    checks: list[Check] = []
    try:
        bench = _Bench(threads)
    except SigeError as error:
        return [Check("native engine", False, str(error))]
    for done, (name, run) in enumerate(bench.checks):
        if progress:
            progress("check", done, len(bench.checks))
        try:
            nmse = run()
            checks.append(Check(name, nmse <= BOUND, f"normalised mean squared error {nmse:.1e}, at most {BOUND:.0e}"))
        except (SigeError, RuntimeError) as failure:
            checks.append(Check(name, False, str(failure)))
    return checks


class _Bench:
    """Both executors with an original recorded, and an edited input."""

    def __init__(self, threads: int):
        model = DDPMUNet(
            DDPMConfig(
                image_size=SIZE,
                ch=32,
                ch_mult=(1, 2),
                num_res_blocks=1,
                attn_resolutions=(16,),
            )
        )
        load = zoo.random_weights(model)
        policy = EditPolicy(32, "fresh head")
        self.native = Engine(model, "cpu", policy, load=load, threads=threads)
        self.single = Engine(model, "cpu", policy, load=load, threads=1)
        self.reference = Engine(model, "reference", policy, load=load)
        rng = np.random.default_rng(0)
        self.mask = np.zeros((SIZE, SIZE), np.bool_)
        self.mask[5:14, 20:32] = True
        original = rng.standard_normal((1, SIZE, SIZE, 3)).astype(np.float32)
        painted = np.where(self.mask[..., None], rng.standard_normal(original.shape), original).astype(np.float32)
        self.t = mx.array([200.0])
        self.original, self.edited = mx.array(original), mx.array(painted)
        self.checks: list[tuple[str, Callable[[], float]]] = [
            ("dense pass", self.dense),
            ("edit", self.edit),
            ("edit with every tile active", self.every_tile),
            ("empty edit, bit for bit", self.empty),
            ("one thread, bit for bit", self.one_thread),
        ]

    def dense(self) -> float:
        for engine in (self.native, self.single, self.reference):
            engine.record(x=self.original, t=self.t)
        return nmse(self.native(x=self.edited, t=self.t), self.reference(x=self.edited, t=self.t))

    def edit(self) -> float:
        return nmse(self._edit(self.native, self.mask), self._edit(self.reference, self.mask))

    def every_tile(self) -> float:
        full = np.ones_like(self.mask)
        return nmse(self._edit(self.native, full), self._edit(self.reference, full))

    def empty(self) -> float:
        kept = self._edit(self.native, np.zeros_like(self.mask))
        return _bits(kept, self.native(x=self.original, t=self.t))

    def one_thread(self) -> float:
        return _bits(self._edit(self.native, self.mask), self._edit(self.single, self.mask))

    def _edit(self, engine: Engine, mask: npt.NDArray[np.bool_]) -> mx.array:
        return engine.edit(engine.prepare(mask), x=self.edited, t=self.t)


def nmse(a: mx.array, b: mx.array) -> float:
    """The mean squared error of `a` by the mean square of `b`."""
    x, y = np.asarray(a, np.float64), np.asarray(b, np.float64)
    return float(((x - y) ** 2).sum() / (y**2).sum())


def _bits(a: mx.array, b: mx.array) -> float:
    """0 for equal arrays, else infinite."""
    return 0.0 if np.array_equal(np.asarray(a), np.asarray(b)) else float("inf")
