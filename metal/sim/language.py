"""Words and phrases that clang takes and Metal has not."""

import re
from collections.abc import Iterator, Sequence

from .rewrite import inside_directive
from .rules import Finding
from .tokens import Token, closing, directives

_WORDS = {
    "_Complex": "complex numbers",
    "_Float16": "_Float16: it is called half",
    "__bf16": "__bf16: it is called bfloat",
    "__fp16": "__fp16: it is called half",
    "__int128": "integers of 128 bits",
    "asm": "assembly",
    "catch": "exceptions",
    "char16_t": "char16_t",
    "char32_t": "char32_t",
    "co_await": "coroutines",
    "delete": "delete",
    "double": "double",
    "dynamic_cast": "dynamic_cast",
    "goto": "goto",
    "new": "new",
    "printf": "printf",
    "register": "register",
    "thread_local": "thread_local",
    "throw": "exceptions",
    "try": "exceptions",
    "typeid": "typeid",
    "virtual": "virtual functions",
    "wchar_t": "wchar_t",
}


def language(source: str, code: Sequence[Token]) -> Iterator[Finding]:
    """All of them in a program, macros included."""
    for token in (*code, *directives(source)):
        if not token.text.isascii():
            yield Finding(token, "ascii", (token.text.strip(),))
    yield from _includes(source, code)
    for line in directives(source):
        yield from _words(inside_directive(line))
    yield from _words(code)


def _includes(source: str, code: Sequence[Token]) -> Iterator[Finding]:
    brackets = [t for t in code if t.text in ("{", "}")]
    matrices = False
    for line in directives(source):
        included = re.match(r"\s*#\s*(?:include|import)\s*(\S+)", line.text)
        if not included:
            continue
        matrices |= included[1] == "<metal_simdgroup_matrix>"
        if not included[1].startswith("<metal_"):
            yield Finding(line, "include", (included[1],))
        elif sum(1 if t.text == "{" else -1 for t in brackets if t.start < line.start):
            yield Finding(line, "include in braces", (included[1],))
    used = next(
        (t for t in code if re.fullmatch(r"simdgroup_(matrix|\w+8x8)|make_filled_simdgroup_matrix", t.text)), None
    )
    if used is not None and not matrices:
        yield Finding(used, "matrices", (used.text,))


def _words(code: Sequence[Token]) -> Iterator[Finding]:
    for i, token in enumerate(code):
        following = code[i + 1].text if i + 1 < len(code) else ""
        before = code[i - 1].text if i else ""
        if token.text in _WORDS and not (token.text == "delete" and before == "="):
            yield Finding(token, "word", (_WORDS[token.text],))
        elif token.kind == "number" and re.fullmatch(r"[\d.]*(\.|[eE][+-]?\d)[\d.]*[lL]", token.text):
            yield Finding(token, "long double")
        elif token.text == following == "long":
            yield Finding(token, "word", ("long long: long has 64 bits",))
        elif token.text == "std" and following == "::":
            yield Finding(token, "std")
        elif token.text == "[" and before in ("=", "(", ",", "return", "{", ";", "&&", "||", "?", ":"):
            end = closing(code, i)
            if end is not None and end + 1 < len(code) and code[end + 1].text in ("(", "{"):
                yield Finding(token, "lambda")
        elif token.text == "(" and following == "*" and _declares_function(code, i):
            yield Finding(token, "function pointer")
        elif token.text == "max_total_threads_per_threadgroup" and following == "(" and _number(code[i + 2]) <= 32:
            yield Finding(token, "miscompiled")


def _number(token: Token) -> int:
    return int(token.text) if token.text.isdigit() else 1024


def _declares_function(code: Sequence[Token], i: int) -> bool:
    """Whether `(*` at `i` begins a pointer to a function: `T (*name)(`."""
    end = closing(code, i)
    before = code[i - 1]
    is_type = (before.kind == "name" and before.text != "return") or before.text in ("*", "&", ">")
    return is_type and end == i + 3 and code[end + 1].text == "("
