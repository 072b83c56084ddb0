"""What clang accepts and Metal refuses, found in the text. README.md lists it."""

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence

from .errors import SimError
from .identifiers import ADDRESS_SPACES, Finding, identifiers, preamble_names
from .rewrite import VECTORS, find_kernel, inside_directive, outside_brackets, parts
from .statements import Scope, Statement, parameters, statements, without_template
from .tokens import Token, closing, directives, place, tokens

MAX_BUFFERS = 31

_WORDS = {
    "asm": "assembly",
    "catch": "exceptions",
    "co_await": "coroutines",
    "delete": "delete",
    "double": "double",
    "dynamic_cast": "dynamic_cast",
    "goto": "goto",
    "new": "new",
    "printf": "printf",
    "thread_local": "thread_local",
    "throw": "exceptions",
    "try": "exceptions",
    "typeid": "typeid",
    "virtual": "virtual functions",
}

_SPECIFIERS = frozenset(("const", "constant", "constexpr", "device", "inline", "static", "thread", "threadgroup"))


def lint(name: str, source: str, of_mlx: Mapping[str, str] | None = None) -> None:
    """Raises `SimError` for the first thing in a kernel's text that Metal, or MLX, would refuse. `of_mlx` are the names
    that stand in front of the kernel, `preamble_names` if they are not given."""
    code = tokens(source)
    kernel = find_kernel(code)
    found = [*_findings(source, code), *identifiers(source, code, preamble_names() if of_mlx is None else of_mlx)]
    first = min(found, key=lambda f: f[0].line, default=None)
    if first is not None:
        token, what = first
        raise SimError(f"kernel {name}: {place(source, token.line)}: {what}")
    buffers = sum(code[i].text == "buffer" for i in kernel.parameters)
    if buffers > MAX_BUFFERS:
        raise SimError(f"kernel {name}: {buffers} buffer arguments; Metal allows {MAX_BUFFERS}")


def _findings(source: str, code: Sequence[Token]) -> Iterator[Finding]:
    for token in (*code, *directives(source)):
        if not token.text.isascii():
            yield token, f"{token.text.strip()} is not ASCII, as which MLX hands the text to Metal"
    code = _with_specifiers(source, code)
    for line in directives(source):
        yield from _includes(line)
        yield from _words(inside_directive(line))
    yield from _words(code)
    yield from _casts(code)
    for statement in statements(code):
        yield from _functions(statement)
        yield from _pointers(statement)
        yield from _variables(statement)


def _with_specifiers(source: str, code: Sequence[Token]) -> list[Token]:
    """The tokens with those macros replaced that stand for specifiers: `#define CONST static constant constexpr`."""
    macros: dict[str, list[Token]] = {}
    for line in directives(source):
        if body := inside_directive(line)[1:]:
            name, *meaning = body
            if meaning and all(t.text in _SPECIFIERS for t in meaning):
                macros[name.text] = meaning
    return [
        Token(new.kind, new.text, token.line, token.start, token.end)
        for token in code
        for new in macros.get(token.text, [token])
    ]


def _includes(line: Token) -> Iterator[Finding]:
    included = re.match(r"\s*#\s*(?:include|import)\s*(\S+)", line.text)
    if included and not included[1].startswith("<metal_"):
        yield line, f"includes {included[1]}; MLX gives a kernel no headers but Metal's"


def _words(code: Sequence[Token]) -> Iterator[Finding]:
    for i, token in enumerate(code):
        following = code[i + 1].text if i + 1 < len(code) else ""
        before = code[i - 1].text if i else ""
        if token.text in _WORDS and not (token.text == "delete" and before == "="):
            yield token, f"Metal has no {_WORDS[token.text]}"
        elif token.kind == "number" and re.fullmatch(r"[\d.]*(\.|[eE][+-]?\d)[\d.]*[lL]", token.text):
            yield token, "Metal has no long double"
        elif token.text == "std" and following == "::":
            yield token, "Metal has no namespace std"
        elif token.text == "[" and before in ("=", "(", ",", "return", "{", ";", "&&", "||", "?", ":"):
            end = closing(code, i)
            if end is not None and end + 1 < len(code) and code[end + 1].text in ("(", "{"):
                yield token, "Metal has no lambda expressions before version 4"
        elif token.text == "(" and following == "*" and _declares_function(code, i):
            yield token, "Metal has no pointers to functions"
        elif token.text == "max_total_threads_per_threadgroup" and following == "(" and _number(code[i + 2]) <= 32:
            yield token, "Apple's compiler miscompiles matrix products of max_total_threads_per_threadgroup(32)"


