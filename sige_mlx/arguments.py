"""Arguments that people give: whole numbers, numbers and shares of the right kind and range, or one sentence."""

from __future__ import annotations

import math
import numbers
import operator
from typing import Any

from sige_mlx.errors import SigeError


def whole(value: Any, name: str, least: int, most: int | None = None, *, limits: str = "") -> int:
    """A whole number from `least` to `most`: an int, NumPy's too, but no bool and no float. `limits` says the range in
    words where figures would not. Raises `SigeError` for anything else."""
    told = limits or (f"{least} or more" if most is None else f"from {least} to {most}")
    try:
        number = operator.index(value)
    except TypeError:
        number = None
    if number is None or isinstance(value, bool):
        raise SigeError(f"{name} is {value!r}: it must be a whole number, {told}")
    if number < least or (most is not None and number > most):
        raise SigeError(f"{name} is {number}: it must be {told}")
    return number


def seed(value: Any) -> int:
    """A seed of random numbers; raises `SigeError` for what is none."""
    return whole(value, "the seed", 0, 2**64 - 1, limits="from 0 to 2^64 - 1")


def real(value: Any, name: str, least: float, most: float, *, above: bool = False) -> float:
    """A number from `least` to `most`, or above `least`; NumPy's too, but no bool, and not NaN. Raises `SigeError` for
    anything else."""
    told = f"above {least:g} and at most {most:g}" if above else f"from {least:g} to {most:g}"
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise SigeError(f"{name} is {value!r}: it must be a number, {told}")
    try:
        number = float(value)
    except OverflowError:  # an int beyond all floats, of either sign
        number = math.inf
    if math.isnan(number) or number > most or number < least or (above and number == least):
        raise SigeError(f"{name} is {value}: it must be {told}")
    return number
