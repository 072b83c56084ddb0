"""What tests of one op share: the shapes they draw, and the network they put it in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

from sige_mlx.nn import Tensor
from tests.engine.rounding import assert_agree
from tests.graph.blocks import conv
from tests.graph.networks import Net, masks

CHANNELS = st.sampled_from([1, 2, 3, 5, 8, 13, 16, 17, 24, 31, 32, 40])
SIZES = st.integers(2, 12).map(lambda n: 2 * n)
TILES = st.sampled_from([1, 2, 3, 4, 6, 8])


@st.composite
def shapes(draw: st.DrawFn) -> dict[str, Any]:
    """An image, widths for its layers, a mask, and the options of an engine."""
    height, width = draw(SIZES), draw(SIZES)
    return {
        "image": (height, width, draw(CHANNELS)),
        "widths": (draw(CHANNELS), draw(CHANNELS)),
        "mask": draw(masks(height, width)),
        "options": {
            "batch": draw(st.sampled_from([1, 2])),
            "tile": draw(TILES),
            "tiles_from": draw(st.sampled_from([1, 8, 64])),
        },
    }


def check(drawn: dict[str, Any], forward: Callable[..., Tensor], time: bool = False, **layers: Any) -> None:
    """`a` comes first, so that the op under test reads tiles and not the caller's image."""
    first = conv(drawn["image"][2], drawn["widths"][0])
    model = Net(drawn["image"], forward, time, a=first, **layers)
    assert_agree(model, drawn["mask"], **drawn["options"])
