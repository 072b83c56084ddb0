"""Executors agree on whole networks of random shape."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.engine.rounding import assert_agree
from tests.graph.networks import RandomUNet, Spec, masks, specs


@given(st.data(), specs(), st.sampled_from([1, 2]), st.sampled_from([1, 5, 8, 10, 21]), st.integers(1, 8))
def test_random_networks(data: st.DataObject, spec: Spec, batch: int, tiles_from: int, tile: int) -> None:
    mask = data.draw(masks(spec.height, spec.width))
    assert_agree(RandomUNet(spec), mask, batch=batch, tiles_from=tiles_from, tile=tile)
