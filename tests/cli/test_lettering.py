"""Words on pictures: letters that a font has, in the room there is."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from sige_mlx.cli import lettering
from sige_mlx.cli.lettering import shortened, write

OWN = ImageFont.load_default(20)


def drawn(text: str, room: float | None = None, right: bool = False) -> tuple[np.ndarray, float]:
    page = Image.new("L", (600, 40), 255)
    length = write(ImageDraw.Draw(page), (590 if right else 10, 5), text, 20, "black", right=right, room=room)
    return np.asarray(page), length


def boxes(text: str) -> bool:
    """Whether a line has what a font draws for characters that it lacks."""
    found, font = lettering._letters(text, 20)
    return any(lettering._lacks(font, character) for character in found)


@pytest.mark.parametrize(
    "text",
    [
        "plain.png",
        "12 × 34 · cpu",
        "Zürich.png",
        "été – à la mer….png",
        "пляж.png",
        "海岸.png",
        "🏝.png",
        "x\udcff.png",
        "šŝ€",
    ],
)
@pytest.mark.parametrize("fonts", [lettering.FONTS, ()])
def test_no_line_has_boxes(text: str, fonts: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lettering, "FONTS", fonts)
    assert not boxes(text)
    assert (drawn(text)[0] < 128).any()


def test_without_another_font_letters_lose_their_accents(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lettering, "FONTS", ("no such font.ttf",))
    assert lettering._letters("Zürich ŝ 3 × 4", 20)[0] == "Zurich s 3 x 4"
    assert lettering._letters("пляж", 20)[0] == "????"


@pytest.mark.parametrize("text", ["a\nb", "tab\tand\x07bell", "‮gnp.a"])
def test_a_line_is_a_line(text: str) -> None:
    ink = drawn(text)[0]
    assert not (ink[30:] < 255).any()


def test_long_lines_are_shortened_in_the_middle() -> None:
    text = "the beginning " * 10 + "the end.png"
    short = shortened(text, OWN, 300)
    assert short.startswith("the beginning") and short.endswith("end.png") and "..." in short
    assert 250 < OWN.getlength(short) <= 300
    assert shortened("short", OWN, 300) == "short" and shortened("short", OWN, 1) == ""
    ink, length = drawn(text, room=300)
    assert length <= 300 and not (ink[:, 320:] < 255).any()


def test_lines_may_end_at_a_point() -> None:
    ink, length = drawn("to the right", right=True)
    columns = np.flatnonzero((ink < 255).any(0))
    assert columns.max() <= 590 and columns.min() >= 590 - length - 1
