"""The pickle interpreter: equal to Python's on plain data, and inert, bounded and clear on anything else."""

from __future__ import annotations

import collections
import contextlib
import os
import pickle
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sige_mlx.converters.checkpoint import CheckpointError, Dict, Placeholder, torch_types, unpickle
from tests.converters.writer import Call, Name, dumps

some_bytes = st.binary(min_size=1)  # protocol 2 writes b"" as the call bytes()
numbers = st.booleans() | st.integers(-(2**300), 2**300) | st.floats(allow_nan=False)
scalars = st.none() | numbers | st.text() | some_bytes
keys = st.text() | some_bytes | st.integers(-(2**59), 2**59)
plain = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner)
        | st.lists(inner).map(tuple)
        | st.dictionaries(keys, inner)
        | st.sets(keys)
        | st.frozensets(keys)
    ),
    max_leaves=30,
)


def load(data: bytes, unknown: dict[str, None] | None = None) -> object:
    def persistent(identifier: object) -> object:
        raise CheckpointError("no storages here")

    return unpickle.Machine(data, 0, torch_types.call, persistent, {} if unknown is None else unknown).load()


@given(plain, st.sampled_from([4, 5]))
def test_plain_data_comes_back_as_pickle_gives_it(value: object, protocol: int) -> None:
    assert load(pickle.dumps(value, protocol)) == value


@given(st.recursive(scalars, lambda inner: st.lists(inner) | st.dictionaries(keys, inner), max_leaves=30))
def test_protocol_2_too(value: object) -> None:
    """Python writes bytes as calls there, which are among the known ones."""
    assert load(pickle.dumps(value, 2)) == value


def test_sharing_and_cycles_survive() -> None:
    shared: list[object] = [1]
    cycle: list[object] = [shared, shared]
    cycle.append(cycle)
    loaded = load(pickle.dumps(cycle, 2))
    assert isinstance(loaded, list)
    assert loaded[0] is loaded[1]
    assert loaded[2] is loaded


def test_python_2_strings() -> None:
    assert load(b"\x80\x02U\x03abcT\x02\x00\x00\x00\xff\xfe\x86.") == ("abc", b"\xff\xfe")


def test_ordered_dict_keeps_order_and_attributes() -> None:
    original = collections.OrderedDict(b=1, a=2)
    vars(original)["extra"] = {"version": 1}  # as torch sets _metadata
    loaded = load(pickle.dumps(original, 2))
    assert isinstance(loaded, Dict)
    assert list(loaded.items()) == [("b", 1), ("a", 2)]
    assert loaded.attributes == {"extra": {"version": 1}}


class Custom:
    """A class only this file knows."""

    def __init__(self) -> None:
        self.rate = 0.5


class CustomDict(dict[str, int]):
    pass


class CustomList(list[int]):
    pass


def test_unknown_classes_become_placeholders_with_their_state() -> None:
    unknown: dict[str, None] = {}
    loaded = load(pickle.dumps([Custom(), CustomDict(a=1), CustomList([1, 2]), Path("a/b")], 2), unknown)
    assert isinstance(loaded, list)
    custom, mapping, sequence, path = loaded
    assert all(isinstance(value, Placeholder) for value in loaded)
    assert custom.state == {"rate": 0.5}
    assert mapping.entries == {"a": 1}
    assert sequence.elements == [1, 2]
    assert "/".join(path.args) == "a/b"  # in parts, until Python 3.13
    assert f"{__name__}.Custom" in unknown
    assert len(unknown) == 4


class Command:
    def __init__(self, function: object, *args: object) -> None:
        self.call = (function, args)

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return self.call


