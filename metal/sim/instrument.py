"""Puts a check in front of every access to device, constant and threadgroup memory.

Works on the text of LLVM's intermediate language after clang's scalar optimisations: by then an access is one line,
which says its address space, type and alignment, and loads that a GPU's compiler would remove are gone. The checks are
the functions of include/msl/hooks.h; they are part of the same module.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from . import ir
from .errors import SimError

SPACES = {"1": "device", "2": "constant", "3": "threadgroup"}

_FLOAT = re.compile(r"= f(?:add|sub|mul|rem|neg|cmp)\b")
_FMA_DECLARED = re.compile(r"declare .*(@llvm\.fma\.\w+)")
_INTEGER = re.compile(r"= (?:add|sub|mul|[us]div|[us]rem|shl|[al]shr|and|or|xor|icmp|getelementptr)\b")
_DIVISION = re.compile(r"= (?:[us]div|[us]rem) .*, %")  # by a constant, integers are multiplied and shifted
# Not any mention of double: clang passes vectors of two floats as one.
_DOUBLE = re.compile(
    r"= (?:f(?:add|sub|mul|div|rem|neg|cmp|pext|ptrunc|ptosi|ptoui)|[su]itofp)\b.*\b(?:double|x86_fp80|fp128)\b"
)
_FMA = re.compile(r"call .*@llvm\.fm(?:a|uladd)\.")
_SPECIAL = re.compile(
    r"= fdiv |call .*@(?:llvm\.)?(?:exp2?|log(?:2|10)?|pow|sqrt|sin|cos|tanh?|atan2?|asin|acos|sinh|cosh|fmod)f?\b"
)


@dataclass(frozen=True)
class Block:
    """What one pass through a basic block computes, in scalar operations."""

    fmas: int = 0
    float_operations: int = 0
    integer_operations: int = 0
    divisions: int = 0
    special_functions: int = 0


@dataclass(frozen=True)
class Instrumented:
    text: str
    sites: tuple[ir.Place, ...]
    """Where in the kernel's text an access or a call of the runtime stands, by number."""
    blocks: tuple[Block, ...]
    indexed: tuple[ir.Place, ...]
    """Where an array or a vector of a thread's is indexed by what is known only at run time."""


@dataclass
class _Module:
    kernel: str
    places: ir.Places
    count: bool
    sites: dict[ir.Place, int] = field(default_factory=dict)
    blocks: list[Block] = field(default_factory=list)
    indexed: dict[ir.Place, None] = field(default_factory=dict)
    values: int = 0

    def site(self, line: str) -> int:
        return self.sites.setdefault(self.places.of(line), len(self.sites))

    def value(self) -> str:
        self.values += 1
        return f"%sim.{self.values}"


def instrument(text: str, kernel: str, count: bool) -> Instrumented:
    """The module with checks, and with a count of passes through every basic block if `count`. Raises `SimError` for
    what clang lets through and Metal does not: casts between address spaces, recursion, indirect calls, double,
    variables of program scope."""
    lines = text.splitlines()
    module = _Module(kernel, ir.Places(lines), count)
    out: list[str] = []
    calls: dict[str, set[str]] = {}
    i = 0
    while i < len(lines):
        line = lines[i]
        if line.startswith("define "):
            end = next(j for j in range(i, len(lines)) if lines[j] == "}")
            name = ir.function_name(line)
            body = lines[i + 1 : end]
            out.append(line)
            if name.startswith("sim_") and name != "sim_entry":
                out += body
            else:
                calls[name] = _check_calls(module, body)
                _find_indexed(module, body)
                out += _function(module, body)
            i = end
        else:
            _check_global(kernel, line)
            out.append(line)
            i += 1
    _check_recursion(kernel, calls)
    if len(module.sites) >= 1 << 16:
        raise SimError(f"kernel {kernel}: more than 65535 places that access memory")
    return Instrumented(
        _always_fused(ir.without_assumptions("\n".join(out))),
        tuple(module.sites),
        tuple(module.blocks),
        tuple(module.indexed),
    )


def _find_indexed(module: _Module, body: Sequence[str]) -> None:
    """Arrays that the optimiser could not take apart, and vectors, at an index that is no number."""
    local = {m[1] for line in body if (m := re.match(r"\s+(%\S+) = alloca ", line))}
    for line in body:
        address = re.match(r"\s+%\S+ = getelementptr .*?, ptr (%[^,\s]+), (.*)", line)
        element = re.match(r"\s+%\S+ = (?:extract|insert)element .*, i\d+ %[^,\s]+(?:, !|$)", line)
        if element or (address and address[1] in local and "%" in address[2].split(", !")[0]):
            module.indexed[module.places.of(line)] = None


def _always_fused(text: str) -> str:
    """Clang's fmuladd is fused if the processor does that as fast; a GPU always does. A kernel that also calls fma
    declares it already."""
    fused = text.replace("@llvm.fmuladd.", "@llvm.fma.")
    declared: set[str] = set()
    out = []
    for line in fused.splitlines(keepends=True):
        if found := _FMA_DECLARED.match(line):
            if found[1] in declared:
                continue
            declared.add(found[1])
        out.append(line)
    return "".join(out)


def _function(module: _Module, body: list[str]) -> list[str]:
    allocas: list[str] = []
    out: list[str] = []
    block: list[str] = []

    def end_block() -> None:
        if not block:
            return
        labels = [line for line in block[:1] if ir.is_label(line)]
        rest = block[len(labels) :]
        phis = [line for line in rest if re.match(r"\s+%\S+ = phi ", line)]
        counter = []
        if module.count:
            counter = [f"  call void @sim_enter_block(i32 {len(module.blocks)})"]
            module.blocks.append(_work(rest))
        out.extend(labels + phis + counter)
        for line in rest[len(phis) :]:
            out.extend(_instruction(module, line, allocas))
        block.clear()

    for line in body:
        if ir.is_label(line):
            end_block()
        if line.strip():
            block.append(line)
    end_block()
    at = 1 if out and ir.is_label(out[0]) else 0
    return out[:at] + allocas + out[at:]


