"""Executors agree op by op, on shapes that fit no vector and no tile.

`BOUNDS` is the table of what each op may differ by: the normalised mean squared error of the native engine against
plain MLX, both in float32. Rounding alone is near 1e-14; Winograd's transforms, F(4x4, 3x3), take each 3x3 convolution
near 1e-12.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sige_mlx import nn
from sige_mlx.nn import Tensor
from tests.engine.compare import assert_agree
from tests.graph.networks import Block, Net, SelfAttention, border_masks, conv, groups_of, masks

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
            "threshold": draw(st.sampled_from([1, 8, 64])),
        },
    }


def check(op: str, drawn: dict[str, Any], forward: Callable[[Any, Tensor], Tensor], **layers: Any) -> None:
    """`a` comes first, so that the op under test reads tiles and not the caller's image."""
    first = conv(drawn["image"][2], drawn["widths"][0])
    assert_agree(Net(drawn["image"], forward, a=first, **layers), drawn["mask"], BOUNDS[op], **drawn["options"])


@given(shapes(), st.sampled_from([1, 2, 3, 4, 5, 7]))
def test_conv(drawn: dict[str, Any], kernel: int) -> None:
    check("conv", drawn, lambda m, x: m.b(m.a(x)), b=conv(*drawn["widths"], kernel))


@given(shapes(), st.sampled_from([(1, 2), (2, 2), (3, 2), (5, 2), (4, 4)]), st.booleans())
def test_strided(drawn: dict[str, Any], kernel_and_stride: tuple[int, int], rest: bool) -> None:
    kernel, stride = kernel_and_stride
    height, width, c = drawn["image"]
    drawn["image"] = (height * 2, width * 2, c)
    drawn["mask"] = np.kron(drawn["mask"], np.ones((2, 2), np.bool_))
    layers = {"b": conv(*drawn["widths"], kernel, stride), "c": conv(drawn["widths"][1], 3)}
    check("strided", drawn, (lambda m, x: m.c(m.b(m.a(x)))) if rest else (lambda m, x: m.b(m.a(x))), **layers)


def test_paddings_on_each_side() -> None:
    for pads in [((0, 2), (1, 1)), ((2, 0), (0, 2)), ((1, 1), (2, 0))]:
        layers = {"a": conv(3, 5), "b": nn.Conv2d(5, 4, 3, padding=pads), "c": conv(4, 3)}
        for mask in border_masks(10, 14).values():
            assert_agree(Net((10, 14, 3), lambda m, x: m.c(m.b(m.a(x))), **layers), mask, BOUNDS["conv"], threshold=8)


@given(shapes(), st.sampled_from([1, 3, 5]))
def test_upsample(drawn: dict[str, Any], kernel: int) -> None:
    w, v = drawn["widths"]
    layers = {"d": conv(w, v, 3, 2), "b": conv(v, 5, kernel)}
    check("upsample", drawn, lambda m, x: m.b(nn.upsample_nearest(m.d(m.a(x)))), **layers)


@given(shapes())
def test_linear(drawn: dict[str, Any]) -> None:
    check("linear", drawn, lambda m, x: m.c(m.b(m.a(x))), b=nn.Linear(*drawn["widths"]), c=conv(drawn["widths"][1], 3))


@given(shapes(), st.sampled_from([1, 3]), st.integers(2, 4))
def test_concat(drawn: dict[str, Any], kernel: int, parts: int) -> None:
    w, v = drawn["widths"]
    layers = {f"b{i}": conv(w, v + i) for i in range(1, parts)}
    out = conv(w + sum(v + i for i in range(1, parts)), 7, kernel)

    def forward(m: Any, x: Tensor) -> Tensor:
        h = m.a(x)
        return m.out(nn.concat([h, *(m[name](h) for name in layers)]))

    check("concat", drawn, forward, **layers, out=out)


@given(shapes(), st.sampled_from([1, 3]))
def test_residual(drawn: dict[str, Any], kernel: int) -> None:
    w = drawn["widths"][0]
    layers = {"b": conv(w, w, kernel), "c": conv(w, 3)}
    check("residual", drawn, lambda m, x: (lambda h: m.c(m.b(h) + h))(m.a(x)), **layers)
    check("residual", drawn, lambda m, x: (lambda h: m.b(h) + h)(m.a(x)), **layers)


@given(shapes(), st.sampled_from([(3, 1), (3, 3), (1, 1), (5, 1)]))
def test_shortcut(drawn: dict[str, Any], kernels: tuple[int, int]) -> None:
    w, v = drawn["widths"]
    layers = {"b": conv(w, v, kernels[0]), "s": conv(w, v, kernels[1]), "c": conv(v, 3)}
    check("shortcut", drawn, lambda m, x: (lambda h: m.c(m.b(h) + m.s(h)))(m.a(x)), **layers)


