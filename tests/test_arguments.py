"""Arguments of the right kind and range."""

import math

import numpy as np
import pytest

from sige_mlx.arguments import real, whole
from sige_mlx.errors import SigeError


@pytest.mark.parametrize("value", [3, np.int8(3), np.uint64(3), np.array(3)])
def test_whole_numbers(value: object) -> None:
    found = whole(value, "it", 0)
    assert found == 3 and type(found) is int


@pytest.mark.parametrize("value", [3.0, "3", None, True, np.bool_(True), np.float64(3), math.nan, [3]])
def test_what_is_no_whole_number(value: object) -> None:
    with pytest.raises(SigeError, match=r"^it is .*: it must be a whole number, 0 or more$"):
        whole(value, "it", 0)


@pytest.mark.parametrize(
    ("value", "least", "most", "told"), [(-1, 0, None, "0 or more"), (0, 1, 5, "from 1 to 5"), (6, 1, 5, "from 1 to 5")]
)
def test_whole_numbers_out_of_range(value: int, least: int, most: int | None, told: str) -> None:
    with pytest.raises(SigeError, match=f"^it is {value}: it must be {told}$"):
        whole(value, "it", least, most)


@pytest.mark.parametrize("value", [1, 1.0, np.float32(1), np.int64(1)])
def test_numbers(value: object) -> None:
    found = real(value, "it", 0, 1)
    assert found == 1 and type(found) is float


@pytest.mark.parametrize("value", ["1", None, True, 1j, [1]])
def test_what_is_no_number(value: object) -> None:
    with pytest.raises(SigeError, match=r"^it is .*: it must be a number, from 0 to 1$"):
        real(value, "it", 0, 1)


@pytest.mark.parametrize("value", [-0.1, 1.1, math.nan, math.inf, -math.inf])
def test_numbers_out_of_range(value: float) -> None:
    with pytest.raises(SigeError, match=f"^it is {value}: it must be from 0 to 1$"):
        real(value, "it", 0, 1)


@pytest.mark.parametrize("value", [10**400, -(10**400)])
def test_numbers_beyond_all_floats(value: int) -> None:
    with pytest.raises(SigeError, match=r"it must be from 0 to 1$"):
        real(value, "it", 0, 1)


def test_the_least_may_be_excluded() -> None:
    assert real(0, "it", 0, 1) == 0
    with pytest.raises(SigeError, match="it must be above 0 and at most 1"):
        real(0, "it", 0, 1, above=True)
