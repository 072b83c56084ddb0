"""A policy says what an edit may leave as it was. Programs, recordings and reports are made by this one value."""

from dataclasses import dataclass
from typing import Literal

from sige_mlx.arguments import real, whole
from sige_mlx.errors import SigeError

THRESHOLD = "the threshold of planes"

Statistics = Literal["recorded", "fresh head"]
Output = Literal["tiles", "everywhere"]


@dataclass(frozen=True)
class EditPolicy:
    """It says which pixels count as edited, and how edits of a network are computed.

    A pixel counts as edited when it differs by more than `eps` (of [-1, 1]) in any channel. The mask of these pixels
    grows by `dilation` pixels, and at every resolution by `dilation_per_level` again.

    `tiles_from` is the side in pixels of the smallest planes that are computed in tiles; smaller ones are computed
    whole. `statistics` says what statistics norms of planes in tiles take. With "recorded" they take those of the
    original; with "fresh head" the last norm takes those of the edit, all others those of the original. `output` is
    wanted in its active "tiles", with the recorded pixels around them, or "everywhere".

    `dense_from` is a share of the dense pass's multiply-accumulates. An edit that takes as many or more is computed as
    the dense pass: tiles would take no less time, and are less exact.
    """

    tiles_from: int = 1
    statistics: Statistics = "recorded"
    output: Output = "tiles"
    eps: float = 0.01
    dilation: int = 5
    dilation_per_level: int = 1
    dense_from: float = 0.9

    def __post_init__(self) -> None:
        whole(self.tiles_from, THRESHOLD, 1)
        real(self.eps, "eps", 0, 2)
        whole(self.dilation, "the dilation", 0)
        whole(self.dilation_per_level, "the dilation per level", 0)
        if self.statistics not in ("recorded", "fresh head"):
            raise SigeError(f"statistics are {self.statistics!r}: they are 'recorded' or 'fresh head'")
        if self.output not in ("tiles", "everywhere"):
            raise SigeError(f"the output is {self.output!r}: it is 'tiles' or 'everywhere'")
