"""C++ text as statements: what is declared where. Reads declarations, does not understand expressions."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum

from .tokens import Token, closing


class Scope(Enum):
    NAMESPACE = "namespace"
    CLASS = "class"
    FUNCTION = "function"
    OTHER = "other"  # an enumeration's or an initialiser's braces


@dataclass(frozen=True)
class Statement:
    """Tokens up to a `;` (not in it), or up to the `{` of what they introduce."""

    code: tuple[Token, ...]
    scope: Scope
    """Where it stands."""
    opens: Scope | None
    """What its `{` begins; None for a statement that ends with `;`."""
    kernel: bool
    """Whether it stands in the body of a kernel function."""
    within: bool
    """Whether it stands in a namespace with a name."""

    @property
    def texts(self) -> list[str]:
        return [t.text for t in self.code]


def statements(code: Sequence[Token]) -> Iterator[Statement]:
    """All statements of a program, in order, those in functions included; a `for`'s first part is one of its own."""
    scopes: list[tuple[Scope, bool, bool]] = [(Scope.NAMESPACE, False, False)]
    start = i = 0
    while i < len(code):
        text = code[i].text
        scope, kernel, within = scopes[-1]
        head = code[start:i]
        if text == "{":
            if _initialises(head, scope):
                i = (closing(code, i) or i) + 1
                continue
            opens = _opened(head, scope)
            yield Statement(tuple(head), scope, opens, kernel, within)
            words = [t.text for t in head]
            scopes.append((opens, kernel or "kernel" in words, within or "namespace" in words[:-1]))
            start = i + 1
        elif text == "}":
            if len(scopes) > 1:
                scopes.pop()
            start = i + 1
        elif text == ";":
            yield Statement(tuple(head), scope, None, kernel, within)
            start = i + 1
        elif text in ("public", "private", "protected", "default") and code[i + 1].text == ":":
            start = i + 2
        elif text == "for" and scope == Scope.FUNCTION:
            start = i + 2  # past its parenthesis
        i += 1


def _initialises(head: Sequence[Token], scope: Scope) -> bool:
    """Whether a `{` after `head` begins a value, not a body."""
    if not head:
        return False
    last = head[-1].text
    if last in ("=", "return", ",", "(", ">", "[") or (last == "]" and scope != Scope.NAMESPACE):
        return not any(t.text in ("struct", "class", "union", "enum", "namespace") for t in head[:2])
    if head[-1].kind != "name" or last in ("const", "else", "do", "thread", "device", "constant", "threadgroup"):
        return False
    if scope == Scope.FUNCTION:
        return not any(t.text in ("struct", "class", "union", "enum") for t in head)
    return any(a.text == ")" and b.text == ":" for a, b in itertools.pairwise(head))  # a member's, before a body


def _opened(head: Sequence[Token], scope: Scope) -> Scope:
    bare = without_template(head)
    words = [t.text for t in bare]
    if scope == Scope.FUNCTION:
        return Scope.CLASS if words[:1] in (["struct"], ["class"], ["union"]) else Scope.FUNCTION
    if "namespace" in words or words[:1] == ["extern"]:
        return Scope.NAMESPACE
    if "enum" in words:
        return Scope.OTHER
    if words[:1] in (["struct"], ["class"], ["union"]) and words[-1] != ")":  # not a function that returns one
        return Scope.CLASS
    return Scope.FUNCTION if "(" in words else Scope.OTHER


def without_template(code: Sequence[Token]) -> list[Token]:
    """A declaration without its `template <…>` and its attributes."""
    rest = list(code)
    while len(rest) > 1 and rest[0].text == "template" and rest[1].text == "<":
        end = closing(rest, 1)
        if end is None:
            return rest
        rest = rest[end + 1 :]
    while rest and rest[0].text == "[[":
        rest = rest[(closing(rest, 0) or 0) + 1 :]
    return rest


def parameters(statement: Statement) -> tuple[list[Token], list[Token]] | None:
    """What stands before a function's parentheses, and in them; None for a statement that declares no function."""
    code = without_template(statement.code)
    i = 0
    while i < len(code):
        if code[i].text == "<" and (end := closing(code, i)) is not None:
            i = end + 1
            continue
        if code[i].text in ("=", "[["):
            return None
        if code[i].text == "(":
            end = closing(code, i)
            if end is None:
                return None
            if code[i - 1].text == "operator":  # operator()
                i = end + 1
                continue
            return code[:i], code[i + 1 : end]
        i += 1
    return None
