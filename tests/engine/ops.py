"""What tests of one op share: the shapes they draw, and the table of what executors may differ by.

`BOUNDS` is the normalised mean squared error of the native engine against plain MLX, both in float32. Rounding alone is
near 1e-14; Winograd's transforms, F(4x4, 3x3), take each 3x3 convolution near 1e-12.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

from sige_mlx.nn import Tensor
from tests.engine.compare import assert_agree
from tests.graph.blocks import conv
from tests.graph.networks import Net, masks

BOUNDS = {
    "conv": 4e-12,
    "strided": 4e-12,
    "upsample": 4e-12,
    "linear": 4e-12,
    "concat": 4e-12,
    "residual": 4e-12,
    "shortcut": 4e-12,
    "silu": 4e-12,
    "group_norm": 1e-11,
    "norm_of_concat": 1e-11,
    "attention": 1e-11,
    "relu": 4e-12,
    "leaky_relu": 4e-12,
    "tanh": 4e-12,
    "depthwise": 4e-12,
    "reflect": 4e-12,
    "transposed": 4e-12,
    "avg_pool": 4e-12,
    "downsample": 4e-12,
    "stored_addition": 4e-12,
    "instance_norm": 1e-11,
    "batch_norm": 4e-12,
    "film": 1e-11,
    "spade": 1e-11,
}

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


def check(op: str, drawn: dict[str, Any], forward: Callable[..., Tensor], time: bool = False, **layers: Any) -> None:
    """`a` comes first, so that the op under test reads tiles and not the caller's image."""
    first = conv(drawn["image"][2], drawn["widths"][0])
    model = Net(drawn["image"], forward, time, a=first, **layers)
    assert_agree(model, drawn["mask"], BOUNDS[op], **drawn["options"])
