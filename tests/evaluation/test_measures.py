"""Measures of edits: the numbers of `sige_mlx.metrics`, in the edited region and whole."""

from __future__ import annotations

import numpy as np
import pytest

from sige_mlx import metrics, zoo
from sige_mlx.errors import SigeError
from sige_mlx.evaluation.measures import IN, WHOLE, Found, Measures, confusion, segmenting
from sige_mlx.label_classes import CITYSCAPES, LabelClass
from sige_mlx.metrics import weights
from sige_mlx.metrics.perceptual import PerceptualNetwork
from tests.tiny import original, painted

MASK = (original(64) != painted(64)).any(-1)


@pytest.fixture
def measures(monkeypatch: pytest.MonkeyPatch) -> Measures:
    """With random weights of ST-LPIPS, and of nothing else."""

    def load(name: str) -> tuple[PerceptualNetwork, str]:
        if name != "st-lpips-alex":
            raise SigeError(f"{name} is not here")
        return PerceptualNetwork(weights.shift_tolerant_alexnet()), ""

    monkeypatch.setattr(weights, "load", load)
    return Measures()


def compared(measures: Measures, picture: np.ndarray, reference: np.ndarray, mask: np.ndarray) -> Found:
    return measures.compare({"edit": picture}, {"to": reference}, mask)["to"]["edit"]


def test_every_number_is_that_of_its_measure(measures: Measures) -> None:
    assert measures.names == ("PSNR", "SSIM", "ST-LPIPS (alex)")
    noisy = np.clip(original(64) + np.random.default_rng(0).integers(-9, 9, (64, 64, 3)), 0, 255).astype(np.uint8)
    pictures, references = {"edit": painted(64), "crop": noisy}, {"to": original(64), "too": noisy}
    found = measures.compare(pictures, references, MASK)["to"]
    st_lpips = measures.perceptual[0]
    for name, picture in (("edit", painted(64)), ("crop", noisy)):
        for measure, call in (("PSNR", metrics.psnr), ("SSIM", metrics.ssim), (st_lpips.name, st_lpips)):
            inside, whole = found[name][measure][IN], found[name][measure][WHOLE]
            assert inside == pytest.approx(call(picture, original(64), mask=MASK), rel=1e-5)
            assert whole == pytest.approx(call(picture, original(64)), rel=1e-5)


def test_what_says_nothing_is_none(measures: Measures) -> None:
    assert compared(measures, painted(64), painted(64), MASK)["PSNR"] == {IN: None, WHOLE: None}
    corner = np.zeros((64, 64), np.bool_)
    corner[:3, :3] = True
    found = compared(measures, painted(64), original(64), corner)["SSIM"]
    assert found[IN] is None and found[WHOLE] is not None
    small = np.ones((10, 10), np.bool_)
    found = compared(measures, painted(10), original(10), small)
    assert found["SSIM"] == found["ST-LPIPS (alex)"] == {IN: None, WHOLE: None}


def test_what_is_missing_is_said_and_never_measured(measures: Measures) -> None:
    assert measures.missing == ["alexnet is not here", "inception-2015-12-05 is not here"]
    assert measures.features(original()) is None
    with pytest.raises(SigeError, match="drn-d-105-cityscapes is not here"):
        segmenting(CITYSCAPES)


def test_land_cover_is_measured_under_its_own_name() -> None:
    by = segmenting(zoo.classes(zoo.LABELS))
    assert (by.name, by.classes) == ("mIoU (Blue Marble)", 12)
    assert by.seen(original(64)).shape == (64, 64) and by.known(np.eye(2, dtype=np.int32)).tolist() == [[1, 0], [0, 1]]


@pytest.mark.parametrize("named", [("deep sea", "lake"), ("a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l")])
def test_other_classes_are_seen_by_nothing(named: tuple[str, ...]) -> None:
    """Nor are others of the same number."""
    classes = tuple(LabelClass(name, (i, i, i)) for i, name in enumerate(named))
    with pytest.raises(SigeError, match=f"a network that tells the {len(named)} classes of these label maps apart"):
        segmenting(classes)
    with pytest.raises(SigeError, match="tells classes of which the model says nothing apart"):
        segmenting(())


def test_confusion_is_that_of_iou() -> None:
    true, seen = np.array([[0, 1], [1, 255]], np.uint8), np.array([[0, 0], [1, 1]], np.uint8)
    assert confusion(true, seen, None, 2) == [[0, 0, 1], [1, 0, 1], [1, 1, 1]]
    assert confusion(true, seen, np.array([[True, False], [False, True]]), 2) == [[0, 0, 1]]
