"""What the runtime found, as a sentence. The enumerations are those of include/msl/context.h."""

import ctypes
from collections.abc import Sequence
from ctypes import c_char, c_int64, c_uint32, c_uint64
from enum import IntEnum

from .compile import Module
from .errors import SimError
from .tokens import line_of


class Kind(IntEnum):
    NONE = 0
    OUT_OF_BOUNDS = 1
    MISALIGNED = 2
    WILD_POINTER = 3
    INPUT_WRITTEN = 4
    UNWRITTEN_OUTPUT_READ = 5
    UNINITIALISED_READ = 6
    THREADGROUP_RACE = 7
    DEVICE_RACE = 8
    DIVERGENCE = 9
    TOO_MUCH_THREADGROUP_MEMORY = 10
    INDEX_OUT_OF_RANGE = 11
    DIVISION = 12


SPACES = ("device", "constant", "threadgroup")
ACCESSES = ("reads", "writes", "updates")


class Fault(ctypes.Structure):
    _fields_ = [
        *((name, c_uint32) for name in ("kind", "site", "space", "access", "slot", "thread", "group")),
        *((name, c_uint32) for name in ("other_site", "other_thread", "other_group", "other_access")),
        ("offset", c_int64),
        ("bytes", c_uint64),
        ("line", c_uint32),
        ("text", c_char * 212),
    ]


def error(
    fault: Fault, module: Module, buffers: Sequence[tuple[str, int, int]], grid: Sequence[int], size: Sequence[int]
) -> SimError:
    """The exception for a fault; `buffers` are name, bytes and item size of the arguments."""
    kind = Kind(fault.kind)
    where = f"{_place(module, fault.site, fault.line)}, thread {_thread(fault.thread, size)} of threadgroup {_group(fault.group, grid, size)}"
    text = fault.text.decode()
    if kind in (Kind.DIVERGENCE, Kind.INDEX_OUT_OF_RANGE, Kind.DIVISION):
        return SimError(f"kernel {module.name}: {text} ({where})")
    space, access = SPACES[fault.space], ACCESSES[fault.access]
    if kind == Kind.TOO_MUCH_THREADGROUP_MEMORY:
        return SimError(
            f"kernel {module.name}: {fault.bytes} bytes of threadgroup memory with {module.arrays[fault.slot]}; Metal has"
            f" 32768 ({where})"
        )
    if kind == Kind.WILD_POINTER:
        return SimError(f"kernel {module.name}: {access} through a {space} pointer that points nowhere ({where})")
    if fault.space == 2:
        name, total, item = module.arrays[fault.slot], None, fault.bytes
    else:
        name, total, item = buffers[fault.slot]
    what = f"{access} {fault.bytes} bytes at byte {fault.offset} of {space} {'array' if fault.space == 2 else 'buffer'} {name}"
    if fault.space != 2:
        what += f" (element {fault.offset // item})"
    reason = {
        Kind.OUT_OF_BOUNDS: "out of bounds" + (f", it has {total} bytes" if total is not None else ""),
        Kind.MISALIGNED: "not aligned to the type",
        Kind.INPUT_WRITTEN: "an input",
        Kind.UNWRITTEN_OUTPUT_READ: "an output, before it was written",
        Kind.UNINITIALISED_READ: "before it was written",
        Kind.THREADGROUP_RACE: _other(fault, module, size, "no barrier between"),
        Kind.DEVICE_RACE: _other(fault, module, size, "nothing orders the two")
        + (f" in threadgroup {_group(fault.other_group, grid, size)}" if fault.other_group != fault.group else ""),
    }[kind]
    return SimError(f"kernel {module.name}: {what}: {reason} ({where})")


def _other(fault: Fault, module: Module, size: Sequence[int], why: str) -> str:
    thread = fault.other_thread
    if thread == 0xFFFF:
        who = "several simdgroups"
    elif thread == 0x7FFF:
        who = "an atomic"
    elif thread & 0x8000:
        who = f"lanes of simdgroup {thread & 31}"
    else:
        who = f"thread {_thread(thread, size)}"
    verb = {0: "read", 1: "wrote", 2: "updated"}[fault.other_access]
    return f"{who} {verb} it at {_place(module, fault.other_site, 0)}, {why}"


def _place(module: Module, site: int, line: int) -> str:
    if site < len(module.sites):
        place = module.sites[site]
        line = place.line
    text = line_of(module.source, line)
    return f"line {line}: `{text}`" if text else f"line {line}"


def _thread(index: int, size: Sequence[int]) -> tuple[int, int, int]:
    x, y, _ = size
    return index % x, index // x % y, index // (x * y)


def _group(index: int, grid: Sequence[int], size: Sequence[int]) -> tuple[int, int, int]:
    x, y, _ = (-(-g // s) for g, s in zip(grid, size, strict=True))
    return index % x, index // x % y, index // (x * y)
