"""What edits are compared with: running the network on a part of the picture alone, and pasting what it gives.

These are the baselines of Li et al. 2022. They reuse nothing and keep nothing, and the network does not see what lies
around the part: an edit in tiles does.
"""

import time
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from sige_mlx.editing.boxes import Box, extent
from sige_mlx.editing.colour import Picture
from sige_mlx.editing.labels import LabelSession
from sige_mlx.editing.session import EditSession
from sige_mlx.editing.translation import TranslationSession
from sige_mlx.engine import Engine
from sige_mlx.errors import SigeError
from sige_mlx.masks.difference import Mask

Method = Literal["patch", "crop"]
METHODS: tuple[Method, ...] = ("patch", "crop")

Session = EditSession | LabelSession | TranslationSession


@dataclass(frozen=True)
class BaselineResult:
    """A picture that was made from its part in `box`, and what that cost."""

    image: Picture
    """(H, W, 3) uint8; outside `mask` it is the original, or the original's picture."""
    mask: Mask
    box: Box
    macs: int
    """Of all steps together, as are the seconds."""
    seconds: float
    """Of running the network; the engine for the part was there already."""


def patch_box(mask: Mask, granularity: int, least: int = 0) -> Box:
    """The smallest part that holds a mask, bool (H, W), and that a network can read: its sides are multiples of
    `granularity`, as those of the picture are, and no shorter than `least`. Raises `SigeError` for an empty mask."""
    found = _extent(mask)
    top, height = _span(*found.rows, granularity, least, mask.shape[0])
    left, width = _span(*found.columns, granularity, least, mask.shape[1])
    return Box(top, left, height, width)


def crop_box(mask: Mask, granularity: int, least: int = 0) -> Box:
    """The smallest square that holds a mask, as `patch_box` does; where a side of the picture is shorter than that, it
    reaches from border to border."""
    return patch_box(mask, granularity, max(least, *_extent(mask).size))


def _extent(mask: Mask) -> Box:
    found = extent(mask)
    if found is None:
        raise SigeError("nothing is edited: a part of the picture is run for an edit alone")
    return found


def _span(start: int, stop: int, granularity: int, least: int, whole: int) -> tuple[int, int]:
    """A start and a length around an extent, `least` long or longer, within a side of `whole` pixels."""
    length = min(-(-max(stop - start, least) // granularity) * granularity, whole)
    return min(max((start + stop - length) // 2, 0), whole - length), length


BOXES = {"patch": patch_box, "crop": crop_box}


def baseline(session: Session, method: Method, edited: Any, more: Any = None) -> BaselineResult:
    """The edit of a session by a baseline: "patch" runs the network on the smallest part that holds the mask, "crop" on
    the smallest square. `edited` and `more` are what the session's `edit` takes: a picture and its mask, or a label map
    and its instances. A diffusion session's noise is the same.

    Raises `SigeError` for another method, an empty edit, and what the session's `edit` raises it for."""
    if method not in BOXES:
        raise SigeError(f"there is no baseline {method!r}: it must be {' or '.join(METHODS)}")
    if session.size != session.engine.image_size:
        raise SigeError("baselines are of pictures of the network's size, and this session sees its picture in windows")
    if isinstance(session, LabelSession):
        return _of_labels(session, method, session.read(edited, more), session.mask(edited, more))
    painted = session.reader.read(session.source, edited, more)
    region = painted.region
    box = _part(session.engine, method, region)
    seen = np.where(region[..., None], painted.source.pixels, session.original)
    part = _part_of(session, box)
    start = time.perf_counter()
    image = part.dense(box.of(seen), box.of(region).astype(np.uint8) * 255).image
    seconds = time.perf_counter() - start
    steps = session.steps if isinstance(session, EditSession) else 1
    around = session.original if isinstance(session, EditSession) else session.record()
    return _pasted(around, image, region, box, part.engine.macs * steps, seconds)


def _part(engine: Engine, method: Method, region: Mask) -> Box:
    return BOXES[method](region, engine.lowered.granularity, engine.lowered.least_side)


def _of_labels(session: LabelSession, method: Method, maps: Any, region: Mask) -> BaselineResult:
    box = _part(session.engine, method, region)
    engine = session.engine.resized((box.height, box.width))
    before, after = (
        (box.of(labels), None if engine.config.no_instance else box.of(instances))
        for labels, instances in (session.original, maps)
    )
    part = LabelSession(engine, *before)
    start = time.perf_counter()
    image = part.dense(*after).image
    seconds = time.perf_counter() - start
    return _pasted(session.record(), image, region, box, engine.macs, seconds)


def _part_of(session: EditSession | TranslationSession, box: Box) -> EditSession | TranslationSession:
    """A session of the part of a picture."""
    engine, original = session.engine.resized((box.height, box.width)), box.of(session.original)
    if isinstance(session, TranslationSession):
        return TranslationSession(engine, original)
    return session.part(engine, box.of)


def _pasted(around: Picture, image: Picture, region: Mask, box: Box, macs: int, seconds: float) -> BaselineResult:
    """The picture `around` with what was made of its part where `region` says."""
    pasted = around.copy()
    box.of(pasted)[box.of(region)] = image[box.of(region)]
    return BaselineResult(pasted, region, box, macs, seconds)
