"""Executors agree op by op, on shapes that fit no vector and no tile: convolutions, activations, what moves pixels, and
attention."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sige_mlx import nn
from sige_mlx.nn import Tensor
from tests.engine.ops import check, shapes
from tests.engine.rounding import assert_agree
from tests.graph.blocks import Block, SelfAttention, conv
from tests.graph.networks import Net, border_masks, masks


@given(shapes(), st.sampled_from([1, 2, 3, 4, 5, 7]))
def test_conv(drawn: dict[str, Any], kernel: int) -> None:
    check(drawn, lambda m, x: m.b(m.a(x)), b=conv(*drawn["widths"], kernel))


@given(shapes(), st.sampled_from([(1, 2), (2, 2), (3, 2), (5, 2), (4, 4)]), st.booleans())
def test_strided(drawn: dict[str, Any], kernel_and_stride: tuple[int, int], rest: bool) -> None:
    kernel, stride = kernel_and_stride
    height, width, c = drawn["image"]
    drawn["image"] = (height * 2, width * 2, c)
    drawn["mask"] = np.kron(drawn["mask"], np.ones((2, 2), np.bool_))
    layers = {"b": conv(*drawn["widths"], kernel, stride), "c": conv(drawn["widths"][1], 3)}
    check(drawn, (lambda m, x: m.c(m.b(m.a(x)))) if rest else (lambda m, x: m.b(m.a(x))), **layers)


def test_paddings_on_each_side() -> None:
    for pads in [((0, 2), (1, 1)), ((2, 0), (0, 2)), ((1, 1), (2, 0))]:
        layers = {"a": conv(3, 5), "b": nn.Conv2d(5, 4, 3, padding=pads), "c": conv(4, 3)}
        for mask in border_masks(10, 14).values():
            assert_agree(Net((10, 14, 3), lambda m, x: m.c(m.b(m.a(x))), **layers), mask, tiles_from=8)


@given(shapes(), st.sampled_from([1, 3, 5]))
def test_upsample(drawn: dict[str, Any], kernel: int) -> None:
    w, v = drawn["widths"]
    layers = {"d": conv(w, v, 3, 2), "b": conv(v, 5, kernel)}
    check(drawn, lambda m, x: m.b(nn.upsample_nearest(m.d(m.a(x)))), **layers)


@given(shapes())
def test_linear(drawn: dict[str, Any]) -> None:
    check(drawn, lambda m, x: m.c(m.b(m.a(x))), b=nn.Linear(*drawn["widths"]), c=conv(drawn["widths"][1], 3))


@given(shapes(), st.sampled_from([1, 3]), st.integers(2, 4))
def test_concat(drawn: dict[str, Any], kernel: int, parts: int) -> None:
    w, v = drawn["widths"]
    layers = {f"b{i}": conv(w, v + i) for i in range(1, parts)}
    out = conv(w + sum(v + i for i in range(1, parts)), 7, kernel)

    def forward(m: Any, x: Tensor) -> Tensor:
        h = m.a(x)
        return m.out(nn.concat([h, *(m[name](h) for name in layers)]))

    check(drawn, forward, **layers, out=out)


@given(shapes(), st.sampled_from([1, 3]))
def test_residual(drawn: dict[str, Any], kernel: int) -> None:
    w = drawn["widths"][0]
    layers = {"b": conv(w, w, kernel), "c": conv(w, 3)}
    check(drawn, lambda m, x: (lambda h: m.c(m.b(h) + h))(m.a(x)), **layers)
    check(drawn, lambda m, x: (lambda h: m.b(h) + h)(m.a(x)), **layers)


@given(shapes(), st.sampled_from([(3, 1), (3, 3), (1, 1), (5, 1)]))
def test_shortcut(drawn: dict[str, Any], kernels: tuple[int, int]) -> None:
    w, v = drawn["widths"]
    layers = {"b": conv(w, v, kernels[0]), "s": conv(w, v, kernels[1]), "c": conv(v, 3)}
    check(drawn, lambda m, x: (lambda h: m.c(m.b(h) + m.s(h)))(m.a(x)), **layers)


@pytest.mark.parametrize("act", [nn.silu, nn.relu, nn.leaky_relu, nn.tanh])
@given(shapes(), st.sampled_from([1, 3]))
def test_activations(act: Callable[[Tensor], Tensor], drawn: dict[str, Any], kernel: int) -> None:
    """Of what is read, and of the output."""
    layers = {"b": conv(*drawn["widths"], kernel), "s": conv(*drawn["widths"], 1)}
    check(drawn, lambda m, x: m.b(act(m.a(x))), **layers)
    check(drawn, lambda m, x: act(m.b(m.a(x))), **layers)
    check(drawn, lambda m, x: act((lambda h: m.b(h) + m.s(h))(m.a(x))), **layers)


@given(shapes(), st.sampled_from([1, 3, 5]), st.sampled_from(["zero", "reflect"]), st.booleans())
def test_depthwise(drawn: dict[str, Any], kernel: int, pad_mode: Any, added: bool) -> None:
    w, v = drawn["widths"]
    pad = min(kernel // 2, min(drawn["image"][:2]) - 1)
    kernel = 2 * pad + 1
    layers = {"d": nn.Conv2d(w, w, kernel, 1, pad, groups=w, pad_mode=pad_mode), "b": conv(w, v, 1)}

    def forward(m: Any, x: Tensor) -> Tensor:
        h = m.a(x)
        return m.b(m.d(nn.silu(h)) + h if added else m.d(nn.silu(h)))

    if w > 1:  # one channel is a plain convolution
        check(drawn, forward, **layers)


@given(shapes(), st.sampled_from([(2, 2), (3, 2), (4, 4)]))
def test_depthwise_strided(drawn: dict[str, Any], kernel_and_stride: tuple[int, int]) -> None:
    kernel, stride = kernel_and_stride
    height, width, c = drawn["image"]
    drawn["image"] = (height * 2, width * 2, c)
    drawn["mask"] = np.kron(drawn["mask"], np.ones((2, 2), np.bool_))
    w, v = max(2, drawn["widths"][0]), drawn["widths"][1]
    drawn["widths"] = (w, v)
    total = kernel - stride if kernel > stride else 0
    layers = {"d": nn.Conv2d(w, w, kernel, stride, ((0, total), (total, 0)), groups=w), "b": conv(w, v)}
    check(drawn, lambda m, x: m.b(m.d(m.a(x))), **layers)


@given(shapes(), st.sampled_from([3, 5, 7]), st.sampled_from([1, 2]))
def test_reflect(drawn: dict[str, Any], kernel: int, stride: int) -> None:
    w, v = drawn["widths"]
    pad = min(kernel // 2, min(drawn["image"][:2]) - 1)
    layers = {"b": nn.Conv2d(w, v, 2 * pad + 1, stride, pad, pad_mode="reflect"), "c": conv(v, 3)}
    check(drawn, lambda m, x: m.c(nn.relu(m.b(m.a(x)))), **layers)


@given(shapes(), st.sampled_from([3, 5]))
def test_reflect_after_upsampling(drawn: dict[str, Any], kernel: int) -> None:
    w, v = drawn["widths"]
    layers = {"d": conv(w, v, 3, 2), "b": nn.Conv2d(v, 3, kernel, 1, kernel // 2, pad_mode="reflect")}
    check(drawn, lambda m, x: m.b(nn.upsample_nearest(m.d(m.a(x)))), **layers)


@given(shapes(), st.booleans(), st.booleans())
def test_transposed(drawn: dict[str, Any], activated: bool, rest: bool) -> None:
    w, v = drawn["widths"]
    layers = {"d": conv(w, v, 3, 2), "t": nn.ConvTranspose2d(v, w), "c": conv(w, 3)}

    def forward(m: Any, x: Tensor) -> Tensor:
        h = m.a(x)
        low = m.d(h)
        up = m.t(nn.relu(low) if activated else low)
        return m.c(up + h) if rest else up

    check(drawn, forward, **layers)


@given(shapes(), st.booleans(), st.booleans())
def test_avg_pool(drawn: dict[str, Any], activated: bool, added: bool) -> None:
    w, v = drawn["widths"]
    layers = {"d": conv(w, w, 3, 2), "b": conv(w, v)}

    def forward(m: Any, x: Tensor) -> Tensor:
        h = m.a(x)
        pooled = nn.avg_pool2d(nn.silu(h) if activated else h)
        return m.b(m.d(h) + pooled if added else pooled)

    check(drawn, forward, **layers)


@given(shapes(), st.sampled_from([1, 2, 4]), st.sampled_from([1, 3]), st.booleans())
def test_downsample(drawn: dict[str, Any], factor: int, kernel: int, of_input: bool) -> None:
    height, width, c = drawn["image"]
    drawn["image"] = (height * 2, width * 2, c)
    drawn["mask"] = np.kron(drawn["mask"], np.ones((2, 2), np.bool_))
    w, v = drawn["widths"]
    strided = conv(w, v, 4 if factor == 4 else 3, factor)
    layers = {"b": conv(c if of_input else w, v, kernel), "s": strided}

    def forward(m: Any, x: Tensor) -> Tensor:
        h = m.a(x)
        return m.b(nn.downsample_nearest(x if of_input else nn.relu(h), factor)) + m.s(h)

    check(drawn, forward, **layers)


NEITHER = ("neither", "neither, normed", "neither, up", "neither, itself")
"""Of whose two sides none is stored."""


@given(shapes(), st.sampled_from(["act", "twice", "norm", "norm and act", "up", "itself", "chain", *NEITHER]))
def test_additions_that_no_convolution_absorbs(drawn: dict[str, Any], kind: str) -> None:
    w, v = drawn["widths"]
    layers = {"b": conv(w, w), "d": conv(w, w, 3, 2), "n": nn.InstanceNorm(w), "c": conv(w, v), "e": conv(v, 3)}

    def forward(m: Any, x: Tensor) -> Tensor:
        h = m.a(x)
        if kind == "act":
            h = m.b(h) + nn.silu(h)
        elif kind == "twice":
            g = m.b(h)
            h = m.b(nn.relu(g + h)) + g
        elif kind == "norm":
            h = h + m.n(m.b(h))
        elif kind == "norm and act":
            h = h + nn.relu(m.n(m.b(h)))
        elif kind == "up":
            h = m.b(h) + nn.upsample_nearest(m.d(h))
        elif kind == "itself":
            h = h + h
        elif kind == "neither":
            h = nn.silu(m.b(h)) + nn.relu(h)
        elif kind == "neither, normed":
            g = nn.relu(m.n(m.b(h)))
            h = (m.n(m.b(g)) + g) + g
        elif kind == "neither, up":
            h = nn.upsample_nearest(nn.relu(m.d(h))) + nn.silu(h)
        elif kind == "neither, itself":
            g = nn.silu(h)
            h = g + g
        else:
            h = m.b(h) + h + nn.upsample_nearest(nn.relu(m.d(h)))
        return m.e(m.c(h))

    check(drawn, forward, **layers)


@given(shapes(), st.sampled_from([1, 2, 4]), st.sampled_from(["as it is", "activated", "modulated"]))
def test_attention(drawn: dict[str, Any], heads: int, read: str) -> None:
    """An attention writes its result in one form; it may be read in others."""
    height, width, c = drawn["image"]
    drawn["image"], drawn["mask"] = (height // 2, width // 2, c), drawn["mask"][: height // 2, : width // 2]
    w = heads * drawn["widths"][1]
    layers = {name: conv(drawn["widths"][0], w, 1) for name in "qkv"} | {"g": conv(drawn["widths"][0], 2 * w)}

    def forward(m: Any, x: Tensor) -> Tensor:
        h = m.a(x)
        modulation = m.g(h)
        y = nn.attention(m.q(h), m.k(h), m.v(h), heads)
        if read == "modulated":
            y = nn.modulate(y, modulation)
        return m.b(y if read == "as it is" else nn.silu(y))

    check(drawn, forward, **layers, b=conv(w, 3))


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
    assert_agree(all_ops((20, 12, 3)), border_masks(20, 12)[where], tiles_from=12, tile=tile)


@given(masks(20, 12), masks(20, 12), st.sampled_from([1, 12]))
def test_images_of_a_batch_have_their_own_masks(first: np.ndarray, second: np.ndarray, threshold: int) -> None:
    """And different numbers of tiles: where statistics are fresh, and where tiles attend to all pixels."""
    model = all_ops((20, 12, 3))
    assert_agree(model, np.stack([first, second]), tiles_from=threshold, batch=2, tile=3)


@pytest.mark.parametrize("where", ["top left", "everything"])
def test_a_batch_of_one_mask(where: str) -> None:
    assert_agree(all_ops((20, 12, 3)), border_masks(20, 12)[where], tiles_from=12, batch=3)


@pytest.mark.parametrize("offset", [0.0, 10.0, 100.0])
def test_norms_survive_a_large_mean(offset: float) -> None:
    """Sums of squares lose digits when the mean is many deviations; no more than float32 costs the reference too."""
    model = all_ops((20, 12, 3))
    model.a.bias = model.a.bias + offset
    assert_agree(model, border_masks(20, 12)["top left"], tiles_from=12)
