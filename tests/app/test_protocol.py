import struct

import numpy as np
import pytest

from sige_mlx.app import protocol
from sige_mlx.errors import SigeError
from tests.app.talking import stroke


def test_a_stroke_is_what_was_sent() -> None:
    sent = stroke([(1.5, 2, 0.25), (3, 4, 1)], (9, 8, 7), protocol.LASSO, 12.5, protocol.RENDER, 77, 51)
    read = protocol.stroke(sent)
    assert (read.tool, read.radius, read.render, read.more, read.seq) == (protocol.LASSO, 12.5, True, False, 77)
    assert read.value == (9, 8, 7) and read.hardness == pytest.approx(0.2)
    assert np.array_equal(read.points, np.array([(1.5, 2, 0.25), (3, 4, 1)], np.float32))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x01" * 15,
        stroke([]),
        stroke([(1, 1)])[:-1],
        b"\x02" + stroke([(1, 1)])[1:],
        stroke([(1, 1)], tool=5),
        stroke([(1, 1)], flags=4),
        stroke([(float("nan"), 1)]),
        stroke([(float("inf"), 1)]),
        stroke([(1, 1e7)]),
        stroke([(1, 1)], radius=0),
        stroke([(1, 1)], radius=-1),
        stroke([(1, 1)], radius=float("nan")),
        stroke([(1, 1)], radius=1e9),
        stroke([(0, 0)] * (protocol.MOST_POINTS + 1)),
    ],
)
def test_what_is_no_stroke_is_refused(data: bytes) -> None:
    with pytest.raises(SigeError):
        protocol.stroke(data)


def test_pressure_beyond_its_range_is_cut() -> None:
    assert protocol.stroke(stroke([(1, 1, 7), (1, 1, -7)])).points[:, 2].tolist() == [1, 0]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        '"undo"',
        "{}",
        '{"t": 1}',
        '{"t": ["undo"]}',
        '{"t": "undone", "seq": 1}',
        '{"t": "undo"}',
        '{"t": "undo", "seq": -1}',
        '{"t": "undo", "seq": 1.5}',
        '{"t": "undo", "seq": true}',
        '{"t": "undo", "seq": 4294967296}',
        '{"t": "fill", "seq": 1, "x": NaN, "y": 1}',
        '{"t": "fill", "seq": 1, "x": 1e99, "y": 1}',
        "[" * 60_000,
        " " * 70_000,
        '{"t": "undo", "seq": ' + "9" * 5000 + "}",
    ],
)
def test_what_is_no_message_is_refused(text: str) -> None:
    with pytest.raises(SigeError):
        protocol.message(text)
    assert protocol.seq_of(text) in (None, 1)


def test_a_message_has_what_it_says() -> None:
    told = protocol.message('{"t": "fill", "seq": 4294967295, "x": 1, "y": 2.5, "value": [1, 2, 3]}')
    assert told["seq"] == 2**32 - 1 and protocol.numbers(told, "value", 0, 255, range(3, 4)) == [1, 2, 3]


@pytest.mark.parametrize("value", [None, 3, "3", [1.0], [True], [-1], [256], [], [1, 2, 3, 4, 5], [[1]]])
def test_a_list_of_anything_else_than_numbers_is_refused(value: object) -> None:
    with pytest.raises(SigeError, match="value must be a list of whole numbers"):
        protocol.numbers({"value": value}, "value", 0, 255, range(1, 5))


def test_a_rectangle_is_twenty_bytes_and_its_body() -> None:
    frame = protocol.rectangle(protocol.VARIANT, protocol.PNG, 5, 2**32 + 6, (1, 2, 3, 4), b"body", 7)
    assert struct.unpack("<BBHIIHHHH", frame[:20]) == (3, 1 | 7 << 4, 0, 5, 6, 1, 2, 3, 4)
    assert frame[protocol.RECTANGLE.size :] == b"body"


def test_numbers_that_json_has_not_are_null() -> None:
    assert protocol.text("x", a=float("nan"), b=[float("inf")], c={"d": 1.5}) == (
        '{"t": "x", "a": null, "b": [null], "c": {"d": 1.5}}'
    )