def test_nothing_is_ever_run(tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    attacks = [
        Command(os.system, f"touch {marker}"),
        Command(exec, f"open({str(marker)!r}, 'w')"),
        Command(getattr, Command(__import__, "os"), "system"),
        Command(eval, f"open({str(marker)!r}, 'w')"),
    ]
    unknown: dict[str, None] = {}
    for attack in attacks:
        assert isinstance(load(pickle.dumps(attack, 2), unknown), Placeholder)
        assert isinstance(load(pickle.dumps(attack, 5), unknown), Placeholder)
    chain = Call(Call(Name("builtins", "getattr"), (Name("os", "x"), "system")), (f"touch {marker}",))
    assert isinstance(load(dumps(chain), unknown), Placeholder)
    assert not marker.exists()
    assert {f"{os.system.__module__}.system", "__builtin__.exec", "builtins.getattr"} <= unknown.keys()


DEEP = 60_000


@pytest.mark.parametrize(
    "body",
    [
        b")" + b"\x85" * DEEP,
        b"]" + b"q\x01]h\x01a" * DEEP,
        b"N" + b"q\x01}K\x00h\x01s" * DEEP,
        b"ca\nb\nq\x00N" + b"q\x01h\x00h\x01\x85R" * DEEP,
    ],
    ids=["tuples", "lists", "dicts", "calls"],
)
def test_deep_nesting_neither_recurses_nor_crashes(body: bytes) -> None:
    load(b"\x80\x04" + body + b".")


@pytest.mark.parametrize("key", [b"K\x01\x85", b")", b"\x8a\x08" + b"\xff" * 7 + b"\x1f", b"(\x91"])
def test_keys_whose_hash_a_file_can_choose_hash_by_identity(key: bytes) -> None:
    """Tuples recurse when hashed, and large integers collide at will."""
    found = load(b"\x80\x04}" + key + b"Ns(" + key + b"\x91\x8f(" + key + b"\x90\x87.")
    assert isinstance(found, tuple)
    for container in found:
        assert [type(k) for k in container] == [Placeholder]


N = 60_000
CALL = b"ca\nb\n\x940"  # leaves an unknown class in the memo
KNOWN = b"ccollections\nOrderedDict\n\x940"
NUMBERS = b"".join(b"J" + i.to_bytes(4, "little") for i in range(5000))
LATIN_TEXT = b"X" + struct.pack("<I", 10000) + b"a" * 10000 + b"\x8c\x06latin1\x86"
BOMBS = {
    "sets": b"\x8f" * N,
    "frozen sets": b"(K\x01\x91" * N,
    "lists": b"]" * N,
    "dicts": b"}" * N,
    "filled dicts": b"}K\x01K\x02s" * N,
    "memo": b"N" + b"\x94" * N,
    "tuples": b")" + b"\x85" * N,
    "classes": b"ca\nb\n" * N,
    "placeholders": CALL + b"h\x00)R" * N,
    "filled placeholders": CALL + b"h\x00)RNNs" * N,
    "placeholders with keywords": CALL + b"h\x00)}\x92" * N,
    "ordered dicts": KNOWN + b"h\x00)R" * N,
    "ordered dicts with state": KNOWN + b"h\x00)R)b" * N,
    "tuple keys": b"}" + b"K\x01\x85Ns" * N,
    "integers": (b"\x8a\x40" + b"\x11" * 64) * N,
    "one large dict": b"}(" + b"N".join([b"", *(b"J" + i.to_bytes(4, "little") for i in range(N))]) + b"Nu",
    "one list copied into sets": b"c__builtin__\nset\n\x940](" + NUMBERS + b"e\x85\x940" + b"h\x00h\x01R" * N,
    "wide text": (b"X" + struct.pack("<I", 10004) + b"a" * 10000 + "\U0001f30d".encode()) * 1000,
    "numbers": b"](" + b"G@\x09\x21\xfb\x54\x44\x2d\x18" * N + b"e",
    "whole numbers": b"](" + b"J\x00\x00\x01\x00" * N + b"e",
    "small numbers": b"](" + b"K\x01" * N + b"e" + b"](" + b"N" * N + b"e",
    "numbers one by one": b"]" + b"J\x00\x00\x01\x00a" * N,
    "a tuple of numbers": b"(" + b"G@\x09\x21\xfb\x54\x44\x2d\x18" * N + b"t",
    "a dict of small numbers": b"}(" + b"M\x00\x01N" * N + b"u" + b"}(" + NUMBERS + NUMBERS + b"u",
    "numbers in the memo": b"".join(b"G" + i.to_bytes(8, "little") + b"\x94" for i in range(N)),
    "short bytes": (b"C\x80" + b"a" * 128) * N,
    "bytes": (b"B" + struct.pack("<I", 60000) + b"a" * 60000) * 200,
    "one text encoded often": b"c_codecs\nencode\n\x940" + LATIN_TEXT + b"\x940" + b"h\x00h\x01R" * N,
}


@pytest.mark.parametrize("name", BOMBS)
def test_memory_stays_within_the_budget(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The account of costs is honest: whatever a pickle is made of, Python never holds more than the budget."""
    monkeypatch.setattr(unpickle, "BUDGET", 1 << 21)
    data = b"\x80\x04" + BOMBS[name] + b"."
    tracemalloc.start()
    try:
        with pytest.raises(CheckpointError, match="builds more than 2 MB"):
            load(data)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < unpickle.BUDGET


def test_what_is_large_costs_what_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Long bytes and texts stay in the file; a history of millions of numbers is no attack."""
    for protocol in (2, 4):
        data = pickle.dumps([bytes(range(256)) * (1 << 16), "é" * (1 << 20), np.arange(3 << 18)], protocol)
        tracemalloc.start()
        load(data)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
        tracemalloc.stop()
    monkeypatch.setattr(unpickle, "BUDGET", unpickle.BUDGET // 20)
    numbers = [float(i) for i in range(3_000_000 // 20)]
    assert load(pickle.dumps(numbers, 2)) == numbers


@pytest.mark.parametrize("protocol", [0, 1])
def test_protocols_that_torch_save_only_writes_when_told_to(protocol: int) -> None:
    with pytest.raises(CheckpointError, match="of protocol 0 or 1: save it with"):
        load(pickle.dumps({"a": [1.5, "text"], "b": Custom(), "c": 1 << 40}, protocol))


@pytest.mark.parametrize(
    "data",
    [
        b"\x80\x04\x8b\xff\xff\xff\x7f",  # an integer of 2 GB
        b"\x80\x04\x8d" + b"\xff" * 8,  # a text of 16 EB
        b"\x80\x04\x8e" + b"\xff" * 7 + b"\x7f",
        b"\x80\x04\x96" + b"\xff" * 8,
        b"\x80\x04X\xff\xff\xff\xff",
        b"\x80\x04\x95" + b"\xff" * 8,
        b"\x80\x04Nr\xff\xff\xff\xff",  # a memo index of 4 G, then no end
        b"\x80\x04j\xff\xff\xff\xff.",
        b"\x80\x02K\x01",
        b"\x80\x06N.",
        b"",
        b".",
        b"\x80\x02t.",
        b"\x80\x02N(0t.",
        b"\x80\x02(K\x010u.",
        b"\x80\x02(NR.",
        b"\x80\x02NNR.",
        b"\x80\x02ca\nb\nNR.",
        b"\x80\x02K\x01Na.",
        b"\x80\x02K\x01NNs.",
        b"\x80\x04N(N\x90.",
        b"\x80\x02]Nb.",
        b"\x80\x02}(Nu.",
        b"\x80\x04K\x01K\x01\x93.",
        b"\x80\x02c" + b"a" * 5000,
        b"\x80\x02c\x1b[31m\nb\n.",
        b"\x80\x02X\x01\x00\x00\x00\xff.",
        b"\x80\x02I10\n.",  # protocol 0
        b"\x80\x02\x82\x01.",  # an extension code
        b"\x80\x02NQ.",
    ],
)
def test_malformed_pickles_get_one_sentence(data: bytes) -> None:
    with pytest.raises(CheckpointError) as caught:
        load(data)
    assert str(caught.value)
    assert "\n" not in str(caught.value)
    assert str(caught.value).isprintable()


@given(st.binary(max_size=200))
def test_random_bytes(data: bytes) -> None:
    with contextlib.suppress(CheckpointError):
        load(b"\x80\x02" + data)


opcodes = st.sampled_from([*unpickle.OPCODES, b"."])


@given(st.lists(st.tuples(opcodes, st.binary(max_size=6)), max_size=60))
def test_random_opcodes(parts: list[tuple[bytes, bytes]]) -> None:
    with contextlib.suppress(CheckpointError):
        load(b"".join(opcode + operand for opcode, operand in parts))
