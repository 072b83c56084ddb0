"""Damaged and invented files: success or one `CheckpointError`, whatever is in them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file

from sige_mlx.converters import convert
from sige_mlx.converters.checkpoint import CheckpointError, Placeholder, Tensor, read, state_dict
from sige_mlx.errors import SigeError
from tests.converters.writer import Call, Name, dumps, save, write_legacy, write_zip

FORMS = pytest.mark.parametrize("form", ["zip", "deflated", "legacy", "safetensors"])
shared_folder = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


def tensors(root: object) -> Iterator[Tensor]:
    """Every tensor anywhere in a checkpoint's object, which may have cycles."""
    seen: set[int] = set()
    stack = [root]
    while stack:
        value = stack.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, dict):
            stack += value.values()
        elif isinstance(value, list | tuple | set | frozenset):
            stack += value
        elif isinstance(value, Placeholder):
            stack += [value.args, value.state, value.entries, value.elements, value.kwargs]


def exercise(path: Path) -> None:
    """Everything the package does with a file."""
    with contextlib.suppress(CheckpointError):
        checkpoint = read(path)
        for tensor in tensors(checkpoint.root):
            with contextlib.suppress(CheckpointError):
                assert tensor.numpy().shape == tensor.shape
        with contextlib.suppress(CheckpointError):
            state_dict(checkpoint)
    with pytest.raises(SigeError) as caught:  # none of these is a network
        convert(path, path.parent / "model")
    assert "\n" not in str(caught.value)
    assert not (path.parent / "model").exists()


def sample(path: Path, form: str) -> bytes:
    arrays: dict[str, np.ndarray] = {
        "a.weight": np.ones((2, 3), np.float32),
        "a.bias": np.zeros(2, np.float16),
        "n": np.array(3),
    }
    if form == "safetensors":
        save_file(arrays, path)
    else:
        save(path, arrays, form)
    return path.read_bytes()


@FORMS
@shared_folder
@given(flips=st.lists(st.tuples(st.integers(0, 1 << 16), st.integers(1, 255)), min_size=1, max_size=4))
def test_flipped_bytes(form: str, tmp_path: Path, flips: list[tuple[int, int]]) -> None:
    path = tmp_path / "a.pth"
    data = bytearray(sample(path, form))
    for position, mask in flips:
        data[position % len(data)] ^= mask
    path.write_bytes(data)
    exercise(path)


@FORMS
@shared_folder
@given(cut=st.integers(0, 1 << 16), filler=st.binary(max_size=30))
def test_cut_and_filled(form: str, tmp_path: Path, cut: int, filler: bytes) -> None:
    """A piece replaced by another of any length, so that everything behind it moves."""
    path = tmp_path / "a.pth"
    data = sample(path, form)
    cut %= len(data)
    path.write_bytes(data[:cut] + filler + data[cut + 8 :])
    exercise(path)


@shared_folder
@given(st.binary(max_size=300))
def test_random_files(tmp_path: Path, data: bytes) -> None:
    for magic in (b"", b"PK\3\4", b"\x80\x02"):
        path = tmp_path / "a.pth"
        path.write_bytes(magic + data)
        exercise(path)


names = st.sampled_from(
    [
        Name("torch._utils", "_rebuild_tensor_v2"),
        Name("torch._utils", "_rebuild_tensor"),
        Name("torch._utils", "_rebuild_tensor_v3"),
        Name("torch._utils", "_rebuild_parameter"),
        Name("torch._tensor", "_rebuild_from_type_v2"),
        Name("torch", "Size"),
        Name("torch", "float32"),
        Name("collections", "OrderedDict"),
        Name("builtins", "set"),
        Name("builtins", "getattr"),
        Name("os", "system"),
        Name("_codecs", "encode"),
    ]
)
simple = st.none() | st.booleans() | st.integers(-3, 1 << 40) | st.text(max_size=3) | st.floats()
objects = st.recursive(
    simple | names,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=4).map(tuple),
        st.dictionaries(st.text(max_size=8), inner, max_size=4),
        st.builds(Call, names | inner, st.lists(inner, max_size=7).map(tuple)),
        st.builds(Call, names, st.just(()), st.lists(st.tuples(inner, inner), max_size=2).map(tuple), inner),
    ),
    max_leaves=25,
)
WRITERS: tuple[Callable[[Path, object], Path], ...] = (
    lambda path, root: write_zip(path, root, {"0": b"\0" * 64}),
    lambda path, root: write_legacy(path, root, {}),
)


@shared_folder
@given(objects, st.sampled_from(WRITERS))
def test_invented_objects(tmp_path: Path, root: object, write: Callable[[Path, object], Path]) -> None:
    exercise(write(tmp_path / "a.pth", dumps(root)))
