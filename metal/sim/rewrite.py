"""From the text a Mac compiles to text that clang compiles for the host, with the same lines.

Four things differ in the language itself: a kernel's threadgroup variables belong to the threadgroup, a floating
literal is a float, vectors are built and converted by constructors, and the kernel is instantiated under a host name.
"""

import itertools
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from .errors import SimError
from .tokens import Token, closing, directives, tokens

VECTORS = frozenset(
    f"{packed}{scalar}{n}"
    for packed in ("", "packed_")
    for scalar in ("bfloat", "char", "float", "half", "int", "long", "short", "uchar", "uint", "ulong", "ushort")
    for n in (2, 3, 4)
)

_BUILTINS = {
    "thread_index_in_quadgroup": "b.thread_index_in_threadgroup % 4",
    "quadgroup_index_in_threadgroup": "b.thread_index_in_threadgroup / 4",
    "quadgroups_per_threadgroup": "b.simdgroups_per_threadgroup * 8",
    "threads_per_simdgroup": "32u",
    "thread_execution_width": "32u",
    "grid_size": "b.threads_per_grid",
}

_FLOATING = re.compile(
    r"((?:\d[\d']*\.?[\d']*|\.\d+)(?:[eE][+-]?\d+)?|0[xX][\da-fA-F]*\.?[\da-fA-F]*[pP][+-]?\d+)(|h|H|bf|BF)"
)

Edit = tuple[int, int, str]
"""What replaces the text from start to end."""


@dataclass(frozen=True)
class Rewritten:
    text: str
    arrays: tuple[str, ...]
    """Names of the threadgroup variables, by number."""
    buffers: tuple[str, ...]
    """Names of the buffer arguments, in order."""


@dataclass(frozen=True)
class Kernel:
    """Where a kernel function is among the tokens of its program."""

    name: str
    parameters: range
    body: range


def find_kernel(code: Sequence[Token]) -> Kernel:
    """The one kernel function of a program that MLX generated."""
    for i, token in enumerate(code):
        if token.text == "kernel" and code[i - 1].text == "[[" and code[i + 2].text == "void":
            opening = next((j for j in range(i + 4, len(code)) if code[j].text == "("), i + 4)
            end = closing(code, opening)
            if end is not None and code[end + 1].text == "{":
                body_end = closing(code, end + 1)
                if body_end is None:
                    raise SimError(f"kernel {code[i + 3].text}: its braces do not match")
                return Kernel(code[i + 3].text, range(opening + 1, end), range(end + 2, body_end))
    raise SimError("the text holds no [[kernel]] function")


def rewrite(source: str) -> Rewritten:
    """The host's text of a captured kernel, with a function `sim_entry` that calls it."""
    code = tokens(source)
    kernel = find_kernel(code)
    arrays, edits = _threadgroup_variables(source, code, kernel)
    types = VECTORS | _type_names(code)
    edits += _casts(source, code, types)
    edits += _literals(code)
    edits += _array_parameters(source, code)
    edits += _attributes(code)
    edits += _copies(code)
    for line in directives(source):
        inner = inside_directive(line)
        edits += _casts(source, inner, types)
        edits += _literals(inner)
    instantiation = re.search(
        r"^template \[\[host_name\(.*?\)\]\] \[\[kernel\]\] decltype\((.*?)\) .*?;$", source, re.M | re.S
    )
    callee = kernel.name
    if instantiation:
        callee = instantiation.group(1)
        edits.append((instantiation.start(), instantiation.end(), ""))
    arguments, buffers = _arguments(source, code, kernel)
    entry = (
        'extern "C" void sim_entry(const metal_sim::u64 *handles, const metal_sim::Builtins &b) {\n'
        f"  {callee}({', '.join(arguments)});\n}}\n"
    )
    text = f'#line 1 "{kernel.name}.metal"\n{_apply(source, edits)}\n{entry}'
    return Rewritten(text, tuple(arrays), tuple(buffers))


def rewrite_header(source: str) -> str:
    """The host's text of a header without a kernel in it."""
    return _apply(source, _array_parameters(source, tokens(source)))


def _array_parameters(source: str, code: Sequence[Token]) -> Iterator[Edit]:
    """`constant int a[2]` as a parameter becomes `constant int *a`, which is what it means."""
    for i, token in enumerate(code):
        if token.text not in ("device", "constant", "threadgroup"):
            continue
        j = i + 1
        while code[j].kind == "name" or code[j].text == "::":
            j += 1
        end = closing(code, j) if code[j].text == "[" else None
        if end is not None and code[end + 1].text in (",", ")"):
            yield code[j - 1].start, code[j - 1].start, "*"
            yield code[j].start, code[end].end, ""


