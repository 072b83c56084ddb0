"""What results come to."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
import pytest

from sige_mlx.evaluation.measures import Segmenting
from sige_mlx.evaluation.table import EQUAL, summary, without_times, worst
from sige_mlx.metrics import Features, Iou, frechet_distance

METHODS = ("dense", "edit", "crop")


def result(macs: int, psnr: float | None, extra: dict[str, Any] | None = None) -> dict[str, Any]:
    compared = {"PSNR": {"edited": psnr, "whole": psnr}, "SSIM": {"edited": None, "whole": 0.5}}
    return {"macs": macs, "seconds": 0.25 * macs, "to_dense": compared, **(extra or {})}


def line(case: int, edit: float | None, crop: float | None) -> dict[str, Any]:
    dense = {"macs": 8, "seconds": 2.0}
    methods = {"dense": dense, "edit": result(2, edit), "crop": result(4, crop)}
    return {"case": case, "name": str(case), "edited": 0.1, "methods": methods}


LINES = [line(0, 40.0, 30.0), line(1, None, 20.0), line(2, 20.0, 25.0), line(3, 30.0, 30.0)]


def test_means_medians_and_intervals() -> None:
    table = summary(LINES, METHODS, ("PSNR", "SSIM"))
    edit = table["methods"]["edit"]
    assert (edit["macs"], edit["times_less"], edit["seconds"]) == (2, 4, 0.5)
    spread = edit["to_dense"]["PSNR"]["edited"]
    assert (spread["mean"], spread["median"]) == (np.mean([40, EQUAL, 20, 30]), 35)
    assert (spread["count"], spread["equal"]) == (4, 1)
    assert 20 <= spread["low"] < spread["mean"] < spread["high"] <= EQUAL
    assert edit["to_dense"]["SSIM"] == {
        "edited": None,
        "whole": pytest.approx({"mean": 0.5, "median": 0.5, "low": 0.5, "high": 0.5, "count": 4}),
    }
    assert "to_dense" not in table["methods"]["dense"] and "to_truth" not in edit and "FID (clean)" not in edit


def test_the_interval_is_that_of_the_mean() -> None:
    """Of many values it is about two standard errors to each side."""
    values = np.random.default_rng(0).normal(30, 4, 400)
    table = summary([line(i, float(v), 0.0) for i, v in enumerate(values)], METHODS, ("PSNR",))
    spread = table["methods"]["edit"]["to_dense"]["PSNR"]["edited"]
    error = values.std() / 20
    assert spread["low"] == pytest.approx(values.mean() - 1.96 * error, abs=0.2 * error)
    assert spread["high"] == pytest.approx(values.mean() + 1.96 * error, abs=0.2 * error)


def test_which_is_better_picture_by_picture() -> None:
    better = summary(LINES, METHODS, ("PSNR", "SSIM"))["better"]
    assert better["crop"]["PSNR"]["share"] == (1 + 1 + 0 + 0.5) / 4 and "SSIM" not in better["crop"]
    less = [
        {
            **one,
            "methods": {
                m: {**r, "to_dense": {"X": {"edited": v, "whole": v}}}
                for (m, r), v in zip(one["methods"].items(), (0, 1, 2), strict=True)
            },
        }
        for one in LINES
    ]
    assert summary(less, METHODS, ("X",))["better"]["crop"]["X"]["share"] == 1  # of a distance, less is better


def test_the_worst_come_first_and_equal_ones_last() -> None:
    assert [one["case"] for one in worst(LINES, "edit", 9)] == [2, 3, 0, 1]
    assert [one["case"] for one in worst(LINES, "crop", 2)] == [1, 2]


def test_times_are_no_part_of_what_agrees() -> None:
    slow = [{**one, "methods": {m: {**r, "seconds": 9.0} for m, r in one["methods"].items()}} for one in LINES]
    tables = [summary(lines, METHODS, ("PSNR",)) for lines in (LINES, slow)]
    assert tables[0] != tables[1] and without_times(tables[0]) == without_times(tables[1])


def test_sets_are_measured_as_a_whole() -> None:
    rng = np.random.default_rng(0)
    made, real = (rng.random((4, 6)).astype(np.float32) for _ in range(2))
    counts = [[[0, 0, 3], [1, 0, 1]], [[1, 1, 4]], [[0, 1, 2]], []]
    lines = []
    for i, one in enumerate(LINES):
        told = {"features": base64.b64encode(made[i].tobytes()).decode(), "seen": {"edited": counts[i], "whole": []}}
        methods = {m: {**r, **told} for m, r in one["methods"].items()}
        lines.append({**one, "methods": methods, "features": base64.b64encode(real[i].tobytes()).decode()})
    by = Segmenting("mIoU (two)", 2, np.asarray, lambda picture: picture[..., 0])
    edit = summary(lines, METHODS, ("PSNR",), by)["methods"]["edit"]
    keys = np.arange(4 * 32).reshape(4, 32).astype(np.uint8)
    assert edit["FID (clean)"] == frechet_distance(*(Features(rows, keys, "x").statistics() for rows in (made, real)))
    iou = Iou(2)
    iou.confusion += [[3, 2], [1, 4]]
    seen = edit["mIoU (two)"]
    assert seen["edited"]["mean"] == iou.mean and seen["whole"] is None  # where no pixel counts


def test_the_interval_of_a_miou_is_that_of_the_pictures() -> None:
    """A third of 300 pictures shows nothing of what it should, the others all: the share of the right pixels, which is
    the mIoU of one class among its wrong ones, is known to about two of its standard errors."""
    lines = []
    for i, one in enumerate([line(i, 30.0, 20.0) for i in range(300)]):
        counts = [[0, 0 if i % 3 else 1, 5]]
        methods = {m: {**r, "seen": {"edited": counts, "whole": counts}} for m, r in one["methods"].items()}
        lines.append({**one, "methods": methods})
    by = Segmenting("mIoU", 2, np.asarray, lambda picture: picture[..., 0])
    of = summary(lines, METHODS, ("PSNR",), by)["methods"]["edit"]["mIoU"]["whole"]
    error = np.sqrt(2 / 9 / 300) / 2  # the second class is never right: half of it is the mean of the two
    assert of["mean"] == pytest.approx(1 / 3)
    assert of["low"] == pytest.approx(1 / 3 - 1.96 * error, abs=0.2 * error)
    assert of["high"] == pytest.approx(1 / 3 + 1.96 * error, abs=0.2 * error)
