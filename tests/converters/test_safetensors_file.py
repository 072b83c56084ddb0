"""safetensors files as sources and as results."""

from __future__ import annotations

import json
import re
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of
from safetensors.numpy import load, save, save_file

from sige_mlx.converters import safetensors_file
from sige_mlx.converters.checkpoint import CheckpointError

arrays = st.dictionaries(
    st.text(max_size=8).filter(lambda name: name != "__metadata__" and name.isprintable()),
    arrays_of.arrays(
        np.float32, arrays_of.array_shapes(min_dims=0, min_side=0, max_side=4), elements={"allow_nan": False}
    ),
    max_size=4,
)


@given(arrays, st.sampled_from(["float32", "float16"]))
def test_the_library_reads_what_is_written(
    tmp_path_factory: pytest.TempPathFactory, content: dict[str, np.ndarray], dtype: str
) -> None:
    path = tmp_path_factory.mktemp("s") / "a.safetensors"
    shapes = {name: array.shape for name, array in content.items()}
    with np.errstate(over="ignore"):
        expected = {name: array.astype(dtype) for name, array in content.items()}
    sizes = list(safetensors_file.write(path, shapes, dtype, expected.__getitem__, {"family": "x"}))
    assert sizes == [array.nbytes for array in expected.values()]
    raw = path.read_bytes()
    assert int.from_bytes(raw[:8], "little") % 8 == 0  # readers map the tensors: they should lie aligned
    found = load(raw)
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array)


@given(arrays)
def test_what_the_library_writes_is_read(
    tmp_path_factory: pytest.TempPathFactory, content: dict[str, np.ndarray]
) -> None:
    path = tmp_path_factory.mktemp("s") / "a.safetensors"
    path.write_bytes(save(content, {"note": "x"}))
    found = safetensors_file.read(path)
    assert found.keys() == content.keys()
    for name, array in content.items():
        np.testing.assert_array_equal(found[name].numpy(), array)


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    path.touch()
    with pytest.raises(FileExistsError):
        list(safetensors_file.write(path, {}, "float32", lambda _: np.zeros(3), {}))


def test_a_tensor_built_in_another_shape_is_a_bug(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"built as \(3,\) where \(2,\)"):
        list(safetensors_file.write(tmp_path / "a", {"x": (2,)}, "float32", lambda _: np.zeros(3), {}))


FULL = {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}


@pytest.mark.parametrize(
    "header",
    [
        {"x": {"dtype": "F32", "shape": [4], "data_offsets": [0, 400]}},
        {"x": {"dtype": "F32", "shape": [400], "data_offsets": [0, 16]}},
        {"x": {"dtype": "F32", "shape": [4], "data_offsets": [16, 0]}},
        {"x": {"dtype": "F32", "shape": [-4], "data_offsets": [0, 16]}},
        {"x": {"dtype": "F99", "shape": [4], "data_offsets": [0, 16]}},
        {"x": {"dtype": "F8_E4M3", "shape": [16], "data_offsets": [0, 16]}},
        {"x": {"dtype": "F32", "shape": [0, 2**63], "data_offsets": [0, 0]}, "y": FULL},
        {"x": {**FULL, "shape": [4, *[1] * 70]}},
        {"x": {}},
        {"x": 3},
        [],
    ],
)
def test_headers_that_lie(header: object, tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + bytes(16))
    with pytest.raises(CheckpointError, match="^" + re.escape(f"{path}: ")):
        safetensors_file.read(path)


def test_truncated(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_file({"x": np.ones(4, np.float32)}, path)
    content = path.read_bytes()
    for length in range(1, len(content)):
        path.write_bytes(content[:length])
        with pytest.raises(CheckpointError):
            safetensors_file.read(path)