def _attributes(code: Sequence[Token]) -> Iterator[Edit]:
    """Attributes go: clang does not know them, and one is called threadgroup."""
    for i, token in enumerate(code):
        if token.text == "[[" and code[i - 1].text != "template" and (end := closing(code, i)) is not None:
            yield token.start, code[end].end, "\n" * (code[end].line - token.line)


def _copies(code: Sequence[Token]) -> Iterator[Edit]:
    """`*to = *from;` becomes a call of `assign`, which can copy structs."""
    for i, token in enumerate(code):
        if token.text != "*" or code[i - 1].text not in (";", "{", "}", ")"):
            continue
        equals = _operand_end(code, i + 1)
        if [t.text for t in code[equals : equals + 2]] != ["=", "*"]:
            continue
        end = _operand_end(code, equals + 2)
        if end < len(code) and code[end].text == ";":
            yield token.start, token.end, "::metal_sim::assign("
            yield code[equals].start, code[equals + 1].end, ","
            yield code[end].start, code[end].start, ")"


def _operand_end(code: Sequence[Token], i: int) -> int:
    """Behind the operand of a unary operator: names, calls, indices, members and casts in parentheses."""
    while i < len(code):
        if code[i].text in ("(", "["):
            i = (closing(code, i) or len(code)) + 1
        elif code[i].kind in ("name", "number") or code[i].text in ("::", ".", "->"):
            i += 1
        else:
            break
    return i


def _apply(source: str, edits: Iterable[Edit]) -> str:
    pieces, at = [], 0
    for start, end, text in sorted(edits, key=lambda e: e[:2]):
        if start >= at:  # else it is inside of what another edit replaced
            pieces += [source[at:start], text]
            at = end
    return "".join([*pieces, source[at:]])


def inside_directive(directive: Token) -> list[Token]:
    """The tokens of a macro's body; of other preprocessor lines, none."""
    if not re.match(r"\s*#\s*define\b", directive.text):
        return []
    blank = re.sub(r"#|\\\n", lambda m: " " * len(m.group()), directive.text)
    return [
        Token(t.kind, t.text, t.line + directive.line - 1, t.start + directive.start, t.end + directive.start)
        for t in tokens(blank)
    ]


def _text(source: str, code: Sequence[Token]) -> str:
    return source[code[0].start : code[-1].end] if code else ""


def parts(code: Sequence[Token], separator: str = ",") -> list[list[Token]]:
    """Tokens split at the separators that stand in no bracket."""
    result: list[list[Token]] = [[]]
    depth = 0
    for token in code:
        if token.text in ("(", "[", "{", "[[", "<"):
            depth += 1
        elif token.text in (")", "]", "}", "]]", ">"):
            depth -= 1
        if token.text == separator and depth == 0:
            result.append([])
        else:
            result[-1].append(token)
    return result if result != [[]] else []


def outside_brackets(code: Sequence[Token], brackets: Sequence[str] = ("[", "<", "[[")) -> list[Token]:
    """The tokens that stand in no `[]` or `<>`, or in none of the brackets given."""
    result: list[Token] = []
    i = 0
    while i < len(code):
        end = closing(code, i) if code[i].text in brackets else None
        if end is None:
            result.append(code[i])
        i = i + 1 if end is None else end + 1
    return result


def _arguments(source: str, code: Sequence[Token], kernel: Kernel) -> tuple[list[str], list[str]]:
    """What the kernel is called with, and the names of its buffers."""
    arguments: list[str] = []
    buffers: list[str] = []
    for parameter in parts([code[i] for i in kernel.parameters]):
        bracket = next(i for i, t in enumerate(parameter) if t.text == "[[")
        attribute = parameter[bracket + 1].text
        if attribute == "buffer":
            kind = parameter[: bracket - 1]
            if kind[-1].text == "&":
                arguments.append(f"*({_text(source, kind[:-1])} *)handles[{len(buffers)}]")
            else:
                arguments.append(f"({_text(source, kind)})handles[{len(buffers)}]")
            buffers.append(parameter[bracket - 1].text)
        else:
            value = _BUILTINS.get(attribute, f"b.{attribute}")
            arguments.append(f"metal_sim::builtin({value})")
    return arguments, buffers


