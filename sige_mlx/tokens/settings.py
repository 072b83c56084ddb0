"""How a session of tokens edits, checked, and what that takes of memory."""

from __future__ import annotations

from collections.abc import Sequence

from sige_mlx import arguments
from sige_mlx.arguments import real, whole
from sige_mlx.editing.images import Source
from sige_mlx.engine.recordings import Codec
from sige_mlx.errors import SigeError
from sige_mlx.pictures import ImageLike, Size
from sige_mlx.tokens.klein import LARGEST, Pipeline
from sige_mlx.tokens.plan import Plan, planes_of
from sige_mlx.tokens.references import read_references
from sige_mlx.tokens.stored import RECORD_PRECISIONS

STEPS, STRENGTH = 4, 0.75
MOST_STEPS = 64


def check_steps(steps: object, strength: object) -> tuple[int, float]:
    """Both, if they are such as an edit may have. Raises `SigeError` for others."""
    count, share = whole(steps, "the number of steps", 1, MOST_STEPS), real(strength, "the strength", 0, 1)
    if not share:
        raise SigeError("the strength is 0: an edit of strength 0 changes nothing; above 0 and at most 1")
    return count, share


class TokenSettings:
    """See `TokenSession`. Raises `SigeError` for arguments out of range."""

    def __init__(
        self,
        pipeline: Pipeline,
        references: Sequence[ImageLike | Source],
        steps: int,
        strength: float,
        seed: int,
        precision: Codec | None,
        largest: int | None,
    ):
        self.pipeline = pipeline
        self.steps, self.strength = check_steps(steps, strength)
        self.seed = arguments.seed(seed)
        if precision is not None and precision not in RECORD_PRECISIONS:
            raise SigeError(f"a record in {precision!r} is not known: take one of {', '.join(RECORD_PRECISIONS)}")
        self.precision = precision
        self.largest = whole(largest or LARGEST[pipeline.name], "the largest window", pipeline.patch, 1 << 14)
        self.references = read_references(references, pipeline.patch, self.largest)

    @property
    def ran(self) -> int:
        """Steps that an edit runs, and that are recorded."""
        return max(1, round(self.steps * self.strength))

    @property
    def precisions(self) -> tuple[Codec, ...]:
        """What keys and values may be kept in, the most exact first."""
        own: Codec = next(name for name, dtype in RECORD_PRECISIONS.items() if dtype == self.pipeline.dtype)
        return (self.precision,) if self.precision else (own, "int8")

    def seen(self, picture: Size) -> Size:
        """The size of windows of a picture: its own in whole tokens, or the largest."""
        patch = self.pipeline.patch
        height, width = (min(-(-side // patch) * patch, self.largest // patch * patch) for side in picture)
        return height, width

    def planned(self, picture: Size, limit: int | None = None) -> Plan:
        """What it takes of memory for a picture, by the first precision that fits into a limit, or else the first."""
        of = self.pipeline
        planes = planes_of(self.seen(picture), [reference.shape[:2] for reference in self.references], of.patch)
        sizes = of.prompt_tokens, of.text_parameters, of.autoencoder_nbytes, of.dtype.size
        plans = [Plan(of.sizes, planes, self.ran, of.bits, precision, *sizes) for precision in self.precisions]
        return next((plan for plan in plans if plan.fits(limit)), plans[0])