def _instruction(module: _Module, line: str, allocas: list[str]) -> list[str]:
    if "addrspace(" not in line and "@sim_" not in line:
        return [line]
    if access := ir.parse_load(line):
        return _load(module, line, access)
    if access := ir.parse_store(line):
        return _store(module, line, access, allocas)
    if copy := ir.parse_copy(line):
        return _copy(module, line, copy)
    if re.search(r"@sim_\w+\(", line):
        return [re.sub(r"(i32 (?:noundef )?)-1\)", lambda m: f"{m.group(1)}{module.site(line)})", line)]
    opcode = ir.opcode(line)
    if opcode == "addrspacecast":
        raise SimError(f"kernel {module.kernel}: {module.places.of(line)} casts a pointer to another address space")
    if opcode in ("atomicrmw", "cmpxchg") or "@llvm.mem" in line:
        raise SimError(f"kernel {module.kernel}: {module.places.of(line)}: not modelled: {line.strip()}")
    return [line]


def _load(module: _Module, line: str, access: ir.Access) -> list[str]:
    handle, address = module.value(), module.value()
    space = SPACES[access.space]
    return [
        f"  {handle} = ptrtoint ptr addrspace({access.space}) {access.pointer} to i64",
        f"  {address} = call ptr @sim_load_{space}(i64 {handle}, i64 {ir.size(access.type)}, i32 {access.align},"
        f" i32 {module.site(line)})",
        f"  {access.result} = load {access.type}, ptr {address}, align 1",
    ]


def _store(module: _Module, line: str, access: ir.Access, allocas: list[str]) -> list[str]:
    if access.space == "2":
        raise SimError(f"kernel {module.kernel}: {module.places.of(line)} writes to constant memory")
    handle, staged = module.value(), module.value()
    allocas.append(f"  {staged} = alloca {access.type}, align 16")
    return [
        f"  {handle} = ptrtoint ptr addrspace({access.space}) {access.pointer} to i64",
        f"  store {access.type} {access.value}, ptr {staged}, align 16",
        f"  call void @sim_store_{SPACES[access.space]}(i64 {handle}, ptr {staged}, i64 {ir.size(access.type)},"
        f" i32 {access.align}, i32 {module.site(line)})",
    ]


def _copy(module: _Module, line: str, copy: ir.Copy) -> list[str]:
    out = []
    source = copy.source
    if copy.source_space != "0":
        handle, source = module.value(), module.value()
        out += [
            f"  {handle} = ptrtoint ptr addrspace({copy.source_space}) {copy.source} to i64",
            f"  {source} = call ptr @sim_load_{SPACES[copy.source_space]}(i64 {handle}, i64 {copy.size},"
            f" i32 {copy.source_align}, i32 {module.site(line)})",
        ]
    if copy.target_space == "0":
        return [*out, f"  call void @llvm.memcpy.p0.p0.i64(ptr {copy.target}, ptr {source}, i64 {copy.size}, i1 false)"]
    handle = module.value()
    return [
        *out,
        f"  {handle} = ptrtoint ptr addrspace({copy.target_space}) {copy.target} to i64",
        f"  call void @sim_store_{SPACES[copy.target_space]}(i64 {handle}, ptr {source}, i64 {copy.size},"
        f" i32 {copy.target_align}, i32 {module.site(line)})",
    ]


def _work(lines: list[str]) -> Block:
    fmas = floats = integers = divisions = special = 0
    for line in lines:
        lanes = int(m.group(1)) if (m := re.search(r"<(\d+) x ", line)) else 1
        if _FMA.search(line):
            fmas += lanes
        elif _DIVISION.search(line):
            divisions += lanes
        elif _FLOAT.search(line):
            floats += lanes
        elif _INTEGER.search(line):
            integers += lanes
        elif _SPECIAL.search(line):
            special += lanes
    return Block(fmas, floats, integers, divisions, special)


def _check_calls(module: _Module, body: list[str]) -> set[str]:
    called = set()
    for line in body:
        if _DOUBLE.search(line):
            raise SimError(f"kernel {module.kernel}: {module.places.of(line)} computes in double, which Metal has not")
        if call := re.search(r"\bcall\b[^@%]*(@[\w.$]+|%[\w.]+)\(", line):
            if call.group(1).startswith("%"):
                raise SimError(f"kernel {module.kernel}: {module.places.of(line)} calls a function through a pointer")
            called.add(call.group(1)[1:])
    return called


def _check_recursion(kernel: str, calls: dict[str, set[str]]) -> None:
    done: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        if name in path:
            raise SimError(f"kernel {kernel}: {ir.plain_name(name)} calls itself; Metal allows no recursion")
        if name in calls and name not in done:
            for callee in calls[name]:
                visit(callee, (*path, name))
            done.add(name)

    for name in calls:
        visit(name, ())


def _check_global(kernel: str, line: str) -> None:
    variable = re.match(r"@(?!llvm\.)([\w.$]+) = (.*?)\bglobal\b", line)
    if variable and not re.search(r"\b(?:private|external)\b", variable.group(2)):
        name = ir.plain_name(variable.group(1))
        raise SimError(f"kernel {kernel}: variable {name} is of program scope and not constant")