def _threadgroup_variables(source: str, code: Sequence[Token], kernel: Kernel) -> tuple[list[str], list[Edit]]:
    """`threadgroup T a[N], b;` in the kernel's body becomes a reference to an array of the threadgroup's."""
    names: list[str] = []
    edits: list[Edit] = []
    for i in kernel.body:
        if code[i].text != "threadgroup" or code[i - 1].text not in (";", "{", "}", ")"):
            continue
        end = next(j for j in itertools.count(i) if code[j].text == ";")
        statement = code[i + 1 : end]
        if any(t.text in ("*", "&", "=", "(") for t in outside_brackets(statement)):
            continue  # a pointer or a reference to threadgroup memory; lint.py refuses initialisers
        start = _declarator(statement)
        kind = _text(source, statement[:start])
        declared = []
        for declarator in parts(statement[start:]):
            name, size = declarator[0].text, _text(source, declarator[1:])
            declared.append(
                f"threadgroup {kind} (&{name}){size} = metal_sim::threadgroup_array<{kind}{size}, {len(names)}>();"
            )
            names.append(name)
        lines = source[code[i].start : code[end].end].count("\n")
        edits.append((code[i].start, code[end].end, " ".join(declared) + "\n" * lines))
    return names, edits


def _declarator(statement: Sequence[Token]) -> int:
    """Where the first declared name stands: the last name before an array size, a comma or the end, outside `<>`."""
    i = 0
    while i < len(statement):
        if statement[i].text == "<":
            i = (closing(statement, i) or i) + 1
            continue
        if statement[i].kind == "name" and (i + 1 == len(statement) or statement[i + 1].text in ("[", ",")):
            return i
        i += 1
    raise SimError(f"line {statement[0].line}: a threadgroup declaration that cannot be read")


def _type_names(code: Sequence[Token]) -> frozenset[str]:
    """Template type parameters, and aliases of vectors: names that may stand for a vector."""
    names = {b.text for a, b in itertools.pairwise(code) if a.text in ("typename", "class") and b.kind == "name"}
    for i, token in enumerate(code):
        if token.text == "using" and code[i + 2].text == "=":
            end = next(j for j in itertools.count(i) if code[j].text == ";")
            if any(t.text == "vec" or t.text in VECTORS or t.text in names for t in code[i + 3 : end]):
                names.add(code[i + 1].text)
        elif token.text == "typedef":
            end = next(j for j in itertools.count(i) if code[j].text == ";")
            if any(t.text == "vec" or t.text in VECTORS for t in code[i + 1 : end - 1]):
                names.add(code[end - 1].text)
    return frozenset(names)


def _casts(source: str, code: Sequence[Token], types: frozenset[str]) -> Iterator[Edit]:
    """`T(…)` and `static_cast<T>(…)`, where T may be a vector, become calls of `make`."""
    for i, token in enumerate(code):
        if token.text == "static_cast" and i + 1 < len(code) and code[i + 1].text == "<":
            end = closing(code, i + 1)
            inner = code[i + 2 : end] if end is not None else []
            if any(t.text == "vec" or t.text in types for t in inner) and inner[-1].text not in ("*", "&"):
                yield token.start, token.end, "::metal_sim::make"
        elif token.text in types or token.text == "vec":
            end = i
            if i + 1 < len(code) and code[i + 1].text == "<":
                end = closing(code, i + 1) or i
            if end + 1 >= len(code) or code[end + 1].text != "(":
                continue
            start = i
            while start >= 2 and code[start - 1].text == "::" and code[start - 2].kind == "name":
                start -= 2
            if start >= 1 and code[start - 1].text in ("operator", ".", "->", "define"):
                continue
            first = start - 1 if start >= 1 and code[start - 1].text == "typename" else start
            yield code[first].start, code[first].start, "::metal_sim::make<"
            yield code[end].end, code[end].end, ">"


def _literals(code: Sequence[Token]) -> Iterator[Edit]:
    """`0.5` is a float, `0.5h` a half, `0.5bf` a bfloat."""
    for token in code:
        number = _FLOATING.fullmatch(token.text) if token.kind == "number" else None
        if number and re.search(r"[.eEpP]", number[1]):
            literal = f"{number[1]}f"
            kind = {"h": "half", "bf": "bfloat"}.get(number[2].lower())
            yield token.start, token.end, f"{kind}({literal})" if kind else literal
