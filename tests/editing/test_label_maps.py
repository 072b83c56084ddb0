"""Label maps from files and arrays, in their colours, and as a network reads them."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as stnp
from PIL import Image

from sige_mlx.editing import open_image
from sige_mlx.editing.label_maps import CITYSCAPES, colours, edges, encode, read_instances, read_map
from sige_mlx.errors import SigeError
from tests.labels import one_hot
from tests.tiny import LABEL_CONFIG, LABEL_SIZE, instances, labels

ids = stnp.arrays(np.int32, stnp.array_shapes(min_dims=2, max_dims=2, max_side=9), elements=st.integers(0, 4))
COLOUR = Image.fromarray(colours(labels()))
UNCOLOURED = {1, 2, 3, 4, 18, 34}  # ids whose colour is another's


def read(image: object) -> np.ndarray:
    return read_map(image, LABEL_SIZE, "the map")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "image",
    [
        labels(),
        labels().astype(np.int64),
        colours(labels()),
        Image.fromarray(labels()),
        Image.fromarray(labels().astype(np.uint16)),
        Image.fromarray(labels().astype(np.int32)),
        Image.fromarray(labels()).convert("LA"),
        COLOUR,
        COLOUR.convert("RGBA"),
        COLOUR.convert("P", palette=Image.Palette.ADAPTIVE),
    ],
    ids=lambda image: getattr(image, "mode", None) or f"{image.dtype} {image.ndim}",
)
def test_all_that_may_hold_a_label_map(image: object) -> None:
    found = read(image)
    assert found.dtype == np.int32
    np.testing.assert_array_equal(found, labels())


@pytest.mark.parametrize("mode", ["L", "I;16", "RGBA", "P"])
def test_files(mode: str, tmp_path: Path) -> None:
    grey = Image.fromarray(labels().astype(np.uint16)) if mode == "I;16" else Image.fromarray(labels())
    (grey if mode in ("L", "I;16") else COLOUR.convert(mode, palette=Image.Palette.ADAPTIVE)).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read(open_image(tmp_path / "a.png")), labels())


def test_instances_are_beyond_a_byte(tmp_path: Path) -> None:
    Image.fromarray(instances().astype(np.uint16)).save(tmp_path / "i.png")
    np.testing.assert_array_equal(read(open_image(tmp_path / "i.png")), instances())


def test_every_class_has_its_colour() -> None:
    assert len(CITYSCAPES) == 35
    known = np.arange(35)[None]
    found = read_map(colours(known), (1, 35), "the map")
    kept = [i for i in range(35) if i not in UNCOLOURED]
    np.testing.assert_array_equal(found[0, kept], kept)
    assert {int(i) for i in found[0, sorted(UNCOLOURED)]} == {0, 17, 26}
    np.testing.assert_array_equal(colours(np.array([[7, 26, 23]]))[0], [(128, 64, 128), (0, 0, 142), (70, 130, 180)])


def test_colours_of_another_palette() -> None:
    palette = ((0, 0, 255), (0, 255, 0), (9, 9, 9))
    known = np.array([[2, 0, 1], [1, 1, 2]])
    np.testing.assert_array_equal(read_map(colours(known, palette), (2, 3), "the map", palette), known)
    with pytest.raises(SigeError, match=r"has the colour \(0, 0, 255\) at x = 1, y = 0"):
        read_map(colours(known, palette), (2, 3), "the map", palette[1:])


def indexed(ids: np.ndarray, palette: dict[int, tuple[int, int, int]]) -> Image.Image:
    image = Image.fromarray(ids.astype(np.uint8), "P")
    image.putpalette([part for index in range(256) for part in palette.get(index, (1, 2, 3))])
    return image


def test_indices_of_a_palette_that_is_not_the_classes() -> None:
    known = np.resize(np.arange(35), LABEL_SIZE)
    np.testing.assert_array_equal(read(indexed(known, {0: (0, 0, 0), 1: (128, 0, 0), 2: (0, 128, 0)})), known)
    np.testing.assert_array_equal(read(indexed(known, {})), known)
    road, sky = CITYSCAPES[7], CITYSCAPES[23]
    np.testing.assert_array_equal(read(indexed(known % 2, {0: sky, 1: road})), np.where(known % 2, 7, 23))


def test_an_indexed_picture_with_a_stray_colour_is_no_map_of_indices() -> None:
    ids = np.resize(np.arange(3), LABEL_SIZE)
    with pytest.raises(SigeError, match=r"has the colour \(1, 2, 3\) at x = 2, y = 0"):
        read(indexed(ids, {0: CITYSCAPES[23], 1: CITYSCAPES[7]}))


@pytest.mark.parametrize(
    ("image", "sentence"),
    [
        (
            labels()[:, :40],
            r"^the map is 40×32 pixels \(width × height\): this model takes 64×32; resize .* nearest",
        ),
        (colours(labels())[:5], r"^the map is 64×5 pixels"),
        (labels().astype(np.float32), r"^the map is an array \(32, 64\) of float32: it must be"),
        (np.dstack([labels()] * 4), r"^the map is an array \(32, 64, 4\) of uint8"),
        (colours(labels()).astype(np.int32), r"^the map is an array \(32, 64, 3\) of int32"),
        (Image.fromarray(labels()).convert("CMYK"), r"^the map is a picture of the kind CMYK: grey with ids"),
        (Image.fromarray(labels().astype(np.float32)), r"^the map is a picture of the kind F"),
    ],
)
def test_what_is_no_label_map(image: object, sentence: str) -> None:
    with pytest.raises(SigeError, match=sentence):
        read(image)


@pytest.mark.parametrize("reader", [read_map, read_instances])
@pytest.mark.parametrize(
    ("dtype", "wrong"),
    [(np.uint32, 2**32 - 1), (np.int64, 2**32 + 7), (np.uint64, 2**64 - 1), (np.int64, -(2**31) - 1)],
)
def test_integers_are_never_wrapped(reader: Callable[..., np.ndarray], dtype: type, wrong: int) -> None:
    """2^32 + 7, cast without a check, would be the road."""
    ids = labels().astype(dtype)
    ids[3, 4] = wrong
    with pytest.raises(SigeError, match=rf"^the map has the id {wrong}: ids are -2147483648 to 2147483647$"):
        reader(ids, LABEL_SIZE, "the map")


def test_without_colours_a_map_must_be_grey() -> None:
    np.testing.assert_array_equal(read_map(labels(), LABEL_SIZE, "the map", ()), labels())
    known = Image.fromarray(labels(), "P")
    np.testing.assert_array_equal(read_map(known, LABEL_SIZE, "the map", ()), labels())
    with pytest.raises(SigeError, match=r"^the map is in colours, and nobody told those of this model's classes: "):
        read_map(COLOUR, LABEL_SIZE, "the map", ())


@pytest.mark.parametrize("name", ["a.jpg", "a.webp"])
def test_lossy_pictures_should_be_png(name: str, tmp_path: Path) -> None:
    COLOUR.save(tmp_path / name)
    with pytest.raises(SigeError, match=rf"^{tmp_path / name} has the colour .* changes colours and ids: save maps as"):
        read(tmp_path / name)
    with pytest.raises(SigeError, match=rf"^{tmp_path / name} should say which .* and cannot \(.* maps as PNG\)$"):
        read_instances(tmp_path / name, LABEL_SIZE, "the map")


# ---- instances


def test_every_colour_is_an_object() -> None:
    picture = np.zeros((*LABEL_SIZE, 3), np.uint8)
    picture[4:, :7], picture[:4, 7:] = (1, 2, 3), (255, 255, 255)
    expected = np.zeros(LABEL_SIZE, np.int32)
    expected[4:, :7], expected[:4, 7:] = 0x010203, 0xFFFFFF
    image = Image.fromarray(picture)
    for pixels in (picture, image, image.convert("RGBA")):
        np.testing.assert_array_equal(read_instances(pixels, LABEL_SIZE, "the map"), expected)


def test_indices_are_the_objects_whatever_their_colours() -> None:
    ids = np.resize(np.arange(34), LABEL_SIZE)
    for palette in ({}, dict(enumerate(CITYSCAPES)), {0: CITYSCAPES[23], 1: CITYSCAPES[7]}):
        np.testing.assert_array_equal(read_instances(indexed(ids, palette), LABEL_SIZE, "the map"), ids)


@pytest.mark.parametrize("mode", ["L", "LA", "I;16"])
def test_grey_values_are_the_objects(mode: str, tmp_path: Path) -> None:
    objects = labels() if mode in ("L", "LA") else instances()
    image = Image.fromarray(objects.astype(np.uint16) if mode == "I;16" else objects)
    (image.convert("LA") if mode == "LA" else image).save(tmp_path / "i.png")
    np.testing.assert_array_equal(read_instances(tmp_path / "i.png", LABEL_SIZE, "the map"), objects)


def test_a_colour_of_no_class_is_named_with_its_place() -> None:
    picture = colours(labels())
    picture[3, 17] = (1, 2, 3)
    with pytest.raises(SigeError, match=r"^the map has the colour \(1, 2, 3\) at x = 17, y = 3: it is none of"):
        read(picture)


@given(ids, st.booleans())
def test_encoding_is_one_hot_and_edges(labels: np.ndarray, no_instance: bool) -> None:
    config = dataclasses.replace(LABEL_CONFIG, input_nc=5, no_instance=no_instance)
    objects = labels * 3
    expected = one_hot(labels, None if no_instance else objects, 5)
    np.testing.assert_array_equal(encode(labels, objects, config), np.asarray(expected))


@given(ids)
def test_edges_are_on_both_sides(objects: np.ndarray) -> None:
    np.testing.assert_array_equal(edges(objects), np.asarray(one_hot(objects, objects, 1))[0, ..., -1] > 0)


@pytest.mark.parametrize(("wrong", "said"), [(35, "35"), (-1, "-1"), (255, "255")])
def test_classes_that_the_network_does_not_know(wrong: int, said: str) -> None:
    with pytest.raises(SigeError, match=rf"the class {said}: this model knows the classes 0 to 34, which `sige-"):
        encode(np.array([[0, wrong]], np.int32), np.zeros((1, 2), np.int32), LABEL_CONFIG)
