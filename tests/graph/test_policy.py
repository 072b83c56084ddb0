"""What a policy may be."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from sige_mlx.errors import SigeError
from sige_mlx.graph.policy import EditPolicy


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"tiles_from": 0}, r"^tiles from planes of 0 pixels, masks grown by 1: planes have 1 pixel or more"),
        ({"dilation": -1}, r"masks grow by 0 or more$"),
        ({"statistics": "fresh"}, r"^statistics are 'fresh': they are 'recorded' or 'fresh head'$"),
        ({"output": "all"}, r"^the output is 'all': it is 'tiles' or 'everywhere'$"),
    ],
)
def test_policies_that_are_none(settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(SigeError, match=sentence):
        EditPolicy(**settings)


@pytest.mark.parametrize("tiles_from", [-5, 0, 32.0, True])
def test_a_side_that_is_none(tiles_from: Any) -> None:
    with pytest.raises(SigeError, match=r"^the threshold of planes is .*: it must be "):
        EditPolicy.of(SimpleNamespace(sparse_resolution_threshold=8), tiles_from)


def test_what_a_configuration_says() -> None:
    config = SimpleNamespace(sparse_resolution_threshold=8, downsample_dilate_radius=2, fresh_head=False)
    assert EditPolicy.of(config) == EditPolicy(8, "recorded", "tiles", 2)
    assert EditPolicy.of(config, 16, "everywhere") == EditPolicy(16, "recorded", "everywhere", 2)
    assert EditPolicy.of(SimpleNamespace(sparse_resolution_threshold=8)) == EditPolicy(8, "fresh head")
