"""A numeric interpreter of saved ML Programs, in NumPy.

It runs the protobuf that was saved, not the program that was built. Values of float16 are computed in float32 and
rounded after every operation, integers wrap as the types that are stored, and every index is checked. It tells what
numbers a program means; it says nothing of devices.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from sige_mlx.converters.coreml.saved import Function, Operation, Type
from sige_mlx.errors import SigeError

Array = npt.NDArray[Any]
Arrays = dict[str, Array]

_LISTS = ("values",)  # inputs that are lists of arrays, though there be one


@dataclass
class Ran:
    """Outputs by name, and how many operations of each kind ran."""

    outputs: Arrays
    counts: Counter[str] = field(default_factory=Counter)


def run(function: Function, inputs: Mapping[str, Array]) -> Ran:
    """Runs a function; what it takes must be given, states too, in its shape, and more may be. Raises `SigeError` for
    what is not given so, for an operation that it does not know, and for one that leaves its arrays."""
    values: Arrays = {}
    for name, kind in function.inputs.items():
        given = np.asarray(inputs[name]) if name in inputs else None
        if given is None or given.shape != kind.shape:
            found = "not given" if given is None else given.shape
            raise SigeError(f"{name} is {found}: it must be {kind.shape}")
        values[name] = _stored(given, kind)
    last = {name: i for i, op in enumerate(function.operations) for name in _read(op)}
    ran, kept = Ran({}), {*function.outputs}
    for i, op in enumerate(function.operations):
        ran.counts[op.kind] += 1
        if op.kind not in OPS:
            raise SigeError(f"{next(iter(op.outputs))} is of the kind {op.kind}, which the interpreter does not know")
        try:
            result = OPS[op.kind](_given(op, function, values))
            for (name, kind), x in zip(
                op.outputs.items(), result if isinstance(result, tuple) else (result,), strict=True
            ):
                values[name] = _stored(x, kind)
                if values[name].shape != kind.shape:
                    raise ValueError(f"it is {values[name].shape}, not {kind.shape}")
        except (ValueError, IndexError, KeyError, TypeError) as error:
            raise SigeError(f"{op.kind} {next(iter(op.outputs))}: {error}") from error
        for name in _read(op):
            if last[name] == i and name not in kept:
                values.pop(name, None)
    ran.outputs = {name: values[name] for name in function.outputs}
    return ran


def _read(op: Operation) -> list[str]:
    return [of for given in op.inputs.values() for of in given if isinstance(of, str)]


def _given(op: Operation, function: Function, values: Arrays) -> dict[str, Any]:
    """Returns what an operation is given: defaults are those of its specification."""
    found: dict[str, Any] = dict(_DEFAULTS.get(op.kind, {}))
    for name, given in op.inputs.items():
        arrays = [_numbers(values, function, of) for of in given]
        found[name] = arrays if name in _LISTS or len(arrays) > 1 else arrays[0]
    return found


def _numbers(values: Arrays, function: Function, of: Any) -> Any:
    x = of
    if isinstance(of, str):
        x = values[of] if of in values else function.constants[of]
    return x.astype(np.float32) if isinstance(x, np.ndarray) and x.dtype == np.float16 else x


def _stored(x: Any, kind: Type) -> Array:
    """Returns an array as a variable of a type holds it; float16 as float32 of its values."""
    with np.errstate(over="ignore"):
        array = np.asarray(x).astype(kind.dtype)
    return array.astype(np.float32) if kind.dtype == "float16" else array


_DEFAULTS: dict[str, dict[str, Any]] = {
    "avg_pool": {"exclude_padding_from_average": False, "ceil_mode": False},
    "max_pool": {"ceil_mode": False},
    "matmul": {"transpose_x": False, "transpose_y": False},
    "conv": {"groups": 1, "dilations": [1, 1], "strides": [1, 1]},
    "pad": {"mode": "constant", "constant_val": 0.0},
    "topk": {"ascending": False, "axis": -1},
    "gather": {"axis": 0},
    "softmax": {"axis": -1},
    "rsqrt": {"epsilon": 1e-12},
    "cumsum": {"axis": 0, "exclusive": False, "reverse": False},
    "reduce_mean": {"keep_dims": False},
    "reduce_sum": {"keep_dims": False},
    "reduce_max": {"keep_dims": False},
}


def _require(holds: bool, sentence: str) -> None:
    if not holds:
        raise ValueError(sentence)


def _ints(x: Any) -> list[int]:
    return [int(i) for i in np.asarray(x).reshape(-1)]


def _padding(a: Mapping[str, Any], x: Array, kernel: list[int], value: float) -> Array:
    if a["pad_type"] == "valid":
        return x
    _require(a["pad_type"] == "custom", "it is of a form that the interpreter does not know")
    top, bottom, left, right = _ints(a["pad"])
    return np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)), constant_values=value)


def _windows(x: Array, kernel: list[int], strides: list[int]) -> Array:
    seen = np.lib.stride_tricks.sliding_window_view(x, kernel, axis=(2, 3))
    return seen[:, :, :: strides[0], :: strides[1]]


def _conv(a: Mapping[str, Any]) -> Array:
    w = np.asarray(a["weight"], np.float32)
    groups, kernel = int(a["groups"]), [*w.shape[2:]]
    _require(_ints(a["dilations"]) == [1, 1], "it is of a form that the interpreter does not know")
    x = _windows(_padding(a, a["x"], kernel, 0.0), kernel, _ints(a["strides"]))  # [N, C, h, w, kh, kw]
    n, c, oh, ow = x.shape[:4]
    if groups == 1:
        columns = np.ascontiguousarray(x.transpose(0, 2, 3, 1, 4, 5)).reshape(n * oh * ow, -1)
        y = (columns @ w.reshape(len(w), -1).T).reshape(n, oh, ow, -1).transpose(0, 3, 1, 2)
    else:
        _require(groups == c == len(w), "it is of a form that the interpreter does not know")
        y = np.einsum("nchwij,cij->nchw", x, w[:, 0])
    return y if a.get("bias") is None else y + np.asarray(a["bias"]).reshape(1, -1, 1, 1)


def _pool(a: Mapping[str, Any], value: float, of: Callable[..., Array]) -> Array:
    kernel = _ints(a["kernel_sizes"])
    _require(
        not a.get("ceil_mode") and not a.get("exclude_padding_from_average"),
        "it is of a form that the interpreter does not know",
    )
    return of(_windows(_padding(a, a["x"], kernel, value), kernel, _ints(a["strides"])), axis=(4, 5))


def _gather(a: Mapping[str, Any]) -> Array:
    x, indices, axis = a["x"], np.asarray(a["indices"]), int(a["axis"])
    _require(indices.size == 0 or (indices.min() >= 0 and indices.max() < x.shape[axis]), "an index is out of range")
    return np.take(x, indices, axis)


def _slice_by_size(a: Mapping[str, Any]) -> Array:
    begin, size = _ints(a["begin"]), _ints(a["size"])
    _require(
        all(b >= 0 and n > 0 and b + n <= s for b, n, s in zip(begin, size, a["x"].shape, strict=True)),
        "it is of a form that the interpreter does not know",
    )
    return a["x"][tuple(slice(b, b + n) for b, n in zip(begin, size, strict=True))]


def _slice_by_index(a: Mapping[str, Any]) -> Array:
    masks = [np.asarray(a[name]).tolist() if a.get(name) is not None else [] for name in ("begin_mask", "end_mask")]
    _require(
        not any(map(any, masks)) and not (a.get("squeeze_mask") is not None and np.any(a["squeeze_mask"])),
        "it is of a form that the interpreter does not know",
    )
    steps = _ints(a["stride"]) if a.get("stride") is not None else [1] * a["x"].ndim
    return a["x"][tuple(map(slice, _ints(a["begin"]), _ints(a["end"]), steps))]


def _pad(a: Mapping[str, Any]) -> Array:
    pads, mode = np.asarray(a["pad"]).reshape(-1, 2).tolist(), a["mode"]
    pads = [[0, 0]] * (a["x"].ndim - len(pads)) + pads
    if mode == "reflect":
        return np.pad(a["x"], pads, mode="reflect")
    _require(mode == "constant", "it is of a form that the interpreter does not know")
    return np.pad(a["x"], pads, constant_values=a["constant_val"])


def _topk(a: Mapping[str, Any]) -> tuple[Array, Array]:
    x, k, axis = a["x"], int(a["k"]), int(a["axis"])
    at = np.argsort(x if a["ascending"] else -x.astype(np.int64), axis=axis, kind="stable")
    at = np.take(at, range(k), axis)
    return np.take_along_axis(x, at, axis), at.astype(np.int32)


def _reduced(of: Callable[..., Array]) -> Callable[[Mapping[str, Any]], Array]:
    return lambda a: of(a["x"], axis=tuple(_ints(a["axes"])), keepdims=bool(a["keep_dims"]))


def _softmax(a: Mapping[str, Any]) -> Array:
    axis = int(a["axis"])
    e = np.exp(a["x"] - a["x"].max(axis, keepdims=True))
    return e / e.sum(axis, keepdims=True)


def _matmul(a: Mapping[str, Any]) -> Array:
    x, y = (a[k].swapaxes(-1, -2) if a[f"transpose_{k}"] else a[k] for k in "xy")
    return x @ y


_CASTS = {"fp16": "float16", "fp32": "float32"} | {k: k for k in ("bool", "int8", "uint8", "int16", "uint16", "int32")}


def _cast(a: Mapping[str, Any]) -> Array:
    return np.asarray(a["x"]).astype(_CASTS[a["dtype"]])


def _squeezed(a: Mapping[str, Any]) -> Array:
    return np.squeeze(a["x"], tuple(_ints(a["axes"])))


def _upsampled(a: Mapping[str, Any]) -> Array:
    down, across = (float(a[f"scale_factor_{side}"]) for side in ("height", "width"))
    _require(down.is_integer() and across.is_integer(), "it upsamples by a fraction")
    return a["x"].repeat(int(down), 2).repeat(int(across), 3)


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
    "read_state": lambda a: a["input"],
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
    "tile": lambda a: np.tile(a["x"], _ints(a["reps"])),
    "topk": _topk,
    "transpose": lambda a: a["x"].transpose(_ints(a["perm"])),
    "upsample_nearest_neighbor": _upsampled,
}
