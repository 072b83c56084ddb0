"""Executors agree op by op: normalisations, and what modulates them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from sige_mlx import nn
from sige_mlx.nn import Tensor
from tests.engine.ops import check, shapes
from tests.graph.blocks import conv, groups_of


@given(shapes(), st.sampled_from([1, 3]), st.booleans())
def test_group_norm(drawn: dict[str, Any], kernel: int, activated: bool) -> None:
    w, v = drawn["widths"]
    layers = {"n": nn.GroupNorm(groups_of(w), w), "b": conv(w, v, kernel), "c": conv(v, 3)}

    def forward(m: Any, x: Tensor) -> Tensor:
        h = m.n(m.a(x))
        return m.c(m.b(nn.silu(h) if activated else h))

    check(drawn, forward, **layers)


@given(shapes(), st.sampled_from([1, 3]), st.booleans(), st.booleans())
def test_instance_norm(drawn: dict[str, Any], kernel: int, depthwise: bool, affine: bool) -> None:
    w, v = drawn["widths"]
    layers = {"n": nn.InstanceNorm(w, affine=affine), "b": conv(w, v, kernel), "c": conv(v, 3)}
    if depthwise and w > 1:
        layers["d"] = nn.Conv2d(w, w, 3, 1, 1, groups=w)
    check(
        drawn,
        lambda m, x: m.c(m.b(nn.relu(m.n(m.d(m.a(x)) if "d" in m else m.a(x))))),
        **layers,
    )


@given(shapes(), st.sampled_from([1, 3]), st.booleans(), st.booleans(), st.booleans())
def test_batch_norm(drawn: dict[str, Any], kernel: int, activated: bool, upsampled: bool, affine: bool) -> None:
    w, v = drawn["widths"]
    layers = {"d": conv(w, w, 3, 2), "n": nn.BatchNorm(w, affine=affine), "b": conv(w, v, kernel), "c": conv(v, 3)}

    def forward(m: Any, x: Tensor) -> Tensor:
        h = m.a(x)
        h = m.n(nn.upsample_nearest(m.d(h)) if upsampled else h)
        return m.c(m.b(nn.leaky_relu(h) if activated else h))

    check(drawn, forward, **layers)


@given(shapes(), st.booleans(), st.booleans())
def test_film(drawn: dict[str, Any], grouped: bool, both: bool) -> None:
    """The vector is made of time steps; the norm may have a reader without it."""
    w, v = drawn["widths"]
    layers = {
        "n": nn.GroupNorm(groups_of(w), w) if grouped else nn.InstanceNorm(w),
        "f": nn.Linear(8, 2 * w),
        "b": conv(w, v),
        "e": conv(w, v, 1),
        "c": conv(v, 3),
    }

    def forward(m: Any, x: Tensor, t: Tensor) -> Tensor:
        h = m.n(m.a(x))
        y = m.b(nn.silu(nn.modulate(h, m.f(nn.silu(nn.log_snr_embedding(t, 8))))))
        return m.c(y + m.e(h) if both else y)

    check(drawn, forward, time=True, **layers)


def spade(m: Any, x: Tensor, labels: Tensor, i: str) -> Tensor:
    hidden = nn.relu(m["shared" + i](labels))
    return nn.modulate(m["norm" + i](x) if "norm" + i in m else x, m["gamma_beta" + i](hidden))


NORMS: dict[str, Callable[[int], Any]] = {
    "none": lambda c: None,
    "batch": nn.BatchNorm,
    "instance": nn.InstanceNorm,
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

    check(drawn, forward, **layers)


@given(shapes(), st.booleans())
def test_spade_with_separable_convolutions(drawn: dict[str, Any], upsampled: bool) -> None:
    """Gamma and beta are two values: GAN Compression's form."""
    w, v = drawn["widths"]
    layers: dict[str, Any] = {"e": conv(w, w, 3, 2), "shared": conv(drawn["image"][2], 6), "n": nn.BatchNorm(w)}
    for name in ("gamma", "beta"):
        layers |= {f"{name}_d": nn.Conv2d(6, 6, 3, 1, 1, groups=6), f"{name}_n": nn.InstanceNorm(6)}
        layers |= {f"{name}_p": conv(6, w, 1)}

    def forward(m: Any, x: Tensor) -> Tensor:
        h = m.a(x)
        h = nn.upsample_nearest(m.e(h)) if upsampled else h
        hidden = nn.relu(m.shared(x))
        parts = [m[f"{name}_p"](m[f"{name}_n"](m[f"{name}_d"](hidden))) for name in ("gamma", "beta")]
        return m.c(nn.leaky_relu(m.b(nn.modulate(m.n(h), nn.concat(parts)))))

    check(drawn, forward, **layers, b=conv(w, v), c=conv(v, 3))


@given(shapes(), st.integers(1, 4))
def test_norm_of_concat(drawn: dict[str, Any], groups: int) -> None:
    """Groups reach over the border between two values."""
    w, v = drawn["widths"]
    v += -(w + v) % groups
    layers = {"e": conv(w, v), "n": nn.GroupNorm(groups, w + v), "b": conv(w + v, 5)}
    check(drawn, lambda m, x: (lambda h: m.b(nn.silu(m.n(nn.concat([h, m.e(h)])))))(m.a(x)), **layers)
