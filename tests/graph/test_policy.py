"""What a policy may be."""

from __future__ import annotations

import math
import re
from typing import Any

import pytest

from sige_mlx.errors import SigeError
from sige_mlx.graph.policy import EditPolicy


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (
            {"statistics": "fresh"},
            r"^statistics are 'fresh': they are 'recorded', 'fresh head', 'followed' or 'estimated'$",
        ),
        ({"output": "all"}, r"^the output is 'all': it is 'tiles' or 'everywhere'$"),
    ],
)
def test_policies_that_are_none(settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(SigeError, match=sentence):
        EditPolicy(**settings)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"tiles_from": -5}, "the threshold of planes is -5: it must be 1 or more"),
        ({"tiles_from": 32.0}, "the threshold of planes is 32.0: it must be a whole number"),
        ({"tiles_from": True}, "the threshold of planes is True: it must be a whole number"),
        ({"eps": math.nan}, "eps is nan: it must be from 0 to 2"),
        ({"dilation": -1}, "the dilation is -1: it must be 0 or more"),
        ({"dilation_per_level": 0.5}, "the dilation per level is 0.5: it must be a whole number"),
    ],
)
def test_numbers_out_of_range(settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(SigeError, match=re.escape(sentence)):
        EditPolicy(**settings)
