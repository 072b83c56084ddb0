"""What a kernel gives names to, and which of these names Metal, or MLX, has given already."""

import functools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from .reserved import ADDRESS_SPACES, CONTROL, EXPRESSIONS, FUNDAMENTAL, KEYWORDS, LIBRARY, SPECIFIERS, STAGES, reserved
from .rewrite import inside_directive, outside_brackets, parts
from .rules import Finding
from .statements import Scope, Statement, parameters, statements, without_template
from .tokens import Token, closing, directives, tokens
from .toolchain import mlx_include

_RESERVED_FORM = re.compile(r"(_[A-Z]|__|METAL_)\w*")
_POINTERS = ("*", "&", "&&")
_INTEGERS = frozenset(("unsigned", "signed", "long", "short", "int", "char", "double"))  # which make one type together
_QUALIFIERS = ADDRESS_SPACES | SPECIFIERS - {"operator", "decltype"} | STAGES | {"METAL_FUNC"}


@dataclass(frozen=True)
class Name:
    """A name that is given to something."""

    token: Token
    macro: bool = False
    everywhere: bool = False
    """Whether it stands outside of any namespace, function and class."""


def identifiers(source: str, code: Sequence[Token], of_mlx: Mapping[str, str]) -> Iterator[Finding]:
    """Names that a kernel cannot have; `of_mlx` are those that stand in front of it, and what each is."""
    yield from _keywords(code)
    for line in directives(source):
        yield from _keywords(inside_directive(line)[2:])
    for name in names(source, code):
        text = name.token.text
        if text in KEYWORDS:
            yield Finding(name.token, "keyword", (text,))
        elif text in reserved():
            yield Finding(name.token, "reserved", (text, reserved()[text]))
        elif _RESERVED_FORM.fullmatch(text):
            yield Finding(name.token, "form", (text,))
        elif text in LIBRARY and name.macro:
            yield Finding(name.token, "library", (text,))
        elif text in of_mlx and (name.macro or name.everywhere or of_mlx[text] == "a macro"):
            yield Finding(name.token, "mlx", (text, of_mlx[text]))


@functools.cache
def preamble_names() -> dict[str, str]:
    """What MLX's headers in front of every kernel define, or declare outside of namespaces."""
    found: dict[str, str] = {}
    waiting = ["mlx/backend/metal/kernels/utils.h"]
    for path in waiting:
        text = (mlx_include() / path).read_text()
        waiting += [p for p in re.findall(r'^#include "(.*)"', text, re.MULTILINE) if p not in waiting]
        for name in names(text, tokens(text)):
            if name.macro or name.everywhere:
                found[name.token.text] = "a macro" if name.macro else "a name"
    return found


# ---- words of the grammar that stand where only an identifier can


def _keywords(code: Sequence[Token]) -> Iterator[Finding]:
    depth = 0
    for i, token in enumerate(code):
        depth = max(0, depth + (token.text == "[[") - (token.text == "]]"))  # a[b[i]] closes what was not opened
        if token.text in KEYWORDS and not depth and _as_identifier(code, i):
            yield Finding(token, "keyword", (token.text,))


def _as_identifier(code: Sequence[Token], i: int) -> bool:
    word = code[i].text
    before = code[i - 1].text if i else ""
    after, second = (code[i + n] if i + n < len(code) else Token("", "", 0, 0, 0) for n in (1, 2))
    if before in (".", "->"):
        return word not in ("template", "operator")
    typed = _is_type(before) and not (before in _INTEGERS and word in _INTEGERS)
    if not after.text:  # the end of a macro
        return False
    if word in STAGES:
        return typed or after.kind != "name"
    if word == "operator":
        return after.text == ";" or (after.text, second.text == ")") == ("(", False)
    if after.text == "(" and second.text in _POINTERS:
        return False  # of a reference to an array: T thread (&x)[N]
    if word in ADDRESS_SPACES and not _of_method(code, i):
        return (typed and after.text == "(") or not (after.kind == "name" or after.text in (*_POINTERS, "::", "("))
    return typed and after.text in ("(", "=", ";", "[", "{" if word in CONTROL | EXPRESSIONS else ";")


def _is_type(word: str) -> bool:
    return word in FUNDAMENTAL or reserved().get(word) == "a type"


def _of_method(code: Sequence[Token], i: int) -> bool:
    """Whether an address space is that of the object whose method is declared: `void f() const thread`."""
    while i and code[i - 1].text in ("const", "volatile", *ADDRESS_SPACES):
        i -= 1
    return i > 0 and code[i - 1].text == ")"


# ---- names that are declared


def names(source: str, code: Sequence[Token]) -> Iterator[Name]:
    """Everything that a program gives a name to."""
    for line in directives(source):
        yield from (Name(token, macro=True) for token in inside_directive(line)[1:2])
    for i, token in enumerate(code):
        if token.text == "enum":
            yield from map(Name, _enumerators(code, i))
    for statement in statements(code):
        outside = statement.scope is Scope.NAMESPACE and not statement.within
        yield from map(Name, _template_parameters(statement.code))
        for token, shared in _declared(statement):
            yield Name(token, everywhere=outside and not shared)


