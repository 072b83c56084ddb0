"""Operations whose floats are all of one type, as Core ML asks: what is given in another is cast first."""

from typing import Any

import numpy as np
from coremltools.converters.mil import Builder as mb
from coremltools.converters.mil.mil import Var, types

from sige_mlx.errors import SigeError

_SMALLEST = np.float16(1e-7)


class Builder:
    """It builds operations as coremltools' builder does, in float16 or in float32: `build.add(x=x, y=1.0)`.

    Programs are so written in their own precision, and no pass over them has to look for what it could cast."""

    def __init__(self, half: bool):
        self._kind, self._word = (types.fp16, "fp16") if half else (types.fp32, "fp32")
        self._type: Any = np.float16 if half else np.float32
        self._cast: dict[Any, Any] = {}

    def __getattr__(self, operation: str) -> Any:
        operation_of = getattr(mb, operation)

        def make(**given: Any) -> Any:
            return operation_of(**{name: self._given(x) for name, x in given.items()})

        return make

    def floats(self, x: Any) -> Any:
        """Returns integers, truth values or floats of another type as floats of this one. What is cast once is not cast
        again."""
        if x.dtype == self._kind:
            return x
        if x not in self._cast:
            self._cast[x] = mb.cast(x=x, dtype=self._word)
        return self._cast[x]

    def output(self, x: Any, name: str) -> Any:
        """Returns a value of a function as its output of a name, in floats of this type."""
        return mb.identity(x=x, name=name) if x.dtype == self._kind else mb.cast(x=x, dtype=self._word, name=name)

    def _given(self, x: Any) -> Any:
        if isinstance(x, Var):
            return self.floats(x) if x.dtype in (types.fp16, types.fp32) else x
        if isinstance(x, list | tuple):
            return [self._given(one) for one in x]
        if isinstance(x, float | np.floating) or (isinstance(x, np.ndarray) and x.dtype.kind == "f"):
            return self._constant(x)
        return x

    def _constant(self, x: Any) -> Any:
        with np.errstate(over="ignore"):
            made = np.asarray(x).astype(self._type)
        if not np.isfinite(made).all():
            raise SigeError(
                f"a parameter reaches {np.abs(x).max():.3g}, and float16 ends at 65504: take precision float32"
                if np.isfinite(x).all()
                else "a parameter is not finite: such weights cannot be exported"
            )
        if made.ndim:
            return made
        return self._type(_SMALLEST) if x > 0 and made == 0 else made[()]  # an epsilon keeps from dividing by zero
