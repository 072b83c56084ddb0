"""What a policy may be."""

from __future__ import annotations

import math
import re
from dataclasses import replace
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
        ({"large": "fresh"}, r"^statistics are 'fresh'"),
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
        ({"dense_from": -0.1}, "the share from which an edit is the dense pass is -0.1: it must be"),
        ({"large_from": 1.5}, "the share from which an edit is large is 1.5: it must be from 0 to 1"),
    ],
)
def test_numbers_out_of_range(settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(SigeError, match=re.escape(sentence)):
        EditPolicy(**settings)


def test_qualities() -> None:
    """Fast edits take one kind of statistics, exact ones are the dense pass; both look for edits in the same way."""
    of = EditPolicy(8, "fresh head", large="followed", large_from=0.1, eps=0.3, dilation=7, dense_from=0.7)
    assert of.of_quality("balanced") == of
    fast, exact = of.of_quality("fast"), of.of_quality("exact")
    assert fast == replace(of, large=None) and exact == replace(of, large=None, dense_from=0.0)
    assert [of.statistics_of(share) for share in (0.05, 0.1, 1.0)] == ["fresh head", "followed", "followed"]
    assert {fast.statistics_of(share) for share in (0.05, 0.1, 1.0)} == {"fresh head"}
    assert of.all_statistics == ("fresh head", "followed") and fast.all_statistics == ("fresh head",)
    with pytest.raises(SigeError, match=r"^the quality is 'best': it is fast, balanced or exact$"):
        of.of_quality("best")
