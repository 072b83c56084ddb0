"""`sige-mlx doctor --model` with a model that edits by tokens: three edits, each beside its dense run."""

from __future__ import annotations

import time
from typing import Any, NamedTuple

import mlx.core as mx
import numpy as np
import numpy.typing as npt
import typer
from PIL import Image

from sige_mlx import zoo
from sige_mlx.cli import terminal
from sige_mlx.editing.colour import Picture
from sige_mlx.editing.recording import Progress
from sige_mlx.tokens import klein
from sige_mlx.tokens.session import TokenSession

SIDES = {klein.KLEIN: 512, klein.TINY: 64}
RECORDED = "a satellite picture of an island in a dark blue sea"

EDITS = {
    "a small island": ((0.10, 0.10, 0.12, 0.12), "a small green island"),
    "a harbour": ((0.55, 0.50, 0.20, 0.28), "a harbour with ships"),
    "clouds": ((0.30, 0.05, 0.40, 0.40), "white clouds over the sea"),
}
"""By name: top, left, height and width of the mask, of 1, and the prompt."""


class Edit(NamedTuple):
    """What came of one edit. SNR is of the picture in the mask against the dense run's, in decibels; a seam is the mean
    step between pixels on both sides of the mask's border, of 255 levels."""

    name: str
    edited: float
    snr: float
    seam: float
    dense_seam: float
    seconds: float
    dense_seconds: float
    macs: int
    dense_macs: int
    outside_kept: bool


class Report(NamedTuple):
    """All edits, and bytes: what keys and values take, what was planned, and the most that MLX held."""

    model: str
    side: int
    device: str
    edits: list[Edit]
    recording_seconds: float
    recording: int
    planned: int
    peak: int

    @property
    def passed(self) -> bool:
        """Whether no pixel outside a mask changed, and memory was as planned. How good pictures are nobody says."""
        return all(edit.outside_kept for edit in self.edits) and self.peak <= self.planned

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return {**self._asdict(), "edits": [edit._asdict() for edit in self.edits], "passed": self.passed}


def checked(name: str, bits: int | None, progress: Progress) -> Report:
    """Loads the model, unless it will not fit, and edits. Raises `SigeError` for both."""
    side = SIDES[name]
    klein.planned(name, (side, side), [], 4, 1.0, bits).check()
    before = mx.get_active_memory()
    mx.reset_peak_memory()
    pipeline = klein.load(name, bits)
    session = TokenSession(pipeline, picture_of(side), prompt=RECORDED, strength=1)
    edits, recording = [], 0.0
    for done, (title, (place, prompt)) in enumerate(EDITS.items()):
        progress("check", done, len(EDITS))
        mask = mask_of(side, place)
        result = session.edit(mask=mask, prompt=prompt)
        recording = recording or result.recording_seconds
        start = time.perf_counter()
        dense = session.dense(mask=mask, prompt=prompt).image
        seconds = time.perf_counter() - start
        inside = mask > 0
        kept = bool((result.image[~inside] == session.original[~inside]).all())
        snr = decibels(result.image[inside], dense[inside])
        seams = seam_of(result.image, inside), seam_of(dense, inside)
        work = result.macs, result.dense_macs
        edits.append(Edit(title, float(inside.mean()), snr, *seams, result.seconds, seconds, *work, kept))
        session.revert()
    planned = session.plan().peak
    return Report(
        name,
        side,
        str(mx.default_device()),
        edits,
        recording,
        session.recording_nbytes,
        planned,
        mx.get_peak_memory() - before,
    )


def check(model: str, bits: int | None, json: bool) -> None:
    """Prints what came of it; exit status 1 where a pixel outside a mask changed, or memory was not as planned."""
    with terminal.progress_bars({"check": "editing"}) as tell:
        report = checked(model, bits, tell)
    if json:
        terminal.print_json(report.as_json())
    else:
        terminal.say(f"{model} on {report.device}, {report.side}×{report.side} pixels, 4 steps")
        rows = [
            (
                edit.name,
                f"{edit.edited:.1%}",
                f"{edit.snr:.1f} dB",
                f"{edit.seam:.1f} ({edit.dense_seam:.1f})",
                f"{edit.seconds:.3g} ({edit.dense_seconds:.3g})",
                f"{edit.dense_seconds / edit.seconds:.1f}x, of {edit.dense_macs / edit.macs:.1f}x",
                "kept" if edit.outside_kept else "CHANGED",
            )
            for edit in report.edits
        ]
        head = ["", "edited", "SNR in the mask", "seam (dense)", "seconds (dense)", "less time, of work", "outside"]
        terminal.table(head, rows)
        gigabytes = (report.recording / 1e9, report.peak / 1e9, report.planned / 1e9)
        terminal.say(f"Recorded in {report.recording_seconds:.3g} seconds. Times are of first edits, with warming up.")
        terminal.say("{:.3f} GB of keys and values; at most {:.2f} GB were held, {:.2f} planned".format(*gigabytes))
    if not report.passed:
        raise typer.Exit(1)


def picture_of(side: int) -> Picture:
    """The demo's, with so many pixels a side."""
    original = Image.open(zoo.ASSETS / "demo" / "original.png").convert("RGB")
    return np.asarray(original.resize((side, side), Image.Resampling.BICUBIC))


def mask_of(side: int, place: tuple[float, float, float, float]) -> npt.NDArray[np.uint8]:
    """(side, side), 255 in a place: top, left, height and width, of 1."""
    top, left, height, width = (round(part * side) for part in place)
    mask = np.zeros((side, side), np.uint8)
    mask[top : top + height, left : left + width] = 255
    return mask


def decibels(made: Picture, wanted: Picture) -> float:
    """The SNR of one picture against another."""
    wanted_float = wanted.astype(np.float64)
    noise = float(((made - wanted_float) ** 2).mean())
    return float(10 * np.log10((wanted_float**2).mean() / max(noise, 1e-12)))


def seam_of(picture: Picture, inside: npt.NDArray[np.bool_]) -> float:
    """The mean step between neighbours, one of which is in the mask, in levels of 255."""
    levels = picture.astype(np.int16)
    steps = [
        np.abs(np.diff(levels, axis=axis)).mean(axis=-1)[
            inside.take(range(1, n), axis) != inside.take(range(n - 1), axis)
        ]
        for axis, n in enumerate(inside.shape)
    ]
    return float(np.concatenate(steps).mean())
