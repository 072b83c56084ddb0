"""The text that MLX would compile for a kernel on a Mac.

MLX generates a kernel's signature from the arguments of the call. Where there is no Metal it refuses to run the result,
but `mx.export_function` with a callback records it all the same: source, shape information, grid.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import mlx.core as mx

from .errors import SimError

CONSTANT_SIZE = 8
"""MLX passes an input of fewer elements in constant memory."""


@dataclass(frozen=True)
class Captured:
    """A kernel for certain templates and types of arguments."""

    name: str
    source: str
    shape_infos: tuple[tuple[bool, bool, bool], ...]
    """For every input, whether its shape, strides and number of dimensions follow it as arguments."""
    row_contiguous: bool


_captured: dict[Any, tuple[Any, Captured]] = {}


def capture(kernel: Any, inputs: Sequence[mx.array], template: Any, **call: Any) -> Captured:
    """`kernel` (of `mx.fast.metal_kernel`) as it would be compiled for these inputs. Remembered by what its text
    depends on: a call with other values, grids or sizes costs nothing."""
    key = (
        id(kernel),
        tuple((x.dtype, x.ndim, x.size < CONSTANT_SIZE) for x in inputs),
        repr(template),
        tuple(call["output_dtypes"]),
    )
    if key not in _captured:
        # The kernel is kept as well: its id must not be given to another.
        _captured[key] = (kernel, _export(kernel, inputs, template, call))
    return _captured[key][1]


def _export(kernel: Any, inputs: Sequence[mx.array], template: Any, call: Any) -> Captured:
    records: list[dict[str, Any]] = []
    arguments = dict(call) if template is None else dict(call, template=template)
    mx.export_function(records.append, lambda *arrays: kernel(inputs=list(arrays), **arguments), *inputs)
    found = [r["arguments"] for r in records if r.get("type") == "primitive" and r.get("name") == "CustomKernel"]
    if len(found) != 1:
        raise SimError(f"{kernel!r} is not a kernel made by mx.fast.metal_kernel")
    name, source, _gx, _gy, _gz, _tx, _ty, _tz, infos, row_contiguous, *_rest = found[0]
    return Captured(name, source, tuple(tuple(i) for i in infos), bool(row_contiguous))
