"""What an edit may leave as it was: one value that programs, recordings and reports are made by."""

from dataclasses import dataclass
from typing import Any, Literal

from sige_mlx.arguments import whole
from sige_mlx.errors import SigeError

THRESHOLD = "the threshold of planes"

Statistics = Literal["recorded", "fresh head"]
Output = Literal["tiles", "everywhere"]


@dataclass(frozen=True)
class EditPolicy:
    """How edits of a network are computed.

    `tiles_from` is the side in pixels of the smallest planes that are computed in tiles; smaller ones are computed
    whole. `statistics` says what norms of planes in tiles take: "recorded", those of the original, or "fresh head", the
    same but for the last norm, which takes those of the edit. `output` is wanted in its active "tiles", with the
    recorded pixels around them, or "everywhere". `dilation` is by how many pixels masks grow at every resolution.

    From `dense_from` on, a share of the dense pass's multiply-accumulates, an edit is the dense pass: it then takes no
    less time, and is less exact.
    """

    tiles_from: int = 1
    statistics: Statistics = "recorded"
    output: Output = "tiles"
    dilation: int = 1
    dense_from: float = 0.9

    @classmethod
    def of(cls, config: Any, tiles_from: int | None = None, output: Output = "tiles") -> "EditPolicy":
        """That of a network's configuration, with tiles from planes of another side where one is given."""
        return cls(
            config.sparse_resolution_threshold
            if tiles_from is None
            else whole(tiles_from, "the threshold of planes", 1),
            "fresh head" if getattr(config, "fresh_head", True) else "recorded",
            output,
            getattr(config, "downsample_dilate_radius", 1),
        )

    def __post_init__(self) -> None:
        if self.tiles_from < 1 or self.dilation < 0:
            raise SigeError(
                f"tiles from planes of {self.tiles_from} pixels, masks grown by {self.dilation}: planes have 1 pixel or"
                " more, and masks grow by 0 or more"
            )
        if self.statistics not in ("recorded", "fresh head"):
            raise SigeError(f"statistics are {self.statistics!r}: they are 'recorded' or 'fresh head'")
        if self.output not in ("tiles", "everywhere"):
            raise SigeError(f"the output is {self.output!r}: it is 'tiles' or 'everywhere'")
