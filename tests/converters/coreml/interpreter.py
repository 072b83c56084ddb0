"""A numeric interpreter of saved ML Programs, in NumPy.

It runs the protobuf that was saved, not the program that was built. Values of float16 are computed in float32 and
rounded after every operation, integers wrap as the types that are stored, and every index is checked. It tells what
numbers a program means; it says nothing of devices.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import coremltools as ct
import numpy as np
from coremltools.converters.mil.frontend.milproto import load as milproto
from coremltools.converters.mil.mil import types

Arrays = dict[str, np.ndarray]

DTYPES = {
    "fp16": np.float16, "fp32": np.float32, "bool": np.bool_, "int8": np.int8, "uint8": np.uint8,
    "int16": np.int16, "uint16": np.uint16, "int32": np.int32,
}  # fmt: skip


@dataclass
class Ran:
    outputs: Arrays
    counts: Counter[str] = field(default_factory=Counter)
    """How many operations of each kind ran."""


def load(path: Path) -> Any:
    """The program of a saved package."""
    model = ct.models.MLModel(str(path), skip_model_load=True)
    spec = model.get_spec()
    return milproto.load(
        model_spec=spec, specification_version=spec.specificationVersion, file_weights_dir=model.weights_dir
    )


def run(program: Any, inputs: Mapping[str, np.ndarray], function: str = "main") -> Ran:
    """Runs a function; what it takes must be given, in its shape, and more may be."""
    f = program.functions[function]
    values: Arrays = {}
    for name, var in f.inputs.items():
        given = np.asarray(inputs[name])
        assert given.shape == tuple(var.shape), f"{name} is {given.shape}: it must be {tuple(var.shape)}"
        values[name] = _stored(given, var.dtype)
    last = {v.name: i for i, op in enumerate(f.operations) for v in _read(op)}
    ran, kept = Ran({}), {o.name for o in f.outputs}
    for i, op in enumerate(f.operations):
        if op.op_type == "const":
            continue
        ran.counts[op.op_type] += 1
        given = {name: _value(v, values) for name, v in op.inputs.items()}
        result = OPS[op.op_type](given)
        for var, x in zip(op.outputs, result if isinstance(result, tuple) else (result,), strict=True):
            values[var.name] = _stored(x, var.dtype)
            assert values[var.name].shape == tuple(var.shape), f"{op.op_type} {op.name}: {x.shape}, not {var.shape}"
        for v in _read(op):
            if last[v.name] == i and v.name not in kept:
                values.pop(v.name, None)
    ran.outputs = {name: values[name] for name in kept}
    return ran


def _read(op: Any) -> list[Any]:
    found = []
    for v in op.inputs.values():
        found += [u for u in (v if isinstance(v, list | tuple) else [v]) if u is not None]
    return found


def _value(v: Any, values: Arrays) -> Any:
    if isinstance(v, list | tuple):
        return [_value(u, values) for u in v]
    if v is None:
        return None
    if v.name in values:
        return values[v.name]
    return v.val.astype(np.float32) if isinstance(v.val, np.ndarray) and v.val.dtype == np.float16 else v.val


def _stored(x: Any, dtype: Any) -> np.ndarray:
    """As a variable of a type holds it; float16 as float32 of its values."""
    to = DTYPES[types.builtin_to_string(dtype)]
    with np.errstate(over="ignore"):
        x = np.asarray(x).astype(to)
    return x.astype(np.float32) if to is np.float16 else x


def _ints(x: Any) -> list[int]:
    return [int(i) for i in np.asarray(x).reshape(-1)]


def _padding(a: Mapping[str, Any], x: np.ndarray, kernel: list[int], value: float) -> np.ndarray:
    if a["pad_type"] == "valid":
        return x
    assert a["pad_type"] == "custom"
    top, bottom, left, right = _ints(a["pad"])
    return np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)), constant_values=value)


def _windows(x: np.ndarray, kernel: list[int], strides: list[int]) -> np.ndarray:
    seen = np.lib.stride_tricks.sliding_window_view(x, kernel, axis=(2, 3))
    return seen[:, :, :: strides[0], :: strides[1]]


def _conv(a: Mapping[str, Any]) -> np.ndarray:
    w = np.asarray(a["weight"], np.float32)
    groups, kernel = int(a["groups"]), [*w.shape[2:]]
    assert _ints(a["dilations"]) == [1, 1]
    x = _windows(_padding(a, a["x"], kernel, 0.0), kernel, _ints(a["strides"]))  # [N, C, h, w, kh, kw]
    n, c, oh, ow = x.shape[:4]
    if groups == 1:
        columns = np.ascontiguousarray(x.transpose(0, 2, 3, 1, 4, 5)).reshape(n * oh * ow, -1)
        y = (columns @ w.reshape(len(w), -1).T).reshape(n, oh, ow, -1).transpose(0, 3, 1, 2)
    else:
        assert groups == c == len(w)
        y = np.einsum("nchwij,cij->nchw", x, w[:, 0])
    return y if a.get("bias") is None else y + np.asarray(a["bias"]).reshape(1, -1, 1, 1)


def _pool(a: Mapping[str, Any], value: float, of: Callable[..., np.ndarray]) -> np.ndarray:
    kernel = _ints(a["kernel_sizes"])
    assert not a.get("ceil_mode") and not a.get("exclude_padding_from_average")
    return of(_windows(_padding(a, a["x"], kernel, value), kernel, _ints(a["strides"])), axis=(4, 5))


def _gather(a: Mapping[str, Any]) -> np.ndarray:
    x, indices, axis = a["x"], np.asarray(a["indices"]), int(a["axis"])
    assert indices.size == 0 or (indices.min() >= 0 and indices.max() < x.shape[axis]), "an index is out of range"
    return np.take(x, indices, axis)


def _slice_by_size(a: Mapping[str, Any]) -> np.ndarray:
    begin, size = _ints(a["begin"]), _ints(a["size"])
    assert all(b >= 0 and n > 0 and b + n <= s for b, n, s in zip(begin, size, a["x"].shape, strict=True))
    return a["x"][tuple(slice(b, b + n) for b, n in zip(begin, size, strict=True))]


def _slice_by_index(a: Mapping[str, Any]) -> np.ndarray:
    masks = [np.asarray(a[name]).tolist() if a.get(name) is not None else [] for name in ("begin_mask", "end_mask")]
    assert not any(map(any, masks)) and not (a.get("squeeze_mask") is not None and np.any(a["squeeze_mask"]))
    steps = _ints(a["stride"]) if a.get("stride") is not None else [1] * a["x"].ndim
    return a["x"][tuple(map(slice, _ints(a["begin"]), _ints(a["end"]), steps))]


def _pad(a: Mapping[str, Any]) -> np.ndarray:
    pads, mode = np.asarray(a["pad"]).reshape(-1, 2).tolist(), a["mode"]
    pads = [[0, 0]] * (a["x"].ndim - len(pads)) + pads
    if mode == "reflect":
        return np.pad(a["x"], pads, mode="reflect")
    assert mode == "constant"
    return np.pad(a["x"], pads, constant_values=a["constant_val"])


def _topk(a: Mapping[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    x, k, axis = a["x"], int(a["k"]), int(a["axis"])
    at = np.argsort(x if a["ascending"] else -x.astype(np.int64), axis=axis, kind="stable")
    at = np.take(at, range(k), axis)
    return np.take_along_axis(x, at, axis), at.astype(np.int32)


def _reduced(of: Callable[..., np.ndarray]) -> Callable[[Mapping[str, Any]], np.ndarray]:
    return lambda a: of(a["x"], axis=tuple(_ints(a["axes"])), keepdims=bool(a["keep_dims"]))


def _softmax(a: Mapping[str, Any]) -> np.ndarray:
    axis = int(a["axis"])
    e = np.exp(a["x"] - a["x"].max(axis, keepdims=True))
    return e / e.sum(axis, keepdims=True)


def _matmul(a: Mapping[str, Any]) -> np.ndarray:
    x, y = (a[k].swapaxes(-1, -2) if a[f"transpose_{k}"] else a[k] for k in "xy")
    return x @ y


def _cast(a: Mapping[str, Any]) -> np.ndarray:
    return np.asarray(a["x"]).astype(DTYPES[a["dtype"]])


def _squeezed(a: Mapping[str, Any]) -> np.ndarray:
    return np.squeeze(a["x"], tuple(_ints(a["axes"])))


OPS: dict[str, Callable[[Mapping[str, Any]], Any]] = {
    "add": lambda a: a["x"] + a["y"],
    "atan": lambda a: np.arctan(a["x"]),
    "avg_pool": lambda a: _pool(a, 0.0, np.mean),
    "cast": _cast,
    "clip": lambda a: np.clip(a["x"], a["alpha"], a["beta"]),
    "concat": lambda a: np.concatenate(a["values"], int(a["axis"])),
    "conv": _conv,
    "cos": lambda a: np.cos(a["x"]),
    "cumsum": lambda a: np.cumsum(a["x"], int(a["axis"])),
    "equal": lambda a: a["x"] == a["y"],
    "exp": lambda a: np.exp(a["x"]),
    "expand_dims": lambda a: np.expand_dims(a["x"], tuple(_ints(a["axes"]))),
    "floor_div": lambda a: a["x"] // a["y"],
    "gather": _gather,
    "greater": lambda a: a["x"] > a["y"],
    "greater_equal": lambda a: a["x"] >= a["y"],
    "identity": lambda a: a["x"],
    "leaky_relu": lambda a: np.where(a["x"] > 0, a["x"], a["x"] * np.float32(a["alpha"])),
    "less": lambda a: a["x"] < a["y"],
    "logical_and": lambda a: a["x"] & a["y"],
    "matmul": _matmul,
    "max_pool": lambda a: _pool(a, -np.inf, np.max),
    "maximum": lambda a: np.maximum(a["x"], a["y"]),
    "minimum": lambda a: np.minimum(a["x"], a["y"]),
    "mod": lambda a: a["x"] % a["y"],
    "mul": lambda a: a["x"] * a["y"],
    "pad": _pad,
    "real_div": lambda a: a["x"] / a["y"],
    "reduce_max": _reduced(np.max),
    "reduce_mean": _reduced(np.mean),
    "reduce_sum": _reduced(np.sum),
    "relu": lambda a: np.maximum(a["x"], 0),
    "reshape": lambda a: a["x"].reshape(_ints(a["shape"])),
    "rsqrt": lambda a: 1 / np.sqrt(a["x"] + np.float32(a["epsilon"])),
    "select": lambda a: np.where(a["cond"], a["a"], a["b"]),
    "silu": lambda a: a["x"] / (1 + np.exp(-a["x"])),
    "sin": lambda a: np.sin(a["x"]),
    "slice_by_index": _slice_by_index,
    "slice_by_size": _slice_by_size,
    "softmax": _softmax,
    "square": lambda a: a["x"] * a["x"],
    "squeeze": _squeezed,
    "stack": lambda a: np.stack(a["values"], int(a["axis"])),
    "sub": lambda a: a["x"] - a["y"],
    "tanh": lambda a: np.tanh(a["x"]),
    "topk": _topk,
    "transpose": lambda a: a["x"].transpose(_ints(a["perm"])),
    "upsample_nearest_neighbor": lambda a: a["x"].repeat(2, 2).repeat(2, 3),
}
