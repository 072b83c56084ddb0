"""Words on pictures, in whatever letters people give their files: with a font that has them, and as long as there is
room."""

from __future__ import annotations

from functools import lru_cache
from typing import TypeAlias

from PIL import ImageDraw, ImageFont

from sige_mlx.cli.plain_text import spelled

Font: TypeAlias = ImageFont.FreeTypeFont | ImageFont.ImageFont

FONTS = (
    *("Arial Unicode.ttf", "Hiragino Sans GB.ttc", "AppleSDGothicNeo.ttc"),
    *("DejaVuSans.ttf", "NotoSans-Regular.ttf", "NotoSansCJK-Regular.ttc", "LiberationSans-Regular.ttf", "arial.ttf"),
)
"""Fonts of macOS and of Linux with many letters, by the names of their files; looked for only where Pillow's lacks
some."""

ABSENT = "\U0010ffff"
"""No font has this character: it looks as the characters do that a font lacks."""

TYPOGRAPHY = "×·"
"""In most lines, and plain enough without: no other font is worth looking for."""


def write(
    draw: ImageDraw.ImageDraw,
    at: tuple[int, int],
    text: str,
    size: int,
    colour: str,
    *,
    right: bool = False,
    room: float | None = None,
) -> float:
    """Writes a line of text whose top left corner, or top right one, is at a point, shortened in its middle to at most
    `room` pixels; returns how many it takes."""
    text, font = _letters("".join(c if c.isprintable() else " " for c in text), size)
    text = shortened(text, font, room)
    draw.text(at, text, colour, font, anchor="ra" if right else "la")
    return font.getlength(text)


def shortened(text: str, font: Font, room: float | None) -> str:
    """The text, or its beginning and end, in at most `room` pixels."""
    if room is None or font.getlength(text) <= room:
        return text
    kept = len(text)
    while kept:
        kept -= 1
        short = f"{text[: kept - kept // 2].rstrip()}...{text[len(text) - kept // 2 :].lstrip()}"
        if font.getlength(short) <= room:
            return short
    return ""


def _letters(text: str, size: int) -> tuple[str, Font]:
    """The text, and the first font of those that lack the fewest of its characters; what it lacks is spelled
    otherwise."""
    own = ImageFont.load_default(size)
    if not any(_lacks(own, c) for c in text if c not in TYPOGRAPHY):
        font: Font = own
    else:
        fonts = [own, *(found for name in FONTS if (found := _installed(name, size)))]
        font = min(fonts, key=lambda f: sum(_lacks(f, c) for c in text))
    return "".join(spelled(c, lambda c: not _lacks(font, c)) for c in text), font


@lru_cache
def _installed(name: str, size: int) -> Font | None:
    try:
        return ImageFont.truetype(name, size)
    except OSError:
        return None


def _lacks(font: Font, character: str) -> bool:
    return character != " " and bytes(font.getmask(character)) == bytes(font.getmask(ABSENT))
