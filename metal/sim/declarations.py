"""Declarations and casts that Metal refuses: those without an address space, and variables where none can be."""

import itertools
import re
from collections.abc import Iterator, Sequence

from .reserved import ADDRESS_SPACES
from .rewrite import VECTORS, outside_brackets, parts
from .rules import Finding
from .statements import Scope, Statement, parameters, statements, without_template
from .tokens import Token, closing


def declarations(code: Sequence[Token]) -> Iterator[Finding]:
    """All of them in a program."""
    yield from _casts(code)
    for statement in statements(code):
        yield from _functions(statement)
        yield from _pointers(statement)
        yield from _variables(statement)


def _casts(code: Sequence[Token]) -> Iterator[Finding]:
    """Casts to pointers without an address space, and C casts to vectors."""
    openings: list[int] = []
    for i, token in enumerate(code):
        if token.text == "(":
            openings.append(i)
        elif token.text == ")" and openings:
            inner = code[openings.pop() + 1 : i]
            if inner and inner[-1].text in ("*", "&") and not _has_space(inner) and _declares(inner[:-1]):
                yield Finding(inner[-1], "cast")
            if len(inner) == 1 and inner[0].text in VECTORS and _is_cast(code, i):
                yield Finding(inner[0], "vector cast", (inner[0].text,))
        elif token.text in ("reinterpret_cast", "static_cast", "const_cast") and code[i + 1].text == "<":
            end = closing(code, i + 1)
            inner = code[i + 2 : end] if end is not None else []
            if inner and inner[-1].text in ("*", "&") and not _has_space(inner):
                yield Finding(token, "named cast")


def _is_cast(code: Sequence[Token], end: int) -> bool:
    """Whether `(T)`, which ends at `end`, casts what follows it."""
    following = code[end + 1]
    casts = following.kind in ("name", "number") or following.text == "("
    return casts and code[end - 3].text not in ("sizeof", "alignof", "decltype")


def _has_space(code: Sequence[Token]) -> bool:
    return any(t.text in ADDRESS_SPACES for t in code)


def _declares(code: Sequence[Token]) -> bool:
    """Whether the tokens read as a type: names, scopes and template arguments."""
    bare = outside_brackets(code)
    return bool(bare) and all(t.kind == "name" or t.text in ("::", "*", "&") for t in bare)


def _functions(statement: Statement) -> Iterator[Finding]:
    if statement.scope not in (Scope.NAMESPACE, Scope.CLASS):
        return
    found = parameters(statement)
    if found is None or statement.opens in (Scope.CLASS, Scope.NAMESPACE, Scope.OTHER):
        return
    result, declared = found
    if any(t.text in ("using", "typedef", "static_assert", "decltype") for t in result):
        return
    operator = next((i for i, t in enumerate(result) if t.text == "operator"), len(result))
    if any(t.text in ("*", "&") for t in outside_brackets(result[:operator])) and not _has_space(result):
        yield Finding(result[0], "result")
    for parameter in parts(declared):
        kind = next((parameter[:i] for i, t in enumerate(parameter) if t.text == "="), parameter)
        bare = outside_brackets(kind)
        is_reference = any(b.text in ("*", "&", "&&") and a.text != "operator" for a, b in itertools.pairwise(bare))
        if is_reference and not _has_space(kind):
            yield Finding(kind[0], "parameter")


def _pointers(statement: Statement) -> Iterator[Finding]:
    """Variables, members and aliases that are pointers or references."""
    code = without_template(statement.code)
    if code and code[0].text == "using":
        if any(t.text in ("*", "&") for t in outside_brackets(code, "([<")) and not _has_space(code):
            yield Finding(code[0], "pointer")
        return
    if statement.scope == Scope.NAMESPACE or statement.opens is not None or _has_space(code):
        return
    bare = outside_brackets(code)
    star = next((i for i, t in enumerate(bare) if t.text in ("*", "&", "&&")), None)
    if not star or not all(t.kind == "name" or t.text == "::" for t in bare[:star]) or bare[0].text == "return":
        return
    after = star
    while after < len(bare) and bare[after].text in ("*", "&", "&&", "const"):
        after += 1
    name = bare[after] if after < len(bare) else None
    ends = after + 1 >= len(bare) or bare[after + 1].text in ("=", ",", "{")
    if name is not None and name.kind == "name" and ends:
        yield Finding(bare[0], "pointer")


def _variables(statement: Statement) -> Iterator[Finding]:
    """Variables that live longer than a thread's."""
    code = without_template(statement.code)
    words = [t.text for t in code]
    if not code or statement.opens is not None:
        return
    if words[0] == "threadgroup" and not any(w in ("*", "&") for w in words):
        if not statement.kernel:
            yield Finding(code[0], "threadgroup variable")
        elif "=" in words:
            yield Finding(code[0], "initial value")
    if statement.scope == Scope.FUNCTION:
        if words[0] == "static" and "constant" not in words:
            yield Finding(code[0], "static variable")
        return
    if "constant" in words or words[0] in ("using", "typedef", "static_assert", "friend", "template", "extern"):
        return
    before = words[: words.index("=")] if "=" in words else words
    if "(" in before or any(w in ("struct", "class", "union", "enum", "operator", "concept") for w in before):
        return
    declares = sum(re.match(r"\w", w) is not None for w in before) >= 2  # a type and a name
    if declares and (statement.scope == Scope.NAMESPACE or "static" in words):
        yield Finding(code[0], "program variable")
