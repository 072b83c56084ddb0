"""What the tests of all families ask of recognition."""

from __future__ import annotations

import random
from collections.abc import Mapping

import pytest
from hypothesis import strategies as st

from sige_mlx.converters.checkpoint import CheckpointError
from sige_mlx.converters.families import LAYOUTS, Match, recognise
from sige_mlx.converters.families.family import Shape
from tests.converters.networks import Arrays

Tensors = Mapping[str, Shape]

dimensions = st.integers(0, 70) | st.sampled_from([1 << 16, 1 << 31, 1 << 40, 1 << 62])
hostile_shapes = st.lists(dimensions, max_size=5).map(tuple)


def shapes(arrays: Arrays) -> dict[str, Shape]:
    return {name: array.shape for name, array in arrays.items()}


def matched(tensors: Tensors, image_size: int | None = None) -> Match:
    return recognise(dict(tensors), LAYOUTS, image_size)


def complaint(tensors: Tensors) -> str:
    with pytest.raises(CheckpointError) as caught:
        matched(tensors)
    return str(caught.value)


def built(arrays: Arrays) -> Arrays:
    """Our parameters of a state dict."""
    return {name: s.build(arrays.__getitem__) for name, s in matched(shapes(arrays)).layout.sources.items()}


def check_faults_are_named(tensors: Tensors, name: str, wrong: Shape, family: str) -> None:
    """A tensor missing, renamed, or of the shape `wrong`."""
    rest = {other: s for other, s in tensors.items() if other != name}
    assert complaint(rest).endswith(f"{family} comes nearest, with 1 missing: {name}")
    assert complaint({**rest, "extra": tensors[name]}).endswith(f"1 missing: {name}; 1 unexpected: extra")
    assert f"1 mis-shaped: {name} is {wrong}, not {tensors[name]}" in complaint({**tensors, name: wrong})


def check_order_does_not_matter(tensors: Tensors) -> None:
    names = list(tensors)
    random.Random(0).shuffle(names)
    assert matched({name: tensors[name] for name in names}).layout == matched(tensors).layout


def check_permuted_names_do_not_fit(tensors: Tensors) -> None:
    """Every weight under the name of the next one."""
    weights = [name for name in tensors if name.endswith(".weight")]
    permuted = {**tensors, **{a: tensors[b] for a, b in zip(weights, weights[1:] + weights[:1], strict=True)}}
    assert "mis-shaped" in complaint(permuted)


def check_hostile_shapes(original: Tensors, tensors: Tensors) -> None:
    """Whatever shapes a file promises, the report is short; `original` is the network that they were changed from."""
    if tensors == original:
        return
    text = complaint(tensors)
    assert "known network" in text
    assert len(text) < 2000
