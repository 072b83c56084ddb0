"""Functions become the files of a package."""

from typing import Any

import coremltools as ct
from coremltools.converters.mil.mil import Function
from coremltools.converters.mil.mil import Program as Mil

from sige_mlx.converters.coreml.translate import EXACT

WITHOUT = {"common::add_int16_cast"}
"""Passes of coremltools that are left out. This one casts the indices of gathers to 16 bits, into which those of large
planes do not fit."""


def converted(function: Function, half: bool, target: Any) -> Any:
    """Returns a function as a model of its own. With `half` it computes in float16, but for time embeddings."""
    program = Mil()
    program.add_function("main", function)
    precision: Any = ct.precision.FLOAT32
    if half:
        precision = ct.transform.FP16ComputePrecision(op_selector=lambda op: not op.name.startswith(EXACT))
    pipeline = ct.PassPipeline.DEFAULT
    pipeline.remove_passes(WITHOUT)
    return ct.convert(
        program,
        convert_to="mlprogram",
        compute_precision=precision,
        minimum_deployment_target=target,
        pass_pipeline=pipeline,
        skip_model_load=True,
    )
