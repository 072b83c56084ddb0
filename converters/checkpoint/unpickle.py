"""A pickle interpreter that can build plain data and nothing else.

`pickle.Unpickler` with a restricted `find_class` would keep foreign code out, but not hostile sizes: it allocates its
memo and its integers as the file says, hashes whatever the file makes a dictionary key (a deeply nested tuple overflows
the C stack), and has no notion of a budget. torch.save needs under fifty opcodes; interpreting them bounds every one.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Callable
from typing import Any

from sige_mlx.converters.checkpoint.errors import CheckpointError
from sige_mlx.converters.checkpoint.objects import Dict, Global, LongText, Placeholder, hashable

# Bytes of Python objects one pickle may build, by the account below; an LLM's checkpoint with optimizer takes a tenth.
BUDGET = 1 << 28
_COST = 96  # of one opcode: no opcode leaves more behind, on average, but those that say so
_SLOT = 32  # of a reference, on the stack, in the list that it is gathered in and in the one that it ends in
_NUMBER = _SLOT + 32  # of a number besides
_PAIR = 128  # of an entry of a dictionary that has just grown
_SET_COST = 256
_MAX_INT_BYTES = 64
_MAX_NAME = 512
_LONG = 1 << 16  # bytes and texts from here on stay in the file

Data = bytes | mmap.mmap


class Machine:
    """Interprets one pickle of `data` from `position`, which is left behind its end; it may go as far as `end`.

    `call(global, args)` makes an object of a class it knows, or returns NotImplemented; `persistent(id)` resolves what
    PyTorch keeps outside the pickle. `unknown` collects the names of classes replaced by placeholders.
    """

    def __init__(
        self,
        data: Data,
        position: int,
        call: Callable[[Global, tuple[Any, ...]], object],
        persistent: Callable[[object], object],
        unknown: dict[str, None],
        end: int | None = None,
    ) -> None:
        self.data = data
        self.position = position
        self.end = len(data) if end is None else end
        self.call = call
        self.persistent = persistent
        self.unknown = unknown
        self.budget = BUDGET
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}

    def load(self) -> object:
        """The pickled object; raises `CheckpointError` for anything malformed, unsupported or too large."""
        while True:
            opcode = self.take(1)
            if opcode == b".":
                return self.pop()
            handler = OPCODES.get(opcode)
            if handler is None:
                if opcode in _OF_OLD_PROTOCOLS:
                    raise CheckpointError("its pickle is of protocol 0 or 1: save it with torch.save's own protocol")
                raise CheckpointError(f"its pickle has opcode 0x{opcode.hex()}, which torch.save never writes")
            self.charge(_CHEAP.get(opcode, _COST))
            handler(self)

    def charge(self, cost: int) -> None:
        self.budget -= cost
        if self.budget < 0:
            raise CheckpointError(f"its pickle builds more than {BUDGET >> 20} MB of objects besides the tensors")

    def take(self, n: int) -> bytes:
        start = self.skip(n)
        return self.data[start : start + n]

    def skip(self, n: int) -> int:
        """The position of the next `n` bytes, which are passed over."""
        start = self.position
        if start + n > self.end:
            raise CheckpointError("its pickle ends too early: the file is truncated or damaged")
        self.position += n
        return start

    def view(self, n: int) -> memoryview:
        """The next `n` bytes, where they are."""
        start = self.skip(n)
        return memoryview(self.data)[start : start + n]

    def integer(self, n: int) -> int:
        return int.from_bytes(self.take(n), "little")

    def line(self) -> str:
        end = self.data.find(b"\n", self.position, min(self.end, self.position + _MAX_NAME))
        if end < 0:
            raise CheckpointError("its pickle names a class without end")
        text = self.take(end - self.position)
        self.charge(len(text))
        self.position = end + 1
        return _text(text)

    def push(self, value: object) -> None:
        self.stack.append(value)

    def pop(self) -> Any:
        if len(self.stack) <= (self.marks[-1] if self.marks else 0):
            raise CheckpointError("its pickle is malformed: it takes from an empty stack")
        return self.stack.pop()

    def top(self) -> Any:
        value = self.pop()
        self.push(value)
        return value

    def pop_to_mark(self) -> list[Any]:
        if not self.marks:
            raise CheckpointError("its pickle is malformed: a mark is missing")
        start = self.marks.pop()
        values = self.stack[start:]
        del self.stack[start:]
        return values

    # Opcodes with a body of their own; the table below names each and holds the one-liners.

    def op_proto(self) -> None:
        if (version := self.integer(1)) > 5:
            raise CheckpointError(f"its pickle has protocol {version}; 5 is the newest there is")

    def op_frame(self) -> None:
        if self.position + self.integer(8) > self.end:
            raise CheckpointError("its pickle announces more than the file holds")

    def op_long(self, length_bytes: int) -> None:
        if (n := self.integer(length_bytes)) > _MAX_INT_BYTES:
            raise CheckpointError(f"its pickle has an integer of {n} bytes")
        self.charge(2 * n)
        self.push(int.from_bytes(self.take(n), "little", signed=True))

    def op_text(self, length_bytes: int) -> None:
        if (n := self.integer(length_bytes)) >= _LONG:
            self.push(LongText(self.view(n)))
            return
        self.charge(n)
        raw = self.take(n)
        self.charge(n if raw.isascii() else 4 * n)  # one wide character makes Python keep every character in four bytes
        self.push(_text(raw))

    def op_bytes(self, length_bytes: int) -> None:
        if (n := self.integer(length_bytes)) >= _LONG:
            self.push(self.view(n))
            return
        self.charge(n)
        self.push(self.take(n))

    def op_python2_string(self, length_bytes: int) -> None:
        self.op_bytes(length_bytes)
        raw = self.pop()
        self.push(raw.decode("ascii") if isinstance(raw, bytes) and raw.isascii() else raw)

    def op_tuple(self, n: int) -> None:
        self.push(tuple(reversed([self.pop() for _ in range(n)])))

    def op_append(self, values: list[Any]) -> None:
        target = self.top()
        if not isinstance(target, list | Placeholder):
            raise CheckpointError("its pickle is malformed: it appends to something that is no list")
        (target if isinstance(target, list) else target.elements).extend(values)

    def op_set_items(self, flat: list[Any]) -> None:
        target = self.top()
        if not isinstance(target, dict | Placeholder) or len(flat) % 2:
            raise CheckpointError("its pickle is malformed: it sets items of something that is no dictionary")
        entries = target if isinstance(target, dict) else target.entries
        self.charge(_PAIR * len(flat) // 2)
        for key, value in zip(flat[::2], flat[1::2], strict=True):
            entries[hashable(key)] = value

    def op_set_item(self) -> None:
        value = self.pop()
        self.op_set_items([self.pop(), value])

    def op_add_items(self) -> None:
        values = self.pop_to_mark()
        target = self.top()
        if not isinstance(target, set):
            raise CheckpointError("its pickle is malformed: it adds to something that is no set")
        target.update(map(hashable, values))

    def op_empty_set(self) -> None:
        self.charge(_SET_COST)
        self.push(set())

    def op_frozen_set(self) -> None:
        self.charge(_SET_COST)
        self.push(frozenset(map(hashable, self.pop_to_mark())))

    def op_get(self, index_bytes: int) -> None:
        index = self.integer(index_bytes)
        if index not in self.memo:
            raise CheckpointError("its pickle is malformed: it recalls what it never stored")
        self.push(self.memo[index])

    def op_put(self, index: int) -> None:
        self.memo[index] = self.top()

    def op_global(self) -> None:
        module = self.line()
        self.push_global(module, self.line())

    def op_stack_global(self) -> None:
        name, module = self.pop(), self.pop()
        if not (isinstance(name, str) and isinstance(module, str)):
            raise CheckpointError("its pickle is malformed: a class name is no text")
        self.push_global(module, name)

    def push_global(self, module: str, name: str) -> None:
        if len(module) + len(name) > _MAX_NAME or not (module + name).isprintable():
            raise CheckpointError("its pickle names a class with an impossible name")
        self.push(Global(module, name))

    def op_call(self, kwargs: object = None) -> None:
        args, function = self.pop(), self.pop()
        if not isinstance(args, tuple):
            raise CheckpointError("its pickle is malformed: a call has no argument tuple")
        # A call may read or copy each argument, and the file may make it again and again with the same ones.
        self.charge(_COST * len(args))
        self.charge(
            sum(len(a) * (1 if isinstance(a, str) else _COST) for a in args if isinstance(a, str | list | tuple))
        )
        made = self.call(function, args) if isinstance(function, Global) and not kwargs else NotImplemented
        if made is NotImplemented:
            name = str(function) if isinstance(function, Global) else "the result of a call"
            self.unknown[name] = None
            made = Placeholder(name, args, kwargs)
        self.push(made)

    def op_build(self) -> None:
        state, target = self.pop(), self.top()
        if isinstance(target, Placeholder):
            target.state = state
        elif isinstance(target, Dict):
            target.attributes = state
        else:
            raise CheckpointError("its pickle is malformed: it sets the state of plain data")


def _text(raw: bytes) -> str:
    try:
        return raw.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        raise CheckpointError("its pickle has a text that is not UTF-8") from None


OPCODES: dict[bytes, Callable[[Machine], object]] = {
    b"\x80": Machine.op_proto,
    b"\x95": Machine.op_frame,
    # The stack and the memo.
    b"(": lambda m: m.marks.append(len(m.stack)),
    b"0": Machine.pop,
    b"1": Machine.pop_to_mark,
    b"h": lambda m: m.op_get(1),
    b"j": lambda m: m.op_get(4),
    b"q": lambda m: m.op_put(m.integer(1)),
    b"r": lambda m: m.op_put(m.integer(4)),
    b"\x94": lambda m: m.op_put(len(m.memo)),
    # Scalars.
    b"N": lambda m: m.push(None),
    b"\x88": lambda m: m.push(True),
    b"\x89": lambda m: m.push(False),
    b"J": lambda m: m.push(int.from_bytes(m.take(4), "little", signed=True)),
    b"K": lambda m: m.push(m.integer(1)),
    b"M": lambda m: m.push(m.integer(2)),
    b"\x8a": lambda m: m.op_long(1),
    b"\x8b": lambda m: m.op_long(4),
    b"G": lambda m: m.push(struct.unpack(">d", m.take(8))[0]),
    # Text and bytes, by the width of their length.
    b"\x8c": lambda m: m.op_text(1),
    b"X": lambda m: m.op_text(4),
    b"\x8d": lambda m: m.op_text(8),
    b"U": lambda m: m.op_python2_string(1),
    b"T": lambda m: m.op_python2_string(4),
    b"C": lambda m: m.op_bytes(1),
    b"B": lambda m: m.op_bytes(4),
    b"\x8e": lambda m: m.op_bytes(8),
    b"\x96": lambda m: m.op_bytes(8),
    # Containers.
    b")": lambda m: m.push(()),
    b"\x85": lambda m: m.op_tuple(1),
    b"\x86": lambda m: m.op_tuple(2),
    b"\x87": lambda m: m.op_tuple(3),
    b"t": lambda m: m.push(tuple(m.pop_to_mark())),
    b"]": lambda m: m.push([]),
    b"a": lambda m: m.op_append([m.pop()]),
    b"e": lambda m: m.op_append(m.pop_to_mark()),
    b"}": lambda m: m.push({}),
    b"s": Machine.op_set_item,
    b"u": lambda m: m.op_set_items(m.pop_to_mark()),
    b"\x8f": Machine.op_empty_set,
    b"\x90": Machine.op_add_items,
    b"\x91": Machine.op_frozen_set,
    # Objects.
    b"c": Machine.op_global,
    b"\x93": Machine.op_stack_global,
    b"R": Machine.op_call,
    b"\x81": Machine.op_call,
    b"\x92": lambda m: m.op_call(m.pop()),
    b"b": Machine.op_build,
    b"Q": lambda m: m.push(m.persistent(m.pop())),
}

_CHEAP = dict.fromkeys((b"N", b"\x88", b"\x89", b"K"), _SLOT) | dict.fromkeys((b"J", b"M", b"G"), _NUMBER)
_OF_OLD_PROTOCOLS = frozenset(bytes([code]) for code in b"FILPSVdgilop")
