"""What follows a convolution, by kernels and by MLX's operations: `metal/epilogue.h` and `metal/outputs.metal`."""

from dataclasses import dataclass

import mlx.core as mx

from sige_mlx.engine.gpu.ops import reading
from sige_mlx.engine.gpu.ops.operands import (
    Affine,
    Arrays,
    Domain,
    Modulation,
    Plane,
    Struct,
    given,
    in_fours,
    modulation_arrays,
    nothing,
    plane_arrays,
    struct_of,
)

Results = dict[str, tuple[tuple[int, ...], mx.Dtype]]
"""Shape and type of what is written, by the kernels' names."""


@dataclass(frozen=True)
class Output:
    """One result of an epilogue: act((value * scale + shift) * (1 + gamma) + beta)."""

    affine: Affine | None = None
    mod: Modulation | None = None
    act: int = 0


@dataclass(frozen=True)
class Epilogue:
    """Adds bias, vec and residual, then writes the outputs. `bias` is float32 [c_out] or longer, `vec` T [n, c_out] or
    [1, c_out]; the residual is upsampled by a `residual_resample` of 1. With `sums` it also writes each tile's sum of
    the value and of the value squared, float32 [tiles, 2, c_out]."""

    out: Domain
    c_out: int
    outputs: tuple[Output, ...] = (Output(),)
    bias: mx.array | None = None
    vec: mx.array | None = None
    residual: Plane | None = None
    residual_resample: int = 0
    sums: bool = False

    @property
    def defines(self) -> tuple[tuple[str, int], ...]:
        """The macros of its kernel."""
        return (
            ("OUTPUTS", len(self.outputs)),
            ("RESIDUAL", int(self.residual is not None)),
            ("SUMS", int(self.sums)),
            ("OUTPUTS_MODULATED", int(self.modulated)),
        )

    @property
    def modulated(self) -> bool:
        return any(o.mod is not None for o in self.outputs)

    @property
    def in_fours(self) -> bool:
        """Whether four channels can be written, and what they need read, at once."""
        return self.c_out % 4 == 0 and all(in_fours(o.affine, o.mod) for o in self.outputs)

    @property
    def struct(self) -> Struct:
        outputs = [{"affine": struct_of(o.affine), "mod": struct_of(o.mod), "act": o.act} for o in self.outputs]
        return {
            "out": self.out.struct,
            "c_out": self.c_out,
            "has_bias": self.bias is not None,
            "has_vec": self.vec is not None,
            "vec_image": 0 if self.vec is None or self.vec.shape[0] == 1 else self.c_out,
            "has_residual": self.residual is not None,
            "residual_resample": self.residual_resample,
            "residual": struct_of(self.residual),
            "output": outputs,
        }

    def arrays(self, dtype: mx.Dtype) -> Arrays:
        arrays = {"bias": given(self.bias, mx.float32), "vector": given(self.vec, dtype)}
        if self.residual is not None:
            arrays |= plane_arrays("residual", self.residual, dtype)
        for i, o in enumerate(self.outputs):
            arrays[f"output{i}_affine"] = nothing(mx.float32) if o.affine is None else o.affine.array
            if self.modulated:
                arrays |= modulation_arrays(f"output{i}", o.mod, dtype)
        return arrays

    def results(self, dtype: mx.Dtype) -> Results:
        results: Results = {f"dst{i}": (self.out.shape(self.c_out), dtype) for i in range(len(self.outputs))}
        return results | {"sums": ((self.out.tiles, 2, self.c_out), mx.float32)} if self.sums else results

    def by_mlx(self, value: mx.array, dtype: mx.Dtype) -> list[mx.array]:
        """The results, in plain MLX, of float32 blocks: the value of every tile, of a dense domain of all."""
        out = reading.listed(self.out)
        image, y, x, inside = reading.coordinates(out)
        if self.bias is not None:
            value = value + self.bias[: self.c_out]
        if self.vec is not None:
            vec = self.vec.astype(mx.float32)
            value = value + (vec[0] if vec.shape[0] == 1 else vec[image])
        if self.residual is not None:
            value = value + reading.residual(self.residual, self.residual_resample, out)
        value = mx.where(inside[..., None], value, 0.0)
        results = []
        for o in self.outputs:
            result = reading.affine(value, o.affine, image)
            if o.mod is not None:
                result = reading.modulated(result, o.mod, image, y, x, inside)
            result = mx.where(inside[..., None], reading.activate(result, o.act), 0.0).astype(dtype)
            results.append(result if self.out.list is not None else reading.assembled(result, out))
        return [*results, reading.tile_sums(value)] if self.sums else results
