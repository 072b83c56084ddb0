"""What the runtime found, as a sentence. The enumerations and the struct are those of include/msl/context.h."""

import ctypes
from collections.abc import Sequence
from ctypes import c_char, c_char_p, c_int64, c_uint32, c_uint64
from dataclasses import dataclass
from enum import IntEnum

from .compile import Module
from .errors import SimError
from .ir import Place, of_kernel
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
THREADGROUP = 2
ATOMIC_WRITER, LANES_OF, MANY_READERS = 0x7FFF, 0x8000, 0xFFFF


class Fault(ctypes.Structure):
    _fields_ = [
        *((name, c_uint32) for name in ("kind", "site", "space", "access", "slot", "thread", "group")),
        *((name, c_uint32) for name in ("other_site", "other_thread", "other_group", "other_access")),
        ("offset", c_int64),
        ("bytes", c_uint64),
        ("file", c_char_p),
        ("line", c_uint32),
        ("text", c_char * 212),
    ]


@dataclass(frozen=True)
class Launched:
    """The launch that a fault belongs to."""

    module: Module
    buffers: Sequence[tuple[int, int]]
    """Bytes and item size of every buffer argument."""
    grid: Sequence[int]
    threadgroup: Sequence[int]

    def error(self, fault: Fault) -> SimError:
        """The exception for a fault: the kernel, what happened, where."""
        where = f"thread {self._thread(fault.thread)} of threadgroup {self._group(fault.group)}"
        if place := self._place(fault):
            where = f"{place}, {where}"
        return SimError(f"kernel {self.module.name}: {self._what(fault)} ({where})")

    def _what(self, fault: Fault) -> str:
        kind = Kind(fault.kind)
        if fault.text:
            return fault.text.decode()
        verb = ("reads", "writes", "updates")[fault.access]
        if kind == Kind.WILD_POINTER:
            return f"{verb} {SPACES[fault.space]} memory through a pointer to no buffer"
        if kind == Kind.TOO_MUCH_THREADGROUP_MEMORY:
            name = self.module.arrays[fault.slot]
            return f"{fault.bytes} bytes of threadgroup memory up to {name}; Metal allows 32768"
        return f"{verb} {self._object(fault)}: {self._reason(kind, fault)}"

    def _object(self, fault: Fault) -> str:
        """What is accessed: `4 bytes of device buffer x at element 7 (byte 28)`."""
        at = f"byte {fault.offset}"
        if fault.space == THREADGROUP:
            name = f"threadgroup array {self.module.arrays[fault.slot]}"
        else:
            name = f"{SPACES[fault.space]} buffer {self.module.buffers[fault.slot]}"
            item = self.buffers[fault.slot][1]
            at = f"element {fault.offset // item} ({at})"
        return f"{fault.bytes} bytes of {name} at {at}"

    def _reason(self, kind: Kind, fault: Fault) -> str:
        if kind == Kind.OUT_OF_BOUNDS and fault.space != THREADGROUP:
            total, item = self.buffers[fault.slot]
            return f"out of bounds, it has {total // item} elements"
        if kind == Kind.THREADGROUP_RACE:
            return f"{self._other(fault)}, with no barrier between"
        if kind == Kind.DEVICE_RACE:
            group = "" if fault.other_group == fault.group else f" of threadgroup {self._group(fault.other_group)}"
            return f"{self._other(fault)}{group}, and nothing orders the two"
        return {
            Kind.OUT_OF_BOUNDS: "out of bounds",
            Kind.MISALIGNED: "not aligned to the type",
            Kind.INPUT_WRITTEN: "inputs are read only",
            Kind.UNWRITTEN_OUTPUT_READ: "an output, before it was written",
            Kind.UNINITIALISED_READ: "before it was written",
        }[kind]

    def _other(self, fault: Fault) -> str:
        thread = fault.other_thread
        if thread == MANY_READERS:
            who = "several simdgroups"
        elif thread == ATOMIC_WRITER:
            who = "an atomic operation"
        elif thread & LANES_OF:
            who = f"lanes of simdgroup {thread & 31}"
        else:
            who = f"thread {self._thread(thread)}"
        verb = ("read", "wrote", "updated")[fault.other_access]
        return f"{who} {verb} it at {self._quoted(self.module.sites[fault.other_site])}"

    def _place(self, fault: Fault) -> str:
        if fault.site < len(self.module.sites):
            return self._quoted(self.module.sites[fault.site])
        return self._quoted(Place(of_kernel((fault.file or b"").decode()), fault.line, 0))

    def _quoted(self, place: Place) -> str:
        text = line_of(self.module.source, place.file, place.line)
        return f"{place}, `{text}`" if text else ""

    def _thread(self, index: int) -> tuple[int, int, int]:
        return _unravel(index, self.threadgroup)

    def _group(self, index: int) -> tuple[int, int, int]:
        return _unravel(index, [-(-g // s) for g, s in zip(self.grid, self.threadgroup, strict=True)])


def _unravel(index: int, size: Sequence[int]) -> tuple[int, int, int]:
    x, y, _ = size
    return index % x, index // x % y, index // (x * y)
