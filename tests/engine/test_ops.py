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
            "threshold": draw(st.sampled_from([1, 8, 64])),
        },
    }


def check(op: str, drawn: dict[str, Any], forward: Callable[..., Tensor], time: bool = False, **layers: Any) -> None:
    """`a` comes first, so that the op under test reads tiles and not the caller's image."""
    first = conv(drawn["image"][2], drawn["widths"][0])
    model = Net(drawn["image"], forward, time, a=first, **layers)
    assert_agree(model, drawn["mask"], BOUNDS[op], **drawn["options"])


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


@pytest.mark.parametrize("act", [nn.silu, nn.relu, nn.leaky_relu, nn.tanh])
@given(shapes(), st.sampled_from([1, 3]))
def test_activations(act: Callable[[Tensor], Tensor], drawn: dict[str, Any], kernel: int) -> None:
    """Of what is read, and of the output."""
    bound = act.__name__
    check(bound, drawn, lambda m, x: m.b(act(m.a(x))), b=conv(*drawn["widths"], kernel))
    check(bound, drawn, lambda m, x: act(m.b(m.a(x))), b=conv(*drawn["widths"], kernel))
    check(
        bound, drawn, lambda m, x: act(m.b(m.a(x)) + m.s(m.a(x))), b=conv(*drawn["widths"]), s=conv(*drawn["widths"], 1)
    )


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
        check("depthwise", drawn, forward, **layers)


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
    check("depthwise", drawn, lambda m, x: m.b(m.d(m.a(x))), **layers)


