"""The edits of `sige-mlx doctor --model` run three ways: densely, by tokens, and by crop-and-stitch."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

import mlx.core as mx

from benchmarks.tokens.count import LEAST, TOKEN, crop
from sige_mlx.cli.tokens_check import EDITS, RECORDED, decibels, mask_of, picture_of, seam_of
from sige_mlx.editing.boxes import Box, extent
from sige_mlx.editing.colour import Picture
from sige_mlx.masks.difference import Mask
from sige_mlx.tokens import klein
from sige_mlx.tokens.session import TokenSession


class Ran(NamedTuple):
    """What came of an edit in one way; SNR and seam are as `doctor` has them, of the picture in the mask."""

    edit: str
    edited: float
    way: str
    seconds: float
    snr: float | None
    """Against the dense run, which has none."""
    seam: float
    peak: int
    """The most bytes that MLX held, with the weights."""


def ran(name: str, side: int, bits: int | None, tell: Callable[[str], None], least: int = LEAST) -> list[Ran]:
    """Runs every edit every way, in the same steps, with the same strength and seed. Only the first edit has runs
    before, to warm up. Raises `SigeError` for what will not fit into memory."""
    klein.planned(name, (side, side), [], 4, 1.0, bits).check()
    pipeline = klein.load(name, bits)
    session = TokenSession(pipeline, picture_of(side), prompt=RECORDED, strength=1)

    def densely(mask: Mask, prompt: str) -> Picture:
        return session.dense(mask=mask, prompt=prompt).image

    def by_tokens(mask: Mask, prompt: str) -> Picture:
        image = session.edit(mask=mask, prompt=prompt).image
        session.revert()
        return image

    def by_crop(mask: Mask, prompt: str) -> Picture:
        box, image = crop_box(mask, least), session.original.copy()
        part = TokenSession(pipeline, box.of(image).copy(), prompt=RECORDED, strength=1)
        box.of(image)[...] = part.dense(mask=box.of(mask), prompt=prompt).image
        return image

    ways = {"dense": densely, "tokens": by_tokens, "crop-and-stitch": by_crop}
    found: list[Ran] = []
    for edit, (place, prompt) in EDITS.items():
        mask = mask_of(side, place) > 0
        dense: Picture | None = None
        for way, render in ways.items():
            if len(found) < len(ways):
                render(mask, prompt)  # to warm up; the first by tokens records
            mx.reset_peak_memory()
            start = time.perf_counter()
            image = render(mask, prompt)
            seconds, peak = time.perf_counter() - start, mx.get_peak_memory()
            snr = None if dense is None else decibels(image[mask], dense[mask])
            dense = image if dense is None else dense
            found.append(Ran(edit, float(mask.mean()), way, seconds, snr, seam_of(image, mask), peak))
            tell(f"{edit}, {way}: {seconds:.3g} s")
    return found


def crop_box(inside: Mask, least: int) -> Box:
    """The square that crop-and-stitch renders around an edit, see `crop`."""
    edit, side = extent(inside), inside.shape[0]
    assert edit
    length = crop(side, max(edit.size), least)
    top, left = (
        min(max(round((start + size / 2 - length / 2) / TOKEN) * TOKEN, 0), side - length)
        for start, size in ((edit.top, edit.height), (edit.left, edit.width))
    )
    return Box(top, left, length, length)
