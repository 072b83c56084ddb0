"""What to write for characters that a font or a terminal lacks."""

import unicodedata
from collections.abc import Callable

_PLAIN = {
    **{"×": "x", "·": "-", "…": "...", "–": "-", "—": "-", "→": "->", "⌈": "", "⌉": ""},
    **{"\u2018": "'", "\u2019": "'", "“": '"', "”": '"', "░": "+", "█": "#", "▀": "#", "│": "|", "─": "-"},
}


def spelled(character: str, has: Callable[[str], bool]) -> str:
    """A character with those that there are, as `has` says: another of the same meaning, the letter without its
    accents, or a question mark."""
    if has(character):
        return character
    plain = _PLAIN.get(character) or unicodedata.normalize("NFKD", character)
    return "".join(c if has(c) else "?" for c in plain if not unicodedata.combining(c))
