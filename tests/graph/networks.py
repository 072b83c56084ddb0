"""Small networks for tests: one function over a few layers, or a random U-Net of any widths."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import mlx.core as mx
import mlx.nn
import numpy as np
import numpy.typing as npt
from hypothesis import strategies as st
from mlx.utils import tree_flatten

from sige_mlx import nn
from sige_mlx.nn import Tensor

Mask = npt.NDArray[np.bool_]


class Net(mlx.nn.Module):
    """`forward(layers, x)` over named layers, for an image `(H, W, C)`; or `forward(layers, x, t)` with `time`."""

    def __init__(
        self, image: tuple[int, int, int], forward: Callable[..., Tensor], time: bool = False, **layers: mlx.nn.Module
    ):
        super().__init__()
        self.image = image
        self.time = time
        self.forward = forward
        self.config = SimpleNamespace(sparse_resolution_threshold=8)
        for name, layer in layers.items():
            setattr(self, name, layer)
        randomise(self)

    def inputs(self, batch: int = 1) -> dict[str, tuple[int, ...]]:
        return {"x": (batch, *self.image)} | ({"t": (batch,)} if self.time else {})

    def __call__(self, x: Tensor, t: Tensor | None = None) -> Tensor:
        return self.forward(self, x, t) if self.time else self.forward(self, x)


def conv(i: int, o: int, kernel: int = 3, stride: int = 1) -> nn.Conv2d:
    """A convolution that keeps the size, or divides it by `stride`, padding as little before as after it."""
    total = kernel - stride if kernel > stride else 0
    before = total // 2
    return nn.Conv2d(i, o, kernel, stride, ((before, total - before), (before, total - before)))


def randomise(model: mlx.nn.Module, seed: int = 0) -> None:
    """Weights that keep activations of order one; norms that do something to every channel."""
    rng = np.random.default_rng(seed)
    weights = []
    for name, p in tree_flatten(model.parameters()):
        drawn = rng.standard_normal(p.shape)
        drawn = 0.5 + drawn**2 if name.endswith("running_var") else drawn
        drawn = drawn / np.prod(p.shape[1:]) ** 0.5 if p.ndim > 1 else 0.2 * drawn + name.endswith("weight")
        weights.append((name, mx.array(drawn.astype(np.float32))))
    model.load_weights(weights)


# ---- random networks


@dataclass(frozen=True)
class Spec:
    """A U-Net: `steps` are "conv", "block", "attention", "down" and "up", each with the width it leads to."""

    height: int
    width: int
    channels: int
    steps: tuple[tuple[str, int], ...]
    norm_out: bool
    time: bool

    @property
    def has_time(self) -> bool:
        """Whether a block is there that reads the time embedding."""
        return self.time and any(kind in ("block", "up") for kind, _ in self.steps)


@st.composite
def specs(draw: st.DrawFn) -> Spec:
    """Networks of widths and sizes that fit no vector and no tile, two levels deep at most."""
    width = st.sampled_from([2, 3, 6, 7, 16, 18, 33])
    steps: list[tuple[str, int]] = []
    depth = 0
    for _ in range(draw(st.integers(1, 4))):
        kinds = ["conv", "block", "attention"]
        kinds += ["down"] if depth < 2 else []
        kinds += ["up"] if depth else []
        kind = draw(st.sampled_from(kinds))
        depth += {"down": 1, "up": -1}.get(kind, 0)
        steps.append((kind, draw(width)))
    steps += [("up", draw(width)) for _ in range(depth)]
    side = st.integers(2, 5).map(lambda n: 4 * n)
    return Spec(draw(side), draw(side), draw(st.integers(1, 4)), tuple(steps), draw(st.booleans()), draw(st.booleans()))


def groups_of(channels: int) -> int:
    return next(g for g in (4, 3, 2, 1) if channels % g == 0)


class Block(mlx.nn.Module):
    """A residual block; `vector` is the width of the time embedding, 0 for none."""

    def __init__(self, i: int, o: int, vector: int):
        super().__init__()
        self.norm1, self.conv1 = nn.GroupNorm(groups_of(i), i), conv(i, o)
        self.norm2, self.conv2 = nn.GroupNorm(groups_of(o), o), conv(o, o)
        if vector:
            self.temb_proj = nn.Linear(vector, o)
        if i != o:
            self.shortcut = conv(i, o, 1)

    def __call__(self, x: Tensor, temb: Tensor | None) -> Tensor:
        h = self.conv1(nn.silu(self.norm1(x)))
        if temb is not None:
            h = h + self.temb_proj(nn.silu(temb))
        h = self.conv2(nn.silu(self.norm2(h)))
        return h + (self.shortcut(x) if "shortcut" in self else x)


class SelfAttention(mlx.nn.Module):
    def __init__(self, c: int):
        super().__init__()
        self.norm = nn.GroupNorm(groups_of(c), c)
        self.q, self.k, self.v, self.out = (conv(c, c, 1) for _ in range(4))

    def __call__(self, x: Tensor) -> Tensor:
        h = self.norm(x)
        return self.out(nn.attention(self.q(h), self.k(h), self.v(h))) + x


class Up(mlx.nn.Module):
    """Upsampling, and a block over the concatenation with what came from above."""

    def __init__(self, i: int, skip: int, o: int, vector: int):
        super().__init__()
        self.conv, self.block = conv(i, o), Block(o + skip, o, vector)

    def __call__(self, x: Tensor, skip: Tensor, temb: Tensor | None) -> Tensor:
        return self.block(nn.concat([self.conv(nn.upsample_nearest(x)), skip]), temb)


class RandomUNet(mlx.nn.Module):
    """The network of a `Spec`."""

    def __init__(self, spec: Spec, seed: int = 0):
        super().__init__()
        self.spec = spec
        self.config = SimpleNamespace(sparse_resolution_threshold=8)
        vector = 6 if spec.has_time else 0
        if spec.has_time:
            self.embed = nn.Linear(4, vector)
        c = first = 5
        self.conv_in = conv(spec.channels, first)
        self.layers: list[mlx.nn.Module] = []
        skips: list[int] = []
        for kind, width in spec.steps:
            if kind == "conv":
                self.layers.append(conv(c, width, 1 + 2 * (width % 2)))
            elif kind == "block":
                self.layers.append(Block(c, width, vector))
            elif kind == "attention":
                width = c
                self.layers.append(SelfAttention(c))
            elif kind == "down":
                skips.append(c)
                self.layers.append(conv(c, width, 3, 2))
            else:
                self.layers.append(Up(c, skips.pop(), width, vector))
            c = width
        if spec.norm_out:
            self.norm_out = nn.GroupNorm(groups_of(c), c)
        self.conv_out = conv(c, 2)
        randomise(self, seed)

    def inputs(self, batch: int = 1) -> dict[str, tuple[int, ...]]:
        image = {"x": (batch, self.spec.height, self.spec.width, self.spec.channels)}
        return image | ({"t": (batch,)} if self.spec.has_time else {})

    def __call__(self, x: Tensor, t: Tensor | None = None) -> Tensor:
        temb = self.embed(nn.timestep_embedding(t, 4)) if self.spec.has_time else None
        h = self.conv_in(x)
        skips = []
        for (kind, _), layer in zip(self.spec.steps, self.layers, strict=True):
            if kind == "down":
                skips.append(h)
            if kind == "up":
                h = layer(h, skips.pop(), temb)
            elif kind == "block":
                h = layer(h, temb)
            else:
                h = layer(h)
        if self.spec.norm_out:
            h = nn.silu(self.norm_out(h))
        return self.conv_out(h)


# ---- edits


@st.composite
def masks(draw: st.DrawFn, height: int, width: int) -> Mask:
    """One or two rectangles, never empty; small ones, borders and the whole plane among them."""
    mask = np.zeros((height, width), np.bool_)
    for _ in range(draw(st.integers(1, 2))):
        top, left = draw(st.integers(0, height - 1)), draw(st.integers(0, width - 1))
        bottom = draw(st.one_of(st.just(top + 1), st.integers(top + 1, height)))
        right = draw(st.one_of(st.just(left + 1), st.integers(left + 1, width)))
        mask[top:bottom, left:right] = True
    return mask


def border_masks(height: int, width: int) -> dict[str, Mask]:
    """Edits of one pixel at every corner, of every border, and of the whole plane."""
    rows = {"top": slice(0, 1), "middle": slice(height // 2, height // 2 + 1), "bottom": slice(height - 1, height)}
    columns = {"left": slice(0, 1), "middle": slice(width // 2, width // 2 + 1), "right": slice(width - 1, width)}
    named = {f"{r} {c}": (rows[r], columns[c]) for r in rows for c in columns}
    named |= {f"{r} row": (rows[r], slice(None)) for r in rows} | {
        f"{c} column": (slice(None), columns[c]) for c in columns
    }
    named["everything"] = (slice(None), slice(None))
    result = {}
    for name, where in named.items():
        result[name] = np.zeros((height, width), np.bool_)
        result[name][where] = True
    return result
