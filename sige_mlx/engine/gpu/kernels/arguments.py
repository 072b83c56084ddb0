"""Planes, affine maps and domains as the structs and arrays that kernels take."""

import functools
from typing import Any

import mlx.core as mx

from sige_mlx.engine.gpu.calls import Affine, Domain, Modulation, Plane, Source, Tokens
from sige_mlx.engine.gpu.launch import CONSTANT_SIZE


@functools.cache
def nothing(dtype: mx.Dtype) -> mx.array:
    """Stands where an array is not given; never read."""
    return mx.array([0] * CONSTANT_SIZE, dtype)


def given(a: mx.array | None, dtype: mx.Dtype) -> mx.array:
    return nothing(dtype) if a is None else a


def plane(p: Plane | None) -> dict[str, Any]:
    if p is None:
        return {}
    return {
        "h": p.h,
        "w": p.w,
        "c": p.c,
        "tile": p.tile,
        "grid_h": -(-p.h // p.tile),
        "grid_w": -(-p.w // p.tile),
        "has_base": p.base is not None,
        "has_blocks": p.blocks is not None,
    }


def plane_arrays(name: str, p: Plane | None, dtype: mx.Dtype) -> dict[str, mx.array]:
    """A plane's arrays under the names that the kernels give them."""
    base, blocks, grid = (None, None, None) if p is None else (p.base, p.blocks, p.grid)
    return {
        f"{name}_base": given(base, dtype),
        f"{name}_blocks": given(blocks, dtype),
        f"{name}_grid": given(grid, mx.int32),
    }


def affine(a: Affine | None) -> dict[str, Any]:
    if a is None:
        return {}
    _, images, channels = a.array.shape
    return {
        "present": 1,
        "first": a.first,
        "image": channels if images > 1 else 0,
        "shift": images * channels,
    }


def affine_array(a: Affine | None) -> mx.array:
    return nothing(mx.float32) if a is None else a.array


def domain(d: Domain) -> dict[str, Any]:
    return {
        "n": d.n,
        "h": d.h,
        "w": d.w,
        "tile": d.tile,
        "grid_h": -(-d.h // d.tile),
        "grid_w": -(-d.w // d.tile),
        "tiles": d.tiles,
        "listed": d.list is not None,
    }


def tokens(t: Tokens) -> dict[str, Any]:
    return {"first": t.first, "stride": t.array.shape[-1]}


def source(s: Source) -> dict[str, Any]:
    return {
        "x": plane(s.x),
        "kh": s.kh,
        "kw": s.kw,
        "stride": s.stride,
        "pad_top": s.pad_top,
        "pad_left": s.pad_left,
        "resample": s.resample,
        "zeros": s.zeros,
        "reflect": s.reflect,
        "affine": affine(s.affine),
        "act": s.act,
        "mod": modulation(s.mod),
    }


def source_arrays(name: str, s: Source, modulated: bool, dtype: mx.Dtype) -> dict[str, mx.array]:
    """A source's arrays; `modulated`: the kernel takes those of a modulation, whether this source has one or not."""
    arrays = {**plane_arrays(name, s.x, dtype), f"{name}_affine": affine_array(s.affine)}
    return arrays | modulation_arrays(name, s.mod, dtype) if modulated else arrays


def modulation(m: Modulation | None) -> dict[str, Any]:
    if m is None:
        return {}
    return {
        "present": 1,
        "gamma": plane(m.gamma),
        "beta": plane(m.beta),
        "gamma_first": m.gamma_first,
        "beta_first": m.beta_first,
    }


def modulation_arrays(name: str, m: Modulation | None, dtype: mx.Dtype) -> dict[str, mx.array]:
    gamma, beta = (None, None) if m is None else (m.gamma, m.beta)
    return {**plane_arrays(f"{name}_gamma", gamma, dtype), **plane_arrays(f"{name}_beta", beta, dtype)}


def source_in_fours(s: Source) -> bool:
    """Whether four channels of a source, and what they are normalised with, can be read at once."""
    return s.x.c % 4 == 0 and in_fours(s.affine, s.mod)


def in_fours(a: Affine | None, m: Modulation | None) -> bool:
    """The same of maps and modulations."""
    mapped = a is None or (a.first % 4 == 0 and a.array.shape[-1] % 4 == 0)
    return mapped and (m is None or all(v % 4 == 0 for v in (m.gamma.c, m.beta.c, m.gamma_first, m.beta_first)))