@given(shapes(), st.sampled_from([3, 5, 7]), st.sampled_from([1, 2]))
def test_reflect(drawn: dict[str, Any], kernel: int, stride: int) -> None:
    w, v = drawn["widths"]
    pad = min(kernel // 2, min(drawn["image"][:2]) - 1)
    layers = {"b": nn.Conv2d(w, v, 2 * pad + 1, stride, pad, pad_mode="reflect"), "c": conv(v, 3)}
    check("reflect", drawn, lambda m, x: m.c(nn.relu(m.b(m.a(x)))), **layers)


@given(shapes(), st.sampled_from([3, 5]))
def test_reflect_after_upsampling(drawn: dict[str, Any], kernel: int) -> None:
    w, v = drawn["widths"]
    layers = {"d": conv(w, v, 3, 2), "b": nn.Conv2d(v, 3, kernel, 1, kernel // 2, pad_mode="reflect")}
    check("reflect", drawn, lambda m, x: m.b(nn.upsample_nearest(m.d(m.a(x)))), **layers)


@given(shapes(), st.booleans(), st.booleans())
def test_transposed(drawn: dict[str, Any], activated: bool, rest: bool) -> None:
    w, v = drawn["widths"]
    layers = {"d": conv(w, v, 3, 2), "t": nn.ConvTranspose2d(v, w), "c": conv(w, 3)}

    def forward(m: Any, x: Tensor) -> Tensor:
        h = m.a(x)
        low = m.d(h)
        up = m.t(nn.relu(low) if activated else low)
        return m.c(up + h) if rest else up

    check("transposed", drawn, forward, **layers)


@given(shapes(), st.booleans(), st.booleans())
def test_avg_pool(drawn: dict[str, Any], activated: bool, added: bool) -> None:
    w, v = drawn["widths"]
    layers = {"d": conv(w, w, 3, 2), "b": conv(w, v)}

    def forward(m: Any, x: Tensor) -> Tensor:
        h = m.a(x)
        pooled = nn.avg_pool2d(nn.silu(h) if activated else h)
        return m.b(m.d(h) + pooled if added else pooled)

    check("avg_pool", drawn, forward, **layers)


@given(shapes(), st.sampled_from([1, 2, 4]), st.sampled_from([1, 3]), st.booleans())
def test_downsample(drawn: dict[str, Any], factor: int, kernel: int, of_input: bool) -> None:
    height, width, c = drawn["image"]
    drawn["image"] = (height * 2, width * 2, c)
    drawn["mask"] = np.kron(drawn["mask"], np.ones((2, 2), np.bool_))
    w, v = drawn["widths"]
    layers = {
        "b": conv(c if of_input else w, v, kernel),
        "s": conv(w, v, 4, 4) if factor == 4 else conv(w, v, 3, factor),
    }

    def forward(m: Any, x: Tensor) -> Tensor:
        h = m.a(x)
        return m.b(nn.downsample_nearest(x if of_input else nn.relu(h), factor)) + m.s(h)

    check("downsample", drawn, forward, **layers)


@given(shapes(), st.sampled_from(["act", "twice", "norm", "norm and act", "up", "itself", "chain"]))
def test_additions_that_no_convolution_absorbs(drawn: dict[str, Any], kind: str) -> None:
    w, v = drawn["widths"]
    layers = {"b": conv(w, w), "d": conv(w, w, 3, 2), "n": nn.InstanceNorm(), "c": conv(w, v), "e": conv(v, 3)}

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
        else:
            h = m.b(h) + h + nn.upsample_nearest(nn.relu(m.d(h)))
        return m.e(m.c(h))

    check("stored_addition" if "norm" not in kind else "instance_norm", drawn, forward, **layers)


@given(shapes(), st.sampled_from([1, 3]), st.booleans())
def test_group_norm(drawn: dict[str, Any], kernel: int, activated: bool) -> None:
    w, v = drawn["widths"]
    layers = {"n": nn.GroupNorm(groups_of(w), w), "b": conv(w, v, kernel), "c": conv(v, 3)}

    def forward(m: Any, x: Tensor) -> Tensor:
        h = m.n(m.a(x))
        return m.c(m.b(nn.silu(h) if activated else h))

    check("group_norm", drawn, forward, **layers)


@given(shapes(), st.sampled_from([1, 3]), st.booleans())
def test_instance_norm(drawn: dict[str, Any], kernel: int, depthwise: bool) -> None:
    w, v = drawn["widths"]
    layers = {"n": nn.InstanceNorm(), "b": conv(w, v, kernel), "c": conv(v, 3)}
    if depthwise and w > 1:
        layers["d"] = nn.Conv2d(w, w, 3, 1, 1, groups=w)
    check(
        "instance_norm",
        drawn,
        lambda m, x: m.c(m.b(nn.relu(m.n(m.d(m.a(x)) if "d" in m else m.a(x))))),
        **layers,
    )


@given(shapes(), st.sampled_from([1, 3]), st.booleans(), st.booleans())
def test_batch_norm(drawn: dict[str, Any], kernel: int, activated: bool, upsampled: bool) -> None:
    w, v = drawn["widths"]
    layers = {"d": conv(w, w, 3, 2), "n": nn.BatchNorm(w), "b": conv(w, v, kernel), "c": conv(v, 3)}

    def forward(m: Any, x: Tensor) -> Tensor:
        h = m.a(x)
        h = m.n(nn.upsample_nearest(m.d(h)) if upsampled else h)
        return m.c(m.b(nn.leaky_relu(h) if activated else h))

    check("batch_norm", drawn, forward, **layers)


@given(shapes(), st.booleans(), st.booleans())
def test_film(drawn: dict[str, Any], grouped: bool, both: bool) -> None:
    """The vector is made of time steps; the norm may have a reader without it."""
    w, v = drawn["widths"]
    layers = {
        "n": nn.GroupNorm(groups_of(w), w) if grouped else nn.InstanceNorm(),
        "f": nn.Linear(8, 2 * w),
        "b": conv(w, v),
        "e": conv(w, v, 1),
        "c": conv(v, 3),
    }

    def forward(m: Any, x: Tensor, t: Tensor) -> Tensor:
        h = m.n(m.a(x))
        y = m.b(nn.silu(nn.modulate(h, m.f(nn.silu(nn.log_snr_embedding(t, 8))))))
        return m.c(y + m.e(h) if both else y)

    check("film", drawn, forward, time=True, **layers)


def spade(m: Any, x: Tensor, labels: Tensor, i: str) -> Tensor:
    hidden = nn.relu(m["shared" + i](labels))
    return nn.modulate(m["norm" + i](x) if "norm" + i in m else x, m["gamma_beta" + i](hidden))


NORMS: dict[str, Callable[[int], Any]] = {
    "none": lambda c: None,
    "batch": nn.BatchNorm,
    "instance": lambda c: nn.InstanceNorm(),
    "group": lambda c: nn.GroupNorm(groups_of(c), c),
}


@given(shapes(), st.sampled_from(list(NORMS)), st.booleans(), st.booleans(), st.sampled_from([1, 3]))
def test_spade(drawn: dict[str, Any], norm: str, upsampled: bool, late: bool, kernel: int) -> None:
    """`late`: the modulation comes after what it modulates in the network's order."""
    w, v = drawn["widths"]
    layers = {"d": conv(w, w, 3, 2), "shared0": conv(drawn["image"][2], 5), "gamma_beta0": conv(5, 2 * w, kernel)}
    layers |= {"b": conv(w, v, kernel), "c": conv(v, 3)}
    if norm != "none":
        layers["norm0"] = NORMS[norm](w)

    def forward(m: Any, x: Tensor) -> Tensor:
        if late:
            h = m.a(x)
            h = nn.upsample_nearest(m.d(h)) if upsampled else h
            return m.c(m.b(nn.leaky_relu(spade(m, h, x, "0"))))
        modulation = m.gamma_beta0(nn.relu(m.shared0(x)))
        h = m.a(x)
        h = nn.upsample_nearest(m.d(h)) if upsampled else h
        h = m.norm0(h) if "norm0" in m else h
        return m.c(m.b(nn.leaky_relu(nn.modulate(h, modulation))))

    check("spade", drawn, forward, **layers)


@given(shapes(), st.booleans())
def test_spade_with_separable_convolutions(drawn: dict[str, Any], upsampled: bool) -> None:
    """Gamma and beta are two values: GAN Compression's form."""
    w, v = drawn["widths"]
    layers: dict[str, Any] = {"e": conv(w, w, 3, 2), "shared": conv(drawn["image"][2], 6), "n": nn.BatchNorm(w)}
    for name in ("gamma", "beta"):
        layers |= {f"{name}_d": nn.Conv2d(6, 6, 3, 1, 1, groups=6), f"{name}_n": nn.InstanceNorm()}
        layers |= {f"{name}_p": conv(6, w, 1)}

    def forward(m: Any, x: Tensor) -> Tensor:
        h = m.a(x)
        h = nn.upsample_nearest(m.e(h)) if upsampled else h
        hidden = nn.relu(m.shared(x))
        parts = [m[f"{name}_p"](m[f"{name}_n"](m[f"{name}_d"](hidden))) for name in ("gamma", "beta")]
        return m.c(nn.leaky_relu(m.b(nn.modulate(m.n(h), nn.concat(parts)))))

    check("spade", drawn, forward, **layers, b=conv(w, v), c=conv(v, 3))


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
