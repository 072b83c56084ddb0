"""What clang accepts and Metal refuses, found in the text. rules.py lists it."""

from collections.abc import Iterator, Mapping, Sequence

from .declarations import declarations
from .errors import SimError
from .identifiers import identifiers, preamble_names
from .language import language
from .rewrite import find_kernel, inside_directive
from .rules import Finding
from .tokens import Token, directives, place, tokens

MAX_BUFFERS = 31

_SPECIFIERS = frozenset(("const", "constant", "constexpr", "device", "inline", "static", "thread", "threadgroup"))


def lint(name: str, source: str, of_mlx: Mapping[str, str] | None = None) -> None:
    """Raises `SimError` for the first thing in a kernel's text that Metal, or MLX, would refuse. `of_mlx` are the names
    that stand in front of the kernel, `preamble_names` if they are not given."""
    first = min(findings(source, of_mlx), key=lambda f: f.token.line, default=None)
    if first is not None:
        raise SimError(f"kernel {name}: {place(source, first.token.line)}: {first.sentence}")


def findings(source: str, of_mlx: Mapping[str, str] | None = None) -> Iterator[Finding]:
    """All of it, in no order."""
    code = tokens(source)
    kernel = find_kernel(code)
    if code[kernel.parameters.start - 3].text != "void":
        name = next(i for i in range(kernel.parameters.start, 0, -1) if code[i].text == "void") + 1
        yield Finding(code[name], "kernel's name", (code[name + 1].text,))
    buffers = [code[i] for i in kernel.parameters if code[i].text == "buffer"]
    if len(buffers) > MAX_BUFFERS:
        yield Finding(buffers[0], "buffers", (len(buffers),))
    yield from identifiers(source, code, preamble_names() if of_mlx is None else of_mlx)
    code = _with_specifiers(source, code)
    yield from language(source, code)
    yield from declarations(code)


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
