"""An edit against the dense pass on the edited picture: how alike, and where the difference comes from."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from statistics import median

import numpy as np

from benchmarks.trained.edits import KINDS, SIZES, edited
from sige_mlx.benchmark.protocol import Protocol, measure
from sige_mlx.editing import TranslationSession
from sige_mlx.editing.images import Picture
from sige_mlx.editing.recording import Progress
from sige_mlx.editing.result import DenseResult, EditResult
from sige_mlx.engine import Engine
from sige_mlx.graph.policy import Statistics
from sige_mlx.masks.difference import Mask
from sige_mlx.metrics import psnr


@dataclass(frozen=True)
class Likeness:
    """PSNR of two pictures in dB, in the mask and out of it; infinite where they are equal, None of no pixels."""

    inside: float | None
    outside: float | None

    @classmethod
    def of(cls, a: Picture, b: Picture, mask: Mask) -> "Likeness":
        inside, outside = (psnr(a, b, 255, part) if part.any() else None for part in (mask, ~mask))
        return cls(inside, outside)


@dataclass(frozen=True)
class Compared:
    """One edit of one photograph. `held` is every pixel of the edited one computed anew, normalised with the
    statistics of the edit: what lies between an edit and a dense pass."""

    photograph: str
    kind: str
    percent: float
    """Of the pixels that were painted: the mask of the edit has a few more."""
    original: Picture
    edited: Picture
    result: EditResult
    held: Picture
    dense: DenseResult
    times: tuple[float, ...]
    """Seconds of the dense pass over those of the edit, choosing its tiles included: a ratio for each round."""

    @property
    def name(self) -> str:
        return f"{self.photograph}, {self.kind} {self.percent:g} %"

    @property
    def incremental(self) -> Likeness:
        """Of the edit to the dense pass."""
        return Likeness.of(self.result.image, self.dense.image, self.result.mask)

    @property
    def statistics(self) -> Likeness:
        """What statistics that are not the dense pass's cost: of `held` to that."""
        return Likeness.of(self.held, self.dense.image, self.result.mask)

    @property
    def tiles(self) -> Likeness:
        """What stopping at the active tiles costs: of the edit to `held`."""
        return Likeness.of(self.result.image, self.held, self.result.mask)

    @property
    def macs(self) -> float:
        """Multiply-accumulates of the dense pass over those of the edit."""
        return self.result.dense_macs / self.result.macs

    @property
    def faster(self) -> float:
        return median(self.times)


def compare_all(
    engine: Engine, photographs: Mapping[str, Picture], rounds: int, seed: int, progress: Progress
) -> Iterator[Compared]:
    """Every kind and size of edit of every photograph; each has blobs and a colour of its own."""
    count, done = len(photographs) * len(KINDS) * len(SIZES), 0
    whole = holding(engine)
    for i, (name, original) in enumerate(photographs.items()):
        session = TranslationSession(engine, original)
        held = {statistics: TranslationSession(of, original) for statistics, of in whole.items()}
        for kind in KINDS:
            for percent in SIZES:
                progress("compare", done, count)
                yield compare(session, held, name, kind, percent, seed + i, rounds)
                done += 1
    progress("compare", done, count)


def holding(engine: Engine) -> dict[Statistics, Engine]:
    """Engines that take the same statistics for an edit of any size, and tiles however many, by what they take."""
    policies = {
        statistics: replace(engine.policy, statistics=statistics, large=None, dense_from=math.inf)
        for statistics in engine.policy.all_statistics
    }
    return {statistics: engine.under(policy) for statistics, policy in policies.items()}


def compare(
    session: TranslationSession,
    whole: Mapping[Statistics, TranslationSession],
    photograph: str,
    kind: str,
    percent: float,
    seed: int,
    rounds: int,
) -> Compared:
    """Makes an edit (see `edits.edited`), and the dense pass of it; then both `rounds` times in turns, to be timed.
    `whole` has sessions of the engines of `holding`."""
    painted = edited(session.original, kind, percent, seed)
    mask = session.mask(painted)
    # Under a white mask everything is let in, and what is too faint to count as edited must stay out here, too.
    within, everywhere = np.where(mask[..., None], painted, session.original), np.full(mask.shape, 255, np.uint8)
    held = whole[session.engine.policy.statistics_of(float(mask.mean()))].edit(within, everywhere).image
    result, dense = session.edit(painted), session.dense(painted)
    took = measure(
        {"dense": lambda: session.dense(painted), "edit": lambda: session.edit(painted)},
        Protocol(warmup=0, runs=1, repeats=rounds),
    )
    ratios = tuple(d / e for d, e in zip(took["dense"].repeats, took["edit"].repeats, strict=True))
    return Compared(photograph, kind, percent, session.original, painted, result, held, dense, ratios)
