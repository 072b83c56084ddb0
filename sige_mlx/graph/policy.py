"""A policy says what an edit may leave as it was. Programs, recordings and reports are made by this one value."""

import math
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

from sige_mlx.arguments import real, whole
from sige_mlx.errors import SigeError

THRESHOLD = "the threshold of planes"

Statistics = Literal["recorded", "fresh head", "followed", "estimated"]
STATISTICS: tuple[Statistics, ...] = get_args(Statistics)
Output = Literal["tiles", "everywhere"]
QUALITIES = ("fast", "balanced", "exact")


@dataclass(frozen=True)
class EditPolicy:
    """It says which pixels count as edited, and how edits of a network are computed.

    A pixel counts as edited when it differs by more than `eps` (of [-1, 1]) in any channel. The mask of these pixels
    grows by `dilation` pixels, and at every resolution by `dilation_per_level` again.

    `tiles_from` is the side in pixels of the smallest planes that are computed in tiles; smaller ones are computed
    whole. `output` is wanted in its active "tiles", with the recorded pixels around them, or "everywhere".

    `statistics` says what statistics norms of planes in tiles take:

    - "recorded": those of the original;
    - "fresh head": the last norm takes those of the edit, all others those of the original;
    - "followed": those of the plane with its active tiles in the place of the recorded ones;
    - "estimated": those of the original, moved by what dense passes at half the size show, of the original once and of
      the edit. Every mean moves by the difference, and every variance by the ratio, that the small passes have.

    Edits whose mask covers a share of the image of `large_from` or more take those that `large` names, if it names any.

    Tiles join an edit where what they read has changed by more than `grow`, if that is a number: a network without
    operations on whole planes is then edited exactly, to that tolerance. It takes an edit twice as long, or longer.

    `dense_from` is a share of the dense pass's multiply-accumulates. An edit that takes as many or more is computed as
    the dense pass: tiles would take no less time, and are less exact.

        engine = sige_mlx.Engine(model, policy=sige_mlx.EditPolicy(tiles_from=16, large="followed"))
    """

    tiles_from: int = 1
    statistics: Statistics = "recorded"
    output: Output = "tiles"
    eps: float = 0.01
    dilation: int = 5
    dilation_per_level: int = 1
    dense_from: float = 0.9
    large: Statistics | None = None
    large_from: float = 0.05
    grow: float | None = None

    def __post_init__(self) -> None:
        whole(self.tiles_from, THRESHOLD, 1)
        real(self.eps, "eps", 0, 2)
        whole(self.dilation, "the dilation", 0)
        whole(self.dilation_per_level, "the dilation per level", 0)
        real(self.dense_from, "the share from which an edit is the dense pass", 0, math.inf)
        real(self.large_from, "the share from which an edit is large", 0, 1)
        if self.grow is not None:
            real(self.grow, "the tolerance of growth", 0, math.inf)
        for statistics in (self.statistics, *([] if self.large is None else [self.large])):
            if statistics not in STATISTICS:
                *names, last = map(repr, STATISTICS)
                raise SigeError(f"statistics are {statistics!r}: they are {', '.join(names)} or {last}")
        if self.output not in ("tiles", "everywhere"):
            raise SigeError(f"the output is {self.output!r}: it is 'tiles' or 'everywhere'")

    def of_quality(self, quality: str) -> "EditPolicy":
        """Returns this policy, which is that of "balanced" edits; or that of "fast" ones, of which large ones are
        computed as all others; or that of "exact" ones, which are the dense pass. Raises `SigeError` for another."""
        if quality not in QUALITIES:
            raise SigeError(f"the quality is {quality!r}: it is {', '.join(QUALITIES[:-1])} or {QUALITIES[-1]}")
        changes: dict[str, dict[str, Any]] = {"fast": {"large": None}, "exact": {"large": None, "dense_from": 0.0}}
        return replace(self, **changes.get(quality, {}))

    def statistics_of(self, edited: float) -> Statistics:
        """Returns the statistics of an edit whose mask covers a share of the image."""
        return self.large if self.large is not None and edited >= self.large_from else self.statistics

    @property
    def all_statistics(self) -> tuple[Statistics, ...]:
        """Edits take these, one or another."""
        return tuple(dict.fromkeys([self.statistics, self.large or self.statistics]))
