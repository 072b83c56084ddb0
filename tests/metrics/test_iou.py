"""Intersection over union, and Cityscapes' classes."""

from __future__ import annotations

import numpy as np
import pytest

from sige_mlx.errors import SigeError
from sige_mlx.label_classes import CITYSCAPES
from sige_mlx.metrics import Iou, train_ids
from sige_mlx.metrics.iou import CLASSES
from tests.metrics.references import reference


def drawn(batch: int = 2, classes: int = 19, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """True labels, some of them 255 and one class nowhere, and what was found, often the same."""
    rng = np.random.default_rng(seed)
    true = rng.integers(0, classes - 1, (batch, 20, 30))
    found = np.where(rng.random(true.shape) < 0.7, true, rng.integers(0, classes - 1, true.shape))
    true[rng.random(true.shape) < 0.1] = 255
    return true.astype(np.uint8), found.astype(np.uint8)


def test_as_torchmetrics_has_it() -> None:
    import_torch = pytest.importorskip("torch", exc_type=ModuleNotFoundError).tensor
    theirs = reference("torchmetrics.functional.classification")
    true, found = drawn()
    ours = Iou()
    ours.add(true, found)
    settings = {"num_classes": 19, "ignore_index": 255}
    given = [import_torch(labels.astype(np.int64)) for labels in (found, true)]
    np.testing.assert_array_equal(ours.confusion, theirs.multiclass_confusion_matrix(*given, **settings).numpy())
    wanted = theirs.multiclass_jaccard_index(*given, average=None, **settings).numpy()
    np.testing.assert_allclose(ours.of_classes[:18], wanted[:18], atol=1e-6)
    assert np.isnan(ours.of_classes[18])  # which nothing is, and nothing was taken for
    assert ours.mean == pytest.approx(wanted[:18].mean(), abs=1e-6)


def test_a_known_map() -> None:
    iou = Iou(3)
    iou.add(np.array([[0, 0, 1, 255]]), np.array([[0, 1, 1, 2]]))
    np.testing.assert_array_equal(iou.confusion, [[1, 1, 0], [0, 1, 0], [0, 0, 0]])
    np.testing.assert_array_equal(iou.of_classes, [0.5, 0.5, np.nan])
    assert iou.mean == 0.5


def test_everything_found_is_one_and_nothing_at_all_no_number() -> None:
    true, _ = drawn()
    iou = Iou()
    assert np.isnan(iou.mean)
    iou.add(true, np.where(true == 255, 0, true))
    assert iou.mean == 1


def test_pictures_added_one_by_one_or_on_two_machines() -> None:
    true, found = drawn(3)
    masks = np.random.default_rng(1).random(true.shape) < 0.5
    together, first, second = Iou(), Iou(), Iou()
    together.add(true, found, masks)
    first.add(true[0], found[0], masks[0])
    second.add(true[1:], found[1:], masks[1:])
    np.testing.assert_array_equal((first + second).confusion, together.confusion)
    np.testing.assert_array_equal((second + first).confusion, together.confusion)
    assert (first + second).mean == together.mean


def test_only_the_mask_counts() -> None:
    true, found = drawn()
    mask = np.zeros(true.shape[1:], np.bool_)
    mask[3:9, 5:20] = True
    masked, cut, everything, whole = Iou(), Iou(), Iou(), Iou()
    masked.add(true, found, mask)
    cut.add(true[:, 3:9, 5:20], found[:, 3:9, 5:20])
    everything.add(true, found, np.ones_like(mask))
    whole.add(true, found)
    np.testing.assert_array_equal(masked.confusion, cut.confusion)
    np.testing.assert_array_equal(everything.confusion, whole.confusion)


def test_labels_that_do_not_fit() -> None:
    true, found = drawn()
    iou = Iou()
    for wrong, sentence in (
        (np.where(true == 255, 34, true), "a true label is 34: 0 to 18 would be right, or 255 for none"),
        (true.astype(np.float32), r"the true labels are float32 \(2, 20, 30\): integers"),
        (true[:, 1:], r"pixel by pixel, not \(2, 19, 30\) with \(2, 20, 30\)"),
        (true.astype(np.int64) - 2, "a true label is -[12]"),
    ):
        with pytest.raises(SigeError, match=sentence):
            iou.add(wrong, found)
    with pytest.raises(SigeError, match="a label found is 200"):
        iou.add(true, np.full_like(found, 200))
    assert not iou.confusion.any(), "nothing of what was refused is counted"
    with pytest.raises(SigeError, match="IoU of 19 classes cannot be added to that of 3"):
        iou + Iou(3)


def test_the_classes_of_cityscapes() -> None:
    """Each train id has the name that its label id has."""
    found = train_ids(np.arange(len(CITYSCAPES)))
    named = {c.name: int(i) for c, i in zip(CITYSCAPES, found, strict=True) if i != 255}
    assert named == {name: i for i, name in enumerate(CLASSES)}
    assert len(CLASSES) == 19
    assert (found[[0, 1, 2, 3, 4, 5, 6, 9, 10, 14, 15, 16, 18, 29, 30, 34]] == 255).all()


def test_label_ids_of_any_type() -> None:
    for ids in (np.array([[7, 33, 0]], np.uint8), np.array([[7, 33, -1]]), np.array([[7, 33, 1000]], np.int64)):
        np.testing.assert_array_equal(train_ids(ids), [[0, 18, 255]])
        assert train_ids(ids).dtype == np.uint8
    with pytest.raises(SigeError, match="label ids are of type float64: integers would be right"):
        train_ids([1.0])
