"""What instrument.py has to read in LLVM's intermediate language: accesses, types, places in the source."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from .errors import SimError


@dataclass(frozen=True)
class Place:
    """A place in the kernel's text, as `#line` directives tell it; without one, `file` is empty."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}, line {self.line}" if self.file else f"line {self.line}"


@dataclass(frozen=True)
class Access:
    """A load into `result`, or a store of `value`."""

    result: str
    type: str
    value: str
    space: str
    pointer: str
    align: int


@dataclass(frozen=True)
class Copy:
    """A copy of a struct, when an end of it is in one of Metal's address spaces."""

    target: str
    target_space: str
    target_align: int
    source: str
    source_space: str
    source_align: int
    size: str


_LOAD = re.compile(r"\s+(%\S+) = load (?:volatile )?(.*), ptr addrspace\(([123])\) (.*?), align (\d+)")
_STORE = re.compile(r"\s+store (?:volatile )?(.*), ptr addrspace\(([123])\) (.*?), align (\d+)")
_COPY = re.compile(r"@llvm\.memcpy\.p(\d)\.p(\d)\.i64\((.*), i1 (?:immarg )?false\)")
_POINTER = re.compile(
    r"ptr (?:addrspace\(\d\) )?(.*?)(?:align (\d+) )?(?:dereferenceable\(\d+\) )?([%@]\S+|getelementptr.*|null)$"
)
_SCALARS = {"half": 2, "bfloat": 2, "float": 4, "double": 8, "ptr": 8}


def parse_load(line: str) -> Access | None:
    m = _LOAD.match(line)
    return Access(m[1], m[2], "", m[3], m[4], int(m[5])) if m else None


def parse_store(line: str) -> Access | None:
    m = _STORE.match(line)
    if not m:
        return None
    kind = type_prefix(m[1])
    return Access("", kind, m[1][len(kind) :].strip(), m[2], m[3], int(m[4]))


def parse_copy(line: str) -> Copy | None:
    m = _COPY.search(line)
    if not m or (m[1], m[2]) == ("0", "0"):
        return None
    target, source, size = split(m[3])
    ends = [_POINTER.match(end.strip()) for end in (target, source)]
    if ends[0] is None or ends[1] is None:
        raise SimError(f"a copy that cannot be read: {line.strip()}")
    t, s = ends[0], ends[1]
    return Copy(t[3], m[1], int(t[2] or 1), s[3], m[2], int(s[2] or 1), size.split()[-1])


def split(text: str) -> list[str]:
    """Text split at the commas outside brackets."""
    result, depth, start = [], 0, 0
    for i, c in enumerate(text):
        if c in "([{<":
            depth += 1
        elif c in ")]}>":
            depth -= 1
        elif c == "," and depth == 0:
            result.append(text[start:i])
            start = i + 1
    return [*result, text[start:]]


def type_prefix(text: str) -> str:
    """The type that `text` begins with."""
    if text[0] in "<[{":
        depth = 0
        for i, c in enumerate(text):
            depth += (c in "<[{") - (c in ">]}")
            if depth == 0:
                return text[: i + 1]
    m = re.match(r"ptr addrspace\(\d+\)|[\w.%]+", text)
    return m[0] if m else text


def size(kind: str) -> int:
    """Bytes of a type in memory. Raises `SimError` for one that no load of a kernel has."""
    if kind in _SCALARS:
        return _SCALARS[kind]
    if kind.startswith("ptr "):
        return 8
    if m := re.fullmatch(r"i(\d+)", kind):
        return (int(m[1]) + 7) // 8
    if m := re.fullmatch(r"[<\[](\d+) x (.*)[>\]]", kind):
        return int(m[1]) * size(m[2])
    raise SimError(f"a load or store of type {kind} is not modelled")


def is_label(line: str) -> bool:
    return bool(line) and not line[0].isspace() and re.match(r'[\w.$"-]+:', line) is not None


def opcode(line: str) -> str:
    m = re.match(r"\s+(?:%\S+ = )?(\w+)", line)
    return m[1] if m else ""


def function_name(define: str) -> str:
    m = re.search(r'@"?([^"(]+)"?\(', define)
    return m[1] if m else ""


def plain_name(mangled: str) -> str:
    """The last identifier of a mangled C++ name: `_ZN3foo3barEv` is bar. Without template arguments."""
    rest = re.sub(r"^_Z[NL]*", "", mangled)
    name = mangled
    while m := re.match(r"L?(\d+)", rest):
        name = rest[m.end() : m.end() + int(m[1])]
        rest = rest[m.end() + int(m[1]) :]
    return name


class Places:
    """Debug locations of a module: where in the kernel's text an instruction comes from. What comes from a header of
    ours is laid to the place that used it."""

    def __init__(self, lines: Sequence[str]) -> None:
        self._nodes: dict[str, str] = {}
        for line in lines:
            if line.startswith("!") and (m := re.match(r"(!\d+) = (.*)", line)):
                self._nodes[m[1]] = m[2]
        self._found: dict[str, Place] = {}

    def of(self, instruction: str) -> Place:
        m = re.search(r"!dbg (!\d+)", instruction)
        if not m:
            return Place("", 0, 0)
        if m[1] not in self._found:
            self._found[m[1]] = self._resolve(m[1])
        return self._found[m[1]]

    def _resolve(self, node: str) -> Place:
        while True:
            location = self._nodes[node]
            file = self._file(_field(location, "scope"))
            outer = _field(location, "inlinedAt")
            if not outer or not re.search(r"/msl/|/mlx/backend/", file):
                return Place(file, int(_field(location, "line") or 0), int(_field(location, "column") or 0))
            node = outer

    def _file(self, scope: str) -> str:
        node = self._nodes[scope]
        file = _field(node, "file")
        while not file:
            node = self._nodes[_field(node, "scope")]
            file = _field(node, "file")
        m = re.search(r'filename: "([^"]*)"', self._nodes[file])
        return of_kernel(m[1]) if m else ""


def of_kernel(file: str) -> str:
    """A file as the compiler calls it; nothing for the text that rewrite.py names after its kernel."""
    return "" if file.startswith("custom_kernel_") else file


def _field(node: str, name: str) -> str:
    m = re.search(rf"\b{name}: (!?\w+)", node)
    return m[1] if m else ""


_ASSUMPTIONS = re.compile(
    r" (?:nocapture|captures\([^)]*\)|readonly|readnone|writeonly|noalias"
    r"|dereferenceable(?:_or_null)?\(\d+\))(?=[ ,)])"
)
_METADATA = re.compile(r",? ![a-zA-Z][\w.]* ![\d{}]+")
_FUNCTION_ASSUMPTIONS = re.compile(
    r"\b(?:memory\([^)]*\)|mustprogress|nofree|norecurse|nosync|willreturn|speculatable|nocallback|readnone|readonly"
    r"|argmemonly|inaccessiblememonly|writeonly) ?"
)


def without_assumptions(text: str) -> str:
    """The module without what clang concluded before there were checks: that a function writes no memory, that a
    pointer can be read. Without metadata too, which says more of the kind, and where the added calls have no place; and
    without the order to keep all checks, used or not."""
    out = []
    for line in text.splitlines():
        if line.startswith(("!", "@llvm.compiler.used", "@llvm.used")) or "(metadata !" in line:
            continue
        if line.startswith("attributes #"):
            line = _FUNCTION_ASSUMPTIONS.sub("", line)
        elif line.startswith(("define ", "declare ", "  ")):
            line = _ASSUMPTIONS.sub("", _METADATA.sub("", line))
        out.append(line)
    return "\n".join(out) + "\n"