@given(shapes())
def test_silu(drawn: dict[str, Any]) -> None:
    check("silu", drawn, lambda m, x: m.b(nn.silu(m.a(x))), b=conv(*drawn["widths"]))
    check("silu", drawn, lambda m, x: m.b(nn.silu(m.a(x))), b=conv(*drawn["widths"], 1))


@given(shapes(), st.sampled_from([1, 3]), st.booleans())
def test_group_norm(drawn: dict[str, Any], kernel: int, activated: bool) -> None:
    w, v = drawn["widths"]
    layers = {"n": nn.GroupNorm(groups_of(w), w), "b": conv(w, v, kernel), "c": conv(v, 3)}

    def forward(m: Any, x: Tensor) -> Tensor:
        h = m.n(m.a(x))
        return m.c(m.b(nn.silu(h) if activated else h))

    check("group_norm", drawn, forward, **layers)


@given(shapes(), st.integers(1, 4))
def test_norm_of_concat(drawn: dict[str, Any], groups: int) -> None:
    """Groups reach over the border between two values."""
    w, v = drawn["widths"]
    v += -(w + v) % groups
    layers = {"e": conv(w, v), "n": nn.GroupNorm(groups, w + v), "b": conv(w + v, 5)}
    check("norm_of_concat", drawn, lambda m, x: (lambda h: m.b(nn.silu(m.n(nn.concat([h, m.e(h)])))))(m.a(x)), **layers)


@given(shapes(), st.sampled_from([1, 2, 4]))
def test_attention(drawn: dict[str, Any], heads: int) -> None:
    height, width, c = drawn["image"]
    drawn["image"], drawn["mask"] = (height // 2, width // 2, c), drawn["mask"][: height // 2, : width // 2]
    w = heads * drawn["widths"][1]
    layers = {name: conv(drawn["widths"][0], w, 1) for name in "qkv"}

    def forward(m: Any, x: Tensor) -> Tensor:
        h = m.a(x)
        return m.b(nn.attention(m.q(h), m.k(h), m.v(h), heads))

    check("attention", drawn, forward, **layers, b=conv(w, 3))


# ---- edits at every border, and of several images


def everything(m: Any, x: Tensor) -> Tensor:
    """Every kind of op, on two resolutions."""
    h = m.a(x)
    low = m.attend(m.down(m.block(h, None)))
    return m.out(nn.silu(m.n(nn.concat([m.up(nn.upsample_nearest(low)), h]))))


def all_ops(image: tuple[int, int, int]) -> Net:
    layers = {"a": conv(image[2], 6), "block": Block(6, 9, 0), "down": conv(9, 9, 3, 2), "attend": SelfAttention(9)}
    return Net(image, everything, **layers, up=conv(9, 7), n=nn.GroupNorm(1, 13), out=conv(13, 2))


@pytest.mark.parametrize("where", border_masks(20, 12))
@pytest.mark.parametrize("tile", [4, 5])
def test_edits_at_borders_and_corners(where: str, tile: int) -> None:
    assert_agree(all_ops((20, 12, 3)), border_masks(20, 12)[where], BOUNDS["group_norm"], threshold=12, tile=tile)


@given(masks(20, 12), masks(20, 12))
def test_images_of_a_batch_have_their_own_masks(first: np.ndarray, second: np.ndarray) -> None:
    """Where no statistics are fresh below the tiles, images may be edited in different numbers of tiles."""
    model = Net(
        (20, 12, 3), lambda m, x: m.b(nn.silu(m.n(m.a(x)))) + m.a(x), a=conv(3, 6), n=nn.GroupNorm(3, 6), b=conv(6, 6)
    )
    assert_agree(model, np.stack([first, second]), BOUNDS["group_norm"], threshold=8, batch=2)


@pytest.mark.parametrize("where", ["top left", "everything"])
def test_a_batch_of_one_mask(where: str) -> None:
    assert_agree(all_ops((20, 12, 3)), border_masks(20, 12)[where], BOUNDS["group_norm"], threshold=12, batch=3)


@pytest.mark.parametrize("offset", [0.0, 10.0, 100.0])
def test_norms_survive_a_large_mean(offset: float) -> None:
    """Sums of squares lose digits when the mean is many deviations; no more than float32 costs the reference too."""
    model = all_ops((20, 12, 3))
    model.a.bias = model.a.bias + offset
    assert_agree(model, border_masks(20, 12)["top left"], BOUNDS["group_norm"] * max(1, offset) ** 2, threshold=12)
