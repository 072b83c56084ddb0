"""Label maps from files and arrays, in their colours, and as a network reads them."""

import dataclasses
import io
import os
from collections.abc import Callable
from pathlib import Path

import mlx.core as mx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as stnp
from PIL import Image

from sige_mlx.editing import open_image
from sige_mlx.editing.label_maps import CITYSCAPES, colours, edges, encode, read_instances, read_map
from sige_mlx.errors import SigeError
from tests.files import display_p3, write_png16
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
            r"^the map is 40×32 pixels \(width × height\): 64×32 is wanted; resize .* nearest",
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


def saved(image: Image.Image, path: Path, **options: object) -> Path:
    image.save(path, **options)
    return path


LOSSY = {
    "a.jpg": ("JPEG", {}),
    "b.webp": ("lossy WebP", {}),
    "c.webp": ("lossy WebP", {"icc_profile": display_p3()}),  # in an extended file
    "d.avif": ("AVIF", {}),
    "e.tiff": ("TIFF with jpeg compression", {"compression": "jpeg"}),
    "f.jp2": ("JPEG 2000", {"quality_layers": [20], "irreversible": True}),
}


@pytest.mark.parametrize("name", LOSSY)
@pytest.mark.parametrize("grey", [True, False])
def test_maps_that_were_saved_with_loss_are_refused(name: str, grey: bool, tmp_path: Path) -> None:
    """Grey ones above all: most of the ids that they end up with are classes."""
    what, options = LOSSY[name]
    path = saved(Image.fromarray(labels()) if grey else COLOUR, tmp_path / name, **options)
    sentence = rf"^{path} cannot be trusted: {what} changes colours and ids, so save maps as PNG$"
    for reader in (read_map, read_instances):
        with pytest.raises(SigeError, match=sentence):
            reader(path, LABEL_SIZE, "the map")
    with pytest.raises(SigeError, match=rf"^the map cannot be trusted: {what}"):
        read(Image.open(path))


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("a.webp", {"lossless": True}),
        ("b.webp", {"lossless": True, "icc_profile": display_p3(), "exact": True}),
        ("c.tiff", {"compression": "tiff_lzw"}),
        ("d.bmp", {}),
        ("e.ppm", {}),
        ("f.gif", {}),
        ("g.tga", {}),
    ],
)
def test_maps_that_were_saved_without_loss(name: str, options: dict[str, object], tmp_path: Path) -> None:
    path = saved(COLOUR, tmp_path / name, **options)
    np.testing.assert_array_equal(read(path), labels())
    np.testing.assert_array_equal(read(Image.open(path)), labels())


def test_a_webp_that_was_read_from_memory(tmp_path: Path) -> None:
    file = io.BytesIO(saved(COLOUR, tmp_path / "a.webp", lossless=True).read_bytes())
    np.testing.assert_array_equal(read(Image.open(file)), labels())


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_a_map_with_a_hole(mode: str, tmp_path: Path) -> None:
    """What lies under transparency is often black, which is a class."""
    if mode == "P":
        path = saved(COLOUR.quantize(), tmp_path / "a.png", transparency=COLOUR.quantize().getpixel((5, 2)))
        words = "x = 0, y = 0"
    else:
        image = (COLOUR if mode == "RGBA" else Image.fromarray(labels())).convert(mode)
        alpha = Image.new("L", image.size, 255)
        alpha.putpixel((5, 2), 0)
        image.putalpha(alpha)
        path, words = saved(image, tmp_path / "a.png"), "x = 5, y = 2"
    with pytest.raises(SigeError, match=f"is transparent at {words}: a map says of every pixel what it shows"):
        read(path)


def test_sixteen_bits(tmp_path: Path) -> None:
    write_png16(tmp_path / "grey.png", labels()[..., None])
    np.testing.assert_array_equal(read(tmp_path / "grey.png"), labels())
    write_png16(tmp_path / "colour.png", colours(labels()))
    with pytest.raises(SigeError, match="has 16 bits a channel, of which 8 would be lost"):
        read(tmp_path / "colour.png")


def test_a_map_that_is_to_be_turned(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    quarter = Image.fromarray(labels()).transpose(Image.Transpose.ROTATE_90)
    np.testing.assert_array_equal(read(saved(quarter, tmp_path / "a.png", exif=exif)), labels())
    np.testing.assert_array_equal(read(Image.open(tmp_path / "a.png")), labels())


def test_paths_and_arrays_of_any_kind(tmp_path: Path) -> None:
    path = saved(Image.fromarray(labels()), tmp_path / "a.png")
    frozen = labels()
    frozen.flags.writeable = False
    for held in (str(path), os.fsencode(path), frozen, np.asfortranarray(labels()), mx.array(labels())):
        np.testing.assert_array_equal(read(held), labels())
    with pytest.raises(SigeError, match="the map is a generator: the path of a file"):
        read(i for i in range(3))


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
