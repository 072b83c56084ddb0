"""The sparse convolution, `metal/conv`."""

from dataclasses import replace
from typing import Any

import mlx.core as mx

from sige_mlx.engine.gpu.calls import Conv
from sige_mlx.engine.gpu.kernels import arguments, outputs
from sige_mlx.engine.gpu.kernels.conv_shape import AnyShape, NarrowShape, WinogradShape, groups_of, shape_of
from sige_mlx.engine.gpu.launch import Kernel, Launch
from sige_mlx.engine.gpu.params import pack
from sige_mlx.engine.gpu.weights import PANEL, k_groups
from sige_mlx.engine.gpu.winograd import POINTS, with_taps


def launch(call: Conv, shape: AnyShape | None = None) -> Launch | None:
    """The launch, in the shape that should be fastest or in one of the caller's; None when a tile's window is larger
    than the kernel takes."""
    shape = shape or shape_of(call)
    if shape is None:
        return None
    weight, points = call.weight, None
    if isinstance(shape, WinogradShape):
        assert call.transformed is not None
        weight, points = call.transformed, POINTS
        call = replace(call, sources=tuple(map(with_taps, call.sources)))
    dtype, e = weight.dtype, replace(call.epilogue, out=call.epilogue.out.cut(shape.tile))
    modulated = any(s.mod is not None for s in call.sources)
    inputs = {
        "params": pack("ConvParams", _params(replace(call, epilogue=e), points)),
        "list": arguments.given(e.out.list, mx.int32),
        "weight": weight,
    }
    for i, s in enumerate(call.sources):
        inputs |= arguments.source_arrays(f"source{i}", s, modulated, dtype)
    inputs |= outputs.inputs(e, dtype)
    made = outputs.made(e, dtype)
    kernel = Kernel(
        "conv",
        tuple(inputs),
        tuple(made),
        (
            ("NARROW", e.c_out if isinstance(shape, NarrowShape) else 0),
            ("WINOGRAD", int(isinstance(shape, WinogradShape))),
            ("SOURCES", len(call.sources)),
            ("SOURCES_MODULATED", int(modulated)),
            *outputs.defines(e),
        ),
        (
            ("T", dtype),
            *shape.template,
            ("PHASED", call.phase_shift is not None),
            ("VEC_IN", all(map(arguments.source_in_fours, call.sources))),
            ("VEC_OUT", outputs.in_fours(e)),
        ),
    )
    return Launch(kernel, [*inputs.values()], groups_of(call, shape), shape.threads, [*made.values()], shape)


def _params(call: Conv, points: int | None) -> dict[str, Any]:
    """`points` are those of transformed weights: as many as a kernel of 6x6 taps has."""
    return {
        "epilogue": outputs.params(call.epilogue),
        "panels": -(-call.epilogue.c_out // PANEL),
        "phase_shift": call.phase_shift or 0,
        "k_groups": sum(k_groups(1, points or s.kh * s.kw, s.x.c) for s in call.sources),
        "source": [arguments.source(s) for s in call.sources],
    }
