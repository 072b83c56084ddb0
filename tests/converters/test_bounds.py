"""Small files that were made to take for ever, to fill memory or to overflow the stack: one sentence, at once."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest

from sige_mlx.converters import safetensors_file
from sige_mlx.converters.checkpoint import CheckpointError, read, state_dict
from tests.converters.writer import Call, Name, dumps, rebuild, storage, write_zip
from tests.fuzz.limits import within

MANY = 30_000
TENSOR = rebuild(storage("0", "Float", 1), (1,), (1,))
REMEMBERED, AGAIN, TWICE = b"q\1", b"h\1", b"h\1\x86"


def ask(path: Path, pickle: bytes) -> str:
    """What is said of a file with this pickle by all who look for weights in it."""
    write_zip(path / "a.pth", pickle, {"0": bytes(64)})
    said = "fine"
    with within(5):
        for prefer in ("ema", "raw", "model"):
            try:
                state_dict(read(path / "a.pth"), prefer)
            except CheckpointError as error:
                said = str(error)
                assert said.isprintable()
    return said


def inner(value: object) -> bytes:
    """A value within a pickle."""
    return dumps(value)[2:-1]


def named(value: bytes) -> bytes:
    """A pickle of a state dict with one entry."""
    return b"\x80\x02}" + inner("a") + value + b"s."


@pytest.mark.parametrize(
    "shape",
    [b"K\1" * MANY, b"\x8a\x40" + b"\xff" * 63 + b"\x7f" + REMEMBERED + AGAIN * MANY],
    ids=["ones", "large numbers"],
)
def test_a_numpy_array_of_many_axes(tmp_path: Path, shape: bytes) -> None:
    dtype = Call(Name("numpy", "dtype"), ("f4", False, True), (), (3, "<", None, None, None, -1, -1, 0))
    function = inner(Name("numpy.core.multiarray", "_reconstruct")) + b")R"
    state = inner(1) + b"(" + shape + b"t" + inner(dtype) + b"\x89" + inner("\0\0\0\0")
    raw = inner(Call(Name("_codecs", "encode"), ("\0\0\0\0", "latin1")))
    state = state[: -len(inner("\0\0\0\0"))] + raw
    assert "malformed shape" in ask(tmp_path, named(function + b"(" + state + b"tb"))


def test_a_safetensors_file_with_a_tensor_of_many_axes(tmp_path: Path) -> None:
    header = json.dumps({"a": {"dtype": "F32", "shape": [1] * 10 * MANY, "data_offsets": [0, 4]}}).encode()
    path = tmp_path / "a.safetensors"
    path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(4))
    with within(5), pytest.raises(CheckpointError, match="'a': a tensor has a malformed shape"):
        safetensors_file.read(path)


def test_parameters_of_parameters(tmp_path: Path) -> None:
    function = inner(Name("torch._utils", "_rebuild_parameter"))
    deep = function + REMEMBERED + AGAIN * MANY + b"N" + b"\x85R" * (MANY + 1)
    assert "no state dict" in ask(tmp_path, named(deep))


def test_a_parameter_is_what_is_in_it(tmp_path: Path) -> None:
    sparse = Call(Name("torch._utils", "_rebuild_sparse_tensor"), (1, 2))
    parameter = Call(Name("torch._utils", "_rebuild_parameter"), (sparse, True))
    write_zip(tmp_path / "a.pth", {"a": TENSOR, "b": parameter}, {"0": bytes(4)})
    found = state_dict(read(tmp_path / "a.pth"))
    assert list(found.tensors) == ["a"] and found.foreign == {"b": "sparse"}


@pytest.mark.parametrize("kind", [b")" + b"\x85" * MANY, b")" + REMEMBERED + TWICE * 40], ids=["deep", "doubled"])
def test_a_class_that_is_no_name(tmp_path: Path, kind: bytes) -> None:
    function = inner(Name("torch._tensor", "_rebuild_from_type_v2")) + inner(Name("a", "b"))
    if kind.endswith(TWICE):
        kind = b")" + (REMEMBERED + TWICE) * 40
    write_zip(tmp_path / "a.pth", named(function + kind + b"\x86R"), {})
    with within(5):
        assert state_dict(read(tmp_path / "a.pth")).foreign == {"a": "of a class of its own"}


def entries(*names: str) -> bytes:
    """Many entries of a dictionary, one tensor by all names that these patterns make."""
    return b"(" + b"".join(inner(name % i) + AGAIN for name in names for i in range(MANY)) + b"u"


FIRST = inner("first") + inner(TENSOR) + REMEMBERED + b"s"
EACH = b"(" + b"".join(inner(str(i)) + b"}" + inner("a") + AGAIN + b"s" for i in range(1, MANY)) + b"u"


@pytest.mark.parametrize(
    ("pickle", "said"),
    [
        (b"}" + FIRST + entries("ema_%d.w", "m%d.w"), "no state dict under 'model'"),
        (b"}" + FIRST + EACH, "more than 100 state dicts"),
        (b"}" + inner("0") + b"}" + FIRST + entries("m%d") + b"s" + EACH, "more than 100 state dicts"),
        (b"}" + inner("model") + b"}" + FIRST + entries("m%d") + b"s" + EACH, "more than 100 state dicts"),
    ],
    ids=["averages by name", "in a dictionary", "in a list", "beside a model"],
)
def test_many_state_dicts(tmp_path: Path, pickle: bytes, said: str) -> None:
    assert said in ask(tmp_path, b"\x80\x02" + pickle + b".")
