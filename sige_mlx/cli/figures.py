"""What an edit cost, in the words and units that people read: one list for the terminal and for pictures."""

from typing import Any, NamedTuple

import numpy as np

from sige_mlx.editing.result import DenseResult, EditResult
from sige_mlx.editing.windows import Window
from sige_mlx.graph.tiling import Size

HEAD = ("the edit", "everything", "times less")
"""What the columns of the figures are called."""


class Figure(NamedTuple):
    """One row of the table: a quantity for the edit, for the whole picture, and how many times less that is."""

    name: str
    edit: str
    dense: str
    ratio: str
    plane: Size | None = None
    """The plane whose tiles the row counts."""


def figures(result: EditResult, dense: DenseResult | None = None) -> list[Figure]:
    """The rows for an edit: GMACs and seconds are the last two, and before them what recording took, if anything was
    recorded first. Dense seconds are those of `dense` if it was run, else of recording the original."""
    edited, pixels = int(result.mask.sum()), result.mask.size
    rows = [Figure("edited pixels", f"{edited} ({result.edited:.1%})", f"{pixels}", _times(pixels, edited))]
    if result.window and not result.window.trivial:
        rows.append(_window(result.window))
    for (h, w), (active, count) in result.tiles.items():
        rows.append(Figure(f"{result.way} at {w} × {h}", f"{active}", f"{count}", _times(count, active), (h, w)))
    steps = steps_in_words(result.steps)
    macs, dense_macs = result.macs, result.dense_macs
    if result.recording_seconds:
        recording, total = result.recording_seconds, result.total_seconds
        rows.append(Figure("seconds recording, and in all", f"{_digits(recording)}, {_digits(total)}", "", ""))
    rows.append(Figure(f"GMACs, {steps}", _digits(macs / 1e9), _digits(dense_macs / 1e9), _times(dense_macs, macs)))
    seconds = dense.seconds if dense else result.dense_seconds
    if seconds is None:
        return [*rows, Figure(f"seconds, {steps}", _digits(result.seconds), "not run", "")]
    less = _times(seconds, result.seconds)
    return [*rows, Figure(f"seconds, {steps}", _digits(result.seconds), _digits(seconds), less)]


def _window(window: Window) -> Figure:
    """What the network saw: how much of the picture, and where that is."""
    (top, left, height, width), scale = window.part, "" if window.scale == 1 else f", scale {window.scale:.3g}"
    return Figure(
        "window", f"{width} × {height}{scale}", f"{window.picture[1]} × {window.picture[0]}", f"at {left}, {top}"
    )


def steps_in_words(count: int) -> str:
    return f"{count} step{'s' if count > 1 else ''}"


def headline(result: EditResult, dense: DenseResult | None = None) -> str:
    """What was saved, in one line; nothing for an empty edit."""
    *_, macs, seconds = figures(result, dense)
    saved = ((macs.ratio, "less arithmetic"), (seconds.ratio, "less time"))
    return ", ".join(f"{ratio} {what}" for ratio, what in saved if ratio)


def saving(result: EditResult) -> str:
    """Of an edit that was computed as the dense pass, in a sentence: what a session would have saved, or that it would
    have been the dense pass there, too. Else nothing."""
    if result.edit_macs is None or not result.mask.any():
        return ""
    if result.edit_macs >= result.dense_macs:
        return "Everything was computed: of this size, and at this --quality and --threshold, an edit is the dense pass"
    less = _times(result.dense_macs, result.edit_macs)
    return (
        f"Everything was computed, which is cheapest for one edit: in a session the next takes {less} less arithmetic"
    )


def as_json(result: EditResult, dense: DenseResult | None = None) -> dict[str, Any]:
    """The same numbers for programs: MACs and seconds of all steps, shares 0 to 1, tiles as "HxW": [active, all]."""
    numbers: dict[str, Any] = {
        "edited": result.edited,
        "steps": result.steps,
        "way": result.way,
        "window": _as_json(result.window),
        "tiles": {f"{h}x{w}": list(counts) for (h, w), counts in result.tiles.items()},
        "macs": result.macs,
        "dense_macs": result.dense_macs,
        "session_macs": result.macs if result.edit_macs is None else result.edit_macs,
        "seconds": result.seconds,
        "recording_seconds": result.recording_seconds,
        "total_seconds": result.total_seconds,
        "recorded_seconds": result.dense_seconds,
    }
    if dense:
        numbers["dense_seconds"] = dense.seconds
        numbers["difference"] = difference(result, dense)
    return numbers


def _as_json(window: Window | None) -> dict[str, Any] | None:
    if window is None:
        return None
    (top, left, height, width) = window.part
    return {"x": left, "y": top, "width": width, "height": height, "scale": window.scale}


def difference(result: EditResult, dense: DenseResult) -> float:
    """How far the two results are apart in the mask: grey levels (of 255) a channel, on average; 0 for an empty one."""
    off = np.abs(result.image.astype(np.int16) - dense.image)[result.mask]
    return float(off.mean()) if off.size else 0.0


def _digits(value: float) -> str:
    """Three digits, more before the point if need be."""
    return f"{value:.3g}" if value < 100 else f"{value:.0f}"


def _times(whole: float, part: float) -> str:
    return f"{whole / part:.1f}×" if part else ""
