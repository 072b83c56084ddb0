"""What results of many pictures come to: means and medians with confidence intervals, and which method is better."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from sige_mlx.evaluation.measures import HIGHER, IN, WHOLE, Segmenting
from sige_mlx.metrics import Features, Iou, frechet_distance

RESAMPLES, SEED = 2000, 0
"""Of the bootstrap."""

CONFIDENCE = (2.5, 97.5)
"""Percentiles between which 95 % of the resampled means are."""

EQUAL = 99.0
"""Decibels that count for equal pictures, whose PSNR is infinite, and at most for any."""

FID = "FID (clean)"
"""Of sets of pictures."""

TO_DENSE, TO_TRUTH = "to_dense", "to_truth"

Line = Mapping[str, Any]


def summary(
    lines: Sequence[Line], methods: Sequence[str], measures: Sequence[str], segmenting: Segmenting | None = None
) -> dict[str, Any]:
    """Of results in the order of their cases. All but `seconds` is a function of what the pictures look like, to the
    last digit, however they were shared out."""
    dense = _mean([line["methods"]["dense"]["macs"] for line in lines])
    found: dict[str, Any] = {"pictures": len(lines), "edited": _mean([line["edited"] for line in lines]), "methods": {}}
    for method in methods:
        results = [line["methods"][method] for line in lines]
        macs = _mean([result["macs"] for result in results])
        of: dict[str, Any] = {"macs": macs, "times_less": dense / macs}
        of["seconds"] = float(np.median([result["seconds"] for result in results]))
        for reference in (TO_DENSE, TO_TRUTH):
            told = [result[reference] for result in results if reference in result]
            if told:
                of[reference] = {m: {at: _spread(m, [t[m][at] for t in told]) for at in (IN, WHOLE)} for m in measures}
        if (distance := _frechet(lines, method)) is not None:
            of[FID] = distance
        if segmenting:
            seen = {at: [result["seen"][at] for result in results] for at in (IN, WHOLE)}
            of[segmenting.name] = {at: _iou(counts, segmenting.classes) for at, counts in seen.items()}
        found["methods"][method] = of
    found["better"] = _better(lines, methods, measures)
    return found


def without_times(table: Mapping[str, Any]) -> dict[str, Any]:
    """What two runs over the same pictures have in common."""
    kept = {name: {k: v for k, v in of.items() if k != "seconds"} for name, of in table["methods"].items()}
    return {**table, "methods": kept}


def worst(lines: Sequence[Line], method: str, count: int) -> list[Line]:
    """Results of pictures that a method renders least like the dense pass in the edited region, the worst first."""

    def likeness(line: Line) -> tuple[float, int]:
        value = line["methods"][method].get(TO_DENSE, {}).get("PSNR", {}).get(IN)
        return (np.inf if value is None else value), line["case"]

    return sorted(lines, key=likeness)[:count]


def _values(measure: str, values: Sequence[float | None]) -> npt.NDArray[np.float64]:
    """Those that there are; those of equal pictures too, where there is none for them."""
    if measure == "PSNR":
        return np.array([EQUAL if v is None else min(v, EQUAL) for v in values])
    return np.array([v for v in values if v is not None], np.float64)


def _spread(measure: str, values: Sequence[float | None]) -> dict[str, float] | None:
    """Mean, median, the confidence interval of the mean, and how many values there are; of a PSNR also how many of
    equal pictures. None of no values."""
    found = _values(measure, values)
    if not found.size:
        return None
    low, high = _interval(found)
    told = {"mean": float(found.mean()), "median": float(np.median(found)), "low": low, "high": high}
    told["count"] = found.size
    return {**told, "equal": sum(v is None for v in values)} if measure == "PSNR" else told


def _interval(values: npt.NDArray[np.float64]) -> tuple[float, float]:
    """Of the mean, by the percentiles of a bootstrap (Efron 1979) with a fixed seed."""
    rng = np.random.default_rng(SEED)
    means = np.array([values[rng.integers(values.size, size=values.size)].mean() for _ in range(RESAMPLES)])
    low, high = np.percentile(means, CONFIDENCE)
    return float(low), float(high)


def _better(lines: Sequence[Line], methods: Sequence[str], measures: Sequence[str]) -> dict[str, Any]:
    """In which share of the pictures the method "edit" is nearer to the dense pass, in the edited region, than each
    other one; a draw is half."""
    found: dict[str, Any] = {}
    for other in methods:
        if "edit" not in methods or other in ("dense", "edit"):
            continue
        found[other] = {}
        for measure in measures:
            pairs = [[line["methods"][m][TO_DENSE][measure][IN] for line in lines] for m in ("edit", other)]
            both = [(a, b) for a, b in zip(*pairs, strict=True) if measure == "PSNR" or None not in (a, b)]
            if not both:
                continue
            ours, theirs = (_values(measure, values) for values in zip(*both, strict=True))
            sign = np.sign(ours - theirs) * (1 if measure in HIGHER else -1)
            shares = (sign + 1) / 2
            low, high = _interval(shares)
            found[other][measure] = {"share": float(shares.mean()), "low": low, "high": high}
    return found


def _frechet(lines: Sequence[Line], method: str) -> float | None:
    """Of a method's pictures to the true ones, or where there are none to the originals."""
    made, real, cases = [], [], []
    for line in lines:
        pair = line["methods"][method].get("features"), line.get("features")
        if pair[0] is not None and pair[1] is not None:
            made.append(pair[0])
            real.append(pair[1])
            cases.append(line["case"])
    if len(cases) < 2:
        return None
    return frechet_distance(_features(made, cases).statistics(), _features(real, cases).statistics())


def _features(texts: Sequence[str], cases: Sequence[int]) -> Features:
    """In the order of the cases, which stand for the checksums of pictures."""
    rows = np.stack([np.frombuffer(base64.b64decode(text), np.float32) for text in texts])
    keys = np.array([list(case.to_bytes(32, "big")) for case in cases], np.uint8)
    return Features(rows, keys, "Inception")


def _iou(counts: Sequence[Sequence[tuple[int, int, int]]], classes: int) -> dict[str, float] | None:
    """Over all pixels of all pictures, and where it lies, by a bootstrap of the pictures; None where none counts."""
    confusions = np.zeros((len(counts), classes, classes), np.int64)
    for confusion, counted in zip(confusions, counts, strict=True):
        for true, seen, pixels in counted:
            confusion[true, seen] += pixels
    if not confusions.any():
        return None
    drawn = np.random.default_rng(SEED).integers(len(counts), size=(RESAMPLES, len(counts)))
    means = [_mean_iou(confusions[some].sum(0)) for some in drawn]
    low, high = np.nanpercentile(means, CONFIDENCE)
    return {"mean": _mean_iou(confusions.sum(0)), "low": float(low), "high": float(high)}


def _mean_iou(confusion: npt.NDArray[np.int64]) -> float:
    iou = Iou(len(confusion))
    iou.confusion = confusion
    return iou.mean


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values))
