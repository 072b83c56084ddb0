"""C++ text as tokens: enough to find declarations and casts, not a parser."""

import functools
import re
from collections.abc import Sequence
from typing import NamedTuple

_TOKEN = re.compile(
    r"""
    (?P<comment>//[^\n]*|/\*.*?\*/)
  | (?P<directive>^[ \t]*\#(?:\\\n|[^\n])*)
  | (?P<string>"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*')
  | (?P<number>\.?\d(?:[eEpP][+-]|[\w.'])*)
  | (?P<name>[A-Za-z_]\w*)
  | (?P<space>\n|[^\S\n]+)
  | (?P<punctuation>::|->\*?|\+\+|--|&&|\|\||\[\[|\]\]|[<>=!]=|<<=?|[-+*/%&|^]=|\.\.\.|.)
    """,
    re.VERBOSE | re.DOTALL | re.MULTILINE,
)


class Token(NamedTuple):
    kind: str
    text: str
    line: int  # from 1
    start: int  # in the text
    end: int


def tokens(text: str) -> list[Token]:
    """The tokens of a program, without white space, comments and preprocessor lines. `>>` comes as two tokens, so that
    template arguments close."""
    return [t for t in _all(text) if t.kind not in ("comment", "directive")]


def directives(text: str) -> list[Token]:
    """The preprocessor lines of a program."""
    return [t for t in _all(text) if t.kind == "directive"]


@functools.lru_cache(maxsize=8)
def _all(text: str) -> tuple[Token, ...]:
    found = []
    line, at = 1, 0
    for match in _TOKEN.finditer(text):
        kind, start, end = str(match.lastgroup), match.start(), match.end()
        if kind != "space":
            line += text.count("\n", at, start)
            at = start
            found.append(Token(kind, match.group(), line, start, end))
    return tuple(found)


_CLOSING = {"(": ")", "[": "]", "{": "}", "[[": "]]", "<": ">"}


def closing(code: Sequence[Token], opening: int) -> int | None:
    """The index of the bracket that closes the one at `opening`, or None. A `<` closes only if what is between looks
    like template arguments."""
    want = [_CLOSING[code[opening].text]]
    angle = code[opening].text == "<"
    for i in range(opening + 1, len(code)):
        text = code[i].text
        if text == want[-1]:
            want.pop()
            if not want:
                return i
        elif text in "([{" or text == "[[" or (angle and text == "<"):
            want.append(_CLOSING[text])
        elif text == "]]" and want[-2:] == ["]", "]"]:  # a[b[i]]
            del want[-2:]
            if not want:
                return i
        elif text in ")]}" or (angle and text in (";", "&&", "||")):
            return None
    return None


_LINE = re.compile(r'\s*#\s*line\s+(\d+)(?:\s+"([^"]*)")?')


@functools.lru_cache(maxsize=8)
def _places(text: str) -> tuple[tuple[str, int], ...]:
    """File and number of every line, as `#line` directives tell them; the file is empty before the first."""
    found = []
    file, number = "", 1
    for line in text.splitlines():
        found.append((file, number))
        number += 1
        if told := _LINE.match(line):
            file, number = told[2] or file, int(told[1])
    return tuple(found)


def place(text: str, line: int) -> str:
    """Where a line of the text, from 1, comes from: `conv/mma.h, line 12`, or without a file `line 12`."""
    places = _places(text)
    file, number = places[line - 1] if 0 < line <= len(places) else ("", line)
    return f"{file}, line {number}" if file else f"line {number}"


def line_of(text: str, file: str, number: int) -> str:
    """A line of a file in the text, without the space around it; nothing where there is none."""
    lines = zip(_places(text), text.splitlines(), strict=True)
    return next((line.strip() for at, line in lines if at == (file, number)), "")
