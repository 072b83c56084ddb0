"""What an edit may leave as it was: one value that programs, recordings and reports are made by."""

from dataclasses import dataclass
from typing import Literal

from sige_mlx.arguments import real, whole
from sige_mlx.errors import SigeError

THRESHOLD = "the threshold of planes"

Statistics = Literal["recorded", "fresh head"]
Output = Literal["tiles", "everywhere"]


@dataclass(frozen=True)
class EditPolicy:
    """What counts as edited, and how edits of a network are computed.

    Pixels count that differ by more than `eps` (of [-1, 1]) in any channel, and those around them: `dilation` is by how
    many pixels that mask grows, `dilation_per_level` by how many it grows again at every resolution.

    `tiles_from` is the side in pixels of the smallest planes that are computed in tiles; smaller ones are computed
    whole. `statistics` says what norms of planes in tiles take: "recorded", those of the original, or "fresh head", the
    same but for the last norm, which takes those of the edit. `output` is wanted in its active "tiles", with the
    recorded pixels around them, or "everywhere".

    From `dense_from` on, a share of the dense pass's multiply-accumulates, an edit is the dense pass: it then takes no
    less time, and is less exact.
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