def _number(token: Token) -> int:
    return int(token.text) if token.text.isdigit() else 1024


def _declares_function(code: Sequence[Token], i: int) -> bool:
    """Whether `(*` at `i` begins a pointer to a function: `T (*name)(`."""
    end = closing(code, i)
    before = code[i - 1]
    is_type = (before.kind == "name" and before.text != "return") or before.text in ("*", "&", ">")
    return is_type and end == i + 3 and code[end + 1].text == "("


def _casts(code: Sequence[Token]) -> Iterator[Finding]:
    """Casts to pointers without an address space, and C casts to vectors."""
    openings: list[int] = []
    for i, token in enumerate(code):
        if token.text == "(":
            openings.append(i)
        elif token.text == ")" and openings:
            inner = code[openings.pop() + 1 : i]
            if inner and inner[-1].text in ("*", "&") and not _has_space(inner) and _declares(inner[:-1]):
                yield inner[-1], "a cast to a pointer needs an address space"
            if len(inner) == 1 and inner[0].text in VECTORS and _is_cast(code, i):
                yield inner[0], f"a C cast to a vector is not modelled: write {inner[0].text}(…)"
        elif token.text in ("reinterpret_cast", "static_cast", "const_cast") and code[i + 1].text == "<":
            end = closing(code, i + 1)
            inner = code[i + 2 : end] if end is not None else []
            if inner and inner[-1].text in ("*", "&") and not _has_space(inner):
                yield token, "a cast to a pointer or reference needs an address space"


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
        yield result[0], "a function's result that is a pointer or reference needs an address space"
    for parameter in parts(declared):
        kind = next((parameter[:i] for i, t in enumerate(parameter) if t.text == "="), parameter)
        bare = outside_brackets(kind)
        is_reference = any(b.text in ("*", "&", "&&") and a.text != "operator" for a, b in itertools.pairwise(bare))
        if is_reference and not _has_space(kind):
            yield kind[0], "a parameter that is a pointer or reference needs an address space"


def _pointers(statement: Statement) -> Iterator[Finding]:
    """Variables, members and aliases that are pointers or references."""
    code = without_template(statement.code)
    if code and code[0].text == "using":
        if any(t.text in ("*", "&") for t in outside_brackets(code, "([<")) and not _has_space(code):
            yield code[0], "a pointer or reference needs an address space"
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
        yield bare[0], "a pointer or reference needs an address space"


def _variables(statement: Statement) -> Iterator[Finding]:
    """Variables that live longer than a thread's."""
    code = without_template(statement.code)
    words = [t.text for t in code]
    if not code or statement.opens is not None:
        return
    if words[0] == "threadgroup" and not any(w in ("*", "&") for w in words):
        if not statement.kernel:
            yield code[0], "threadgroup variables are declared in the kernel function"
        elif "=" in words:
            yield code[0], "a threadgroup variable cannot be initialised"
    if statement.scope == Scope.FUNCTION:
        if words[0] == "static" and "constant" not in words:
            yield code[0], "a static variable of a function must be constant"
        return
    if "constant" in words or words[0] in ("using", "typedef", "static_assert", "friend", "template", "extern"):
        return
    before = words[: words.index("=")] if "=" in words else words
    if "(" in before or any(w in ("struct", "class", "union", "enum", "operator", "concept") for w in before):
        return
    declares = sum(re.match(r"\w", w) is not None for w in before) >= 2  # a type and a name
    if declares and (statement.scope == Scope.NAMESPACE or "static" in words):
        yield code[0], "a variable of program scope must be in address space constant"
