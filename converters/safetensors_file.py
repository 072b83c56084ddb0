"""safetensors files, read as the tensors of a checkpoint and written one tensor at a time."""

from __future__ import annotations

import json
import math
import mmap
import os
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open

from sige_mlx.converters.checkpoint import CheckpointError, Storage, Tensor
from sige_mlx.converters.checkpoint.reader import map_file
from sige_mlx.converters.checkpoint.tensor import NUMPY_DTYPES, itemsize, packed, view

_DTYPES = {
    "F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16",
    "I64": "int64", "I32": "int32", "I16": "int16", "I8": "int8",
    "U64": "uint64", "U32": "uint32", "U16": "uint16", "U8": "uint8", "BOOL": "bool",
}  # fmt: skip
_NAMES = {dtype: name for name, dtype in _DTYPES.items()}


def read(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file by name, as views of the mapped file; a damaged one is a `CheckpointError`."""
    try:
        with safe_open(path, framework="numpy"):
            pass  # the library's own validation of the header
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path}: it is a damaged safetensors file ({error})") from None
    data = map_file(path)
    start = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:start])
    header.pop("__metadata__", None)
    tensors = {}
    for name, entry in header.items():
        if entry["dtype"] not in _DTYPES:
            raise CheckpointError(f"{path}: its tensor {name[:80]!r} has the unsupported dtype {entry['dtype']}")
        first, last = (start + offset for offset in entry["data_offsets"])
        dtype = _DTYPES[entry["dtype"]]
        storage = Storage(last - first, dtype, partial(_slice, data, first, last))
        try:
            tensors[name] = view(storage, dtype, 0, entry["shape"], packed(entry["shape"]))
        except CheckpointError as error:
            raise CheckpointError(f"{path}: its tensor {name[:80]!r}: {error}") from None
    return tensors


def metadata(path: Path) -> dict[str, str]:
    """What a sound file says of itself."""
    with safe_open(path, framework="numpy") as file:
        return dict(file.metadata() or {})


def write(
    path: Path,
    shapes: Mapping[str, tuple[int, ...]],
    dtype: str,
    build: Callable[[str], np.ndarray],
    metadata: Mapping[str, str],
) -> Iterator[int]:
    """Create `path` with the tensors `build(name)`, all of `dtype`; yields the bytes of each once it is written.

    The library's own `save_file` wants all tensors in memory at once. The format is the length of the header in 8
    bytes, the header in JSON, and the tensors. Raises `OSError` if the file exists or the disk is full.
    """
    header: dict[str, object] = {"__metadata__": dict(metadata)}
    end = 0
    for name, shape in shapes.items():
        begin, end = end, end + math.prod(shape) * itemsize(dtype)
        header[name] = {"dtype": _NAMES[dtype], "shape": shape, "data_offsets": (begin, end)}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with path.open("xb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for name, shape in shapes.items():
            values = np.asarray(build(name), NUMPY_DTYPES[dtype], order="C")
            if values.shape != shape:
                raise ValueError(f"{name} was built as {values.shape} where {shape} was announced")
            file.write(values.data)
            yield values.nbytes
        file.flush()
        os.fsync(file.fileno())


def _slice(data: mmap.mmap, first: int, last: int) -> memoryview:
    return memoryview(data)[first:last]
