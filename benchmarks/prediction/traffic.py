"""Bytes that a call must at least move between the GPU and memory, when no cache keeps anything between calls.

Within a call every cache is perfect: a pixel that several tiles see, or several threadgroups, is read once.
`tests/benchmarks/test_prediction.py` holds this against the lines that kernels touch on the model of Metal.
"""

from dataclasses import fields
from math import prod
from typing import Any

import mlx.core as mx
import numpy as np
import numpy.typing as npt

from sige_mlx.engine.gpu.ops import Attention, Call, Conv, Total
from sige_mlx.engine.gpu.ops.epilogue import Epilogue
from sige_mlx.engine.gpu.ops.operands import Affine, Domain, Modulation, Plane, Source


def moved(call: Call) -> int:
    """Bytes read and written."""
    return read(call) + written(call)


def read(call: Call) -> int:
    """Bytes read."""
    if isinstance(call, Attention):
        keys = call.out.n * call.k.array.shape[1]
        return (pixels(call.out) + 2 * keys) * call.channels * call.q.array.dtype.size
    operands: dict[str, Any] = {f.name: getattr(call, f.name) for f in fields(call)}  # type: ignore[arg-type]
    if isinstance(call, Conv) and call.transformed is not None:
        del operands["weight"]  # which are the same in another arrangement
    e: Any = operands.get("epilogue")
    phase_shift = operands.get("phase_shift")
    nbytes = 0
    if isinstance(call, Total):
        nbytes += _of_rows(operands.pop("shares").nbytes, call.listed)
    for operand in operands.values():
        for one in operand if isinstance(operand, tuple) else (operand,):
            if isinstance(one, Source):
                nbytes += _source(one, e.out, phase_shift)
            elif isinstance(one, Epilogue):
                nbytes += _epilogue(one)
            elif isinstance(one, Plane):
                nbytes += _whole(one)
            elif isinstance(one, mx.array):
                nbytes += one.nbytes
    return nbytes


def written(call: Call) -> int:
    """Bytes written, without those of rows that fill a list of tiles up."""
    return _of_rows(sum(prod(shape) * dtype.size for shape, dtype in call.results.values()), call.listed)


def _of_rows(nbytes: int, listed: mx.array | None) -> int:
    """Of so many bytes of a list's rows, those of tiles that are there."""
    return nbytes if listed is None else nbytes * len(_rows(listed)) // len(listed)


def pixels(out: Domain) -> int:
    """How many are computed; tiles that reach beyond the plane count as whole ones."""
    return out.n * out.h * out.w if out.list is None else len(_rows(out.list)) * out.tile**2


def _rows(listed: mx.array) -> npt.NDArray[np.int32]:
    """The tiles of a list that are there."""
    rows = np.asarray(listed)
    return rows[rows[:, 0] >= 0]


def _epilogue(e: Epilogue) -> int:
    nbytes = _size(e.bias) + _size(e.vec)
    if e.residual is not None:
        nbytes += pixels(e.out) // 4**e.residual_resample * e.residual.c * e.residual.dtype.size
    for o in e.outputs:
        nbytes += _affine(o.affine, e.c_out) + (0 if o.mod is None else _modulation(o.mod, pixels(e.out), e.c_out))
    return nbytes


def _source(s: Source, out: Domain, phase_shift: int | None) -> int:
    shown = _seen(s, out, phase_shift)
    stored: npt.NDArray[np.bool_] = shown
    if s.resample > 0:
        n, h, w = shown.shape
        stored = np.zeros((n, -(-h // 2) * 2, -(-w // 2) * 2), np.bool_)
        stored[:, :h, :w] = shown
        quarters = stored.reshape(n, -(-h // 2), 2, -(-w // 2), 2)
        stored = quarters[:, :, 0, :, 0] if s.zeros else np.any(quarters, axis=(2, 4))
    nbytes = int(stored.sum()) * s.x.c * s.x.dtype.size + _affine(s.affine, s.x.c)
    return nbytes if s.mod is None else nbytes + _modulation(s.mod, int(shown.sum()), s.x.c)


def _seen(s: Source, out: Domain, phase_shift: int | None) -> npt.NDArray[np.bool_]:
    """Which pixels of a source, as it is shown after resampling, any tile reads: bool [n, h, w]. Padding that reflects
    reads pixels that are read anyway."""
    h, w = (size * 2 if s.resample > 0 else size >> -s.resample for size in (s.x.h, s.x.w))
    if out.list is None:
        return np.ones((s.x.n, h, w), np.bool_)
    seen = np.zeros((s.x.n, h, w), np.bool_)
    step = out.tile * s.stride if phase_shift is None else out.tile // 2
    beyond = -s.stride if phase_shift is None else phase_shift - 1
    for image, row, column in _rows(out.list).tolist():
        top, left = row * step - s.pad_top, column * step - s.pad_left
        below, right = top + step + beyond + s.kh, left + step + beyond + s.kw
        seen[image, max(top, 0) : max(below, 0), max(left, 0) : max(right, 0)] = True
    return seen


def _modulation(m: Modulation, count: int, c: int) -> int:
    return count * c * (m.gamma.dtype.size + m.beta.dtype.size)


def _affine(a: Affine | None, c: int) -> int:
    return 0 if a is None else 8 * a.array.shape[1] * c


def _whole(x: Plane) -> int:
    return x.n * x.h * x.w * x.c * x.dtype.size


def _size(a: mx.array | None) -> int:
    return 0 if a is None else a.nbytes
