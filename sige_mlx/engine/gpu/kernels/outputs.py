"""The epilogue's part of a launch: `metal/epilogue.h` and `metal/outputs.metal`."""

from typing import Any

import mlx.core as mx

from sige_mlx.engine.gpu.calls import Epilogue
from sige_mlx.engine.gpu.kernels import arguments


def defines(e: Epilogue) -> tuple[tuple[str, int], ...]:
    return (
        ("OUTPUTS", len(e.outputs)),
        ("RESIDUAL", int(e.residual is not None)),
        ("SUMS", int(e.sums)),
        ("OUTPUTS_MODULATED", int(_modulated(e))),
    )


def inputs(e: Epilogue, dtype: mx.Dtype) -> dict[str, mx.array]:
    arrays = {"bias": arguments.given(e.bias, mx.float32), "vector": arguments.given(e.vec, dtype)}
    if e.residual is not None:
        arrays |= arguments.plane_arrays("residual", e.residual, dtype)
    for i, o in enumerate(e.outputs):
        arrays[f"output{i}_affine"] = arguments.affine_array(o.affine)
        if _modulated(e):
            arrays |= arguments.modulation_arrays(f"output{i}", o.mod, dtype)
    return arrays


def made(e: Epilogue, dtype: mx.Dtype) -> dict[str, tuple[tuple[int, ...], mx.Dtype]]:
    """Shape and type of what is written, by name."""
    arrays = {f"dst{i}": (e.out.shape(e.c_out), dtype) for i in range(len(e.outputs))}
    return arrays | {"sums": ((e.out.tiles, 2, e.c_out), mx.float32)} if e.sums else arrays


def params(e: Epilogue) -> dict[str, Any]:
    return {
        "out": arguments.domain(e.out),
        "c_out": e.c_out,
        "has_bias": e.bias is not None,
        "has_vec": e.vec is not None,
        "vec_image": 0 if e.vec is None or e.vec.shape[0] == 1 else e.c_out,
        "has_residual": e.residual is not None,
        "residual_resample": e.residual_resample,
        "residual": arguments.plane(e.residual),
        "output": [
            {
                "affine": arguments.affine(o.affine),
                "mod": arguments.modulation(o.mod),
                "act": o.act,
            }
            for o in e.outputs
        ],
    }


def in_fours(e: Epilogue) -> bool:
    """Whether four channels can be written, and what they need read, at once."""
    return e.c_out % 4 == 0 and all(arguments.in_fours(o.affine, o.mod) for o in e.outputs)


def _modulated(e: Epilogue) -> bool:
    return any(o.mod is not None for o in e.outputs)