def _enumerators(code: Sequence[Token], i: int) -> Iterator[Token]:
    opening = next((j for j in range(i, min(i + 8, len(code))) if code[j].text in ("{", ";")), None)
    if opening is not None and code[opening].text == "{":
        end = closing(code, opening) or opening
        yield from (part[0] for part in parts(code[opening + 1 : end]) if part)


def _template_parameters(code: Sequence[Token]) -> Iterator[Token]:
    i = 0
    while i + 1 < len(code) and code[i].text == "template" and code[i + 1].text == "<":
        end = closing(code, i + 1)
        if end is None:
            return
        for part in parts(code[i + 2 : end]):
            named = next((part[:j] for j, t in enumerate(part) if t.text == "="), part)
            if len(named) > 1 and named[-1].kind == "name":
                yield named[-1]
        i = end + 1


def _declared(statement: Statement) -> Iterator[tuple[Token, bool]]:
    """The names of one statement, and whether others can have each as well: it is a parameter's or a namespace's."""
    code = _without_control(without_template(statement.code))
    words = [t.text for t in code]
    if not code or words[0] in ("return", "friend", "static_assert", "goto", "case", "default", "extern", "template"):
        return
    if words[0] == "using":
        if len(code) > 2 and words[2] == "=":
            yield code[1], False
    elif words[0] == "typedef":
        bare = outside_brackets(code)
        if bare[-1].kind == "name" and statement.opens is None:
            yield bare[-1], False
    elif words[0] == "namespace":
        yield from ((t, True) for t in code[1:] if t.kind == "name" and t.text != "metal")
    elif words[0] in ("struct", "class", "union", "enum"):
        bare = [t for t in outside_brackets(code[1:], ("[[", "(", "<")) if t.text not in ("class", "alignas")]
        if bare and bare[0].kind == "name":
            yield bare[0], False
            yield from ((t, False) for t in bare[1:2] if t.kind == "name" and len(bare) == 2)
    else:
        function = parameters(statement) if statement.code and code[0] is without_template(statement.code)[0] else None
        if function is None or any(t.text in (".", "->") for t in function[0]):
            yield from ((t, False) for t in _declarators(code))
            return
        result, given = outside_brackets(function[0]), function[1]
        if _declares_name([*result, _END]):
            yield result[-1], False
        if statement.opens is Scope.FUNCTION or statement.scope is not Scope.FUNCTION:
            for part in parts(given):
                yield from ((t, True) for t in _declarators(part) if not _is_own_attribute(part))


_END = Token("punctuation", "(", 0, 0, 0)


def _is_own_attribute(parameter: Sequence[Token]) -> bool:
    """Whether a parameter is called what its attribute is, as MLX calls those of a kernel."""
    bracket = next((i for i, t in enumerate(parameter) if t.text == "[["), None)
    return bool(bracket) and bracket is not None and parameter[bracket - 1].text == parameter[bracket + 1].text


def _without_control(code: Sequence[Token]) -> list[Token]:
    """A statement without the conditions and parts of a `for` in front of it."""
    rest = list(code)
    depth, last = 0, -1
    for i, token in enumerate(rest):
        depth += (token.text == "(") - (token.text == ")")
        if depth < 0:
            depth, last = 0, i
    rest = rest[last + 1 :]
    while rest and rest[0].text in ("if", "while", "switch", "for", "else", "do"):
        end = closing(rest, 1) if len(rest) > 1 and rest[1].text == "(" else 0
        rest = rest[(end or 0) + 1 :]
    return rest


def _declarators(code: Sequence[Token]) -> Iterator[Token]:
    """The names of `const float x = 1, *y[2]`: x and y."""
    bare = outside_brackets(code, ("<", "[["))
    first, *others = parts(bare) or [[]]
    name = _declarator(first)
    if name is None:
        return
    yield name
    for other in others:
        rest = [t for t in other if t.text not in (*_POINTERS, "const")]
        if rest and rest[0].kind == "name" and (len(rest) == 1 or rest[1].text in ("=", "[", "(", "{")):
            yield rest[0]


def _declarator(code: Sequence[Token]) -> Token | None:
    for i in range(len(code)):
        if code[i].text in ("=", "[", "{", ":", "("):
            if code[i].text == "(" and i + 1 < len(code) and code[i + 1].text in _POINTERS:  # T (&name)[N]
                return next((t for t in code[i + 1 :] if t.kind == "name"), None)
            return code[i - 1] if _declares_name(code[: i + 1]) else None
    return code[-1] if _declares_name([*code, _END]) else None


def _declares_name(code: Sequence[Token]) -> bool:
    """Whether tokens, but for the last, are a type and a name."""
    *kind, name = code[:-1] or [_END]
    if name.kind != "name" or (kind and kind[-1].text in ("::", "operator", "~")):
        return False
    if not all(t.kind == "name" or t.text in (*_POINTERS, "::", "...") for t in kind):
        return False
    if name.text in _INTEGERS and all(t.text in _INTEGERS | _QUALIFIERS for t in kind):
        return False  # unsigned int, of a parameter without a name
    return any(t.kind == "name" and t.text not in _QUALIFIERS for t in kind)
