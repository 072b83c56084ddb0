"""Edits in a row of one session, each compared with the dense pass and then committed."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import mean

import numpy as np

from benchmarks.trained.edits import edited
from sige_mlx.editing import EditSession
from sige_mlx.editing.colour import Picture
from sige_mlx.editing.recording import Progress
from sige_mlx.engine import Engine
from sige_mlx.metrics import psnr


@dataclass(frozen=True)
class Row:
    """PSNR in dB, in the mask, against the dense edit of the same picture."""

    kept: list[float]
    """Of edit after edit, each committed."""
    idle: list[float]
    """Of edits where the idle time after each commit was enough to record anew."""
    refreshed: float
    """Of one edit more, after what was committed was recorded anew."""
    fresh: float
    """Of the same in a session opened on the same picture."""


def drift(values: list[float]) -> float:
    """How far the mean of the last half is above that of the first half."""
    half = len(values) // 2
    return mean(values[-half:]) - mean(values[:half])


def row(engine: Engine, picture: Picture, count: int, percent: float, steps: int, seed: int, progress: Progress) -> Row:
    """Paints `count` blobs of `percent` % of the pixels, in places and colours drawn with `seed`."""
    sessions = [EditSession(engine, picture, steps=steps) for _ in range(2)]
    likenesses: tuple[list[float], list[float]] = [], []
    for number in range(count):
        progress("commit", number, count)
        for session, found in zip(sessions, likenesses, strict=True):
            found.append(_likeness(session, edited(session.original, "painted", percent, seed + number)))
            session.commit()
        sessions[1].refresh()
    session = sessions[0]
    session.refresh()
    probe = edited(session.original, "painted", percent, seed + count)
    fresh = EditSession(engine, session.original, steps=steps)
    measured = Row(*likenesses, _likeness(session, probe), _likeness(fresh, probe))
    progress("commit", count, count)
    return measured


def _likeness(session: EditSession, picture: Picture) -> float:
    result, dense = session.edit(picture), session.dense(picture)
    return float(np.minimum(psnr(result.image, dense.image, 255, result.mask), 99))
