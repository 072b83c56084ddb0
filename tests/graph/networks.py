"""Small networks for tests: one function over a few layers, or a random U-Net of any widths."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import mlx.core as mx
import mlx.nn
import numpy as np
import numpy.typing as npt
from hypothesis import strategies as st
from mlx.utils import tree_flatten

from sige_mlx import nn
from sige_mlx.nn import Tensor
from tests.graph.blocks import (
    Block,
    ReflectedBlock,
    SelfAttention,
    Separable,
    SpadeBlock,
    Transposed,
    Up,
    conv,
    groups_of,
)

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
        for name, layer in layers.items():
            setattr(self, name, layer)
        randomise(self)

    def inputs(self, batch: int = 1) -> dict[str, tuple[int, ...]]:
        return {"x": (batch, *self.image)} | ({"t": (batch,)} if self.time else {})

    def __call__(self, x: Tensor, t: Tensor | None = None) -> Tensor:
        return self.forward(self, x, t) if self.time else self.forward(self, x)


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

FLAT = ("conv", "block", "attention", "reflected", "first reflected", "separable", "spade", "separable spade")
DOWN = ("down", "pool")
UP = ("up", "plain up", "transposed", "spade up")


@dataclass(frozen=True)
class Spec:
    """A U-Net of `steps`, each with the width it leads to: `FLAT` ones; `DOWN`, a strided convolution or a block with
    pooling; `UP`, a block over a concatenation, one that upsamples, a transposed convolution, or a SPADE block of an
    upsampled value. SPADE's label maps are the image, downsampled. With `film` time embeddings scale and shift."""

    height: int
    width: int
    channels: int
    steps: tuple[tuple[str, int], ...]
    norm_out: bool
    time: bool
    film: bool = False
    tanh: bool = False

    @property
    def has_time(self) -> bool:
        """Whether a block is there that reads the time embedding."""
        return self.time and any(kind in ("block", "pool", "up", "plain up") for kind, _ in self.steps)


@st.composite
def specs(draw: st.DrawFn) -> Spec:
    """Networks of widths and sizes that fit no vector and no tile, two levels deep at most."""
    width = st.sampled_from([2, 3, 6, 7, 16, 18, 33])
    steps: list[tuple[str, int]] = []
    depth = 0
    for _ in range(draw(st.integers(1, 4))):
        kinds = [*FLAT, *(DOWN if depth < 2 else ()), *(UP if depth else ())]
        kind = draw(st.sampled_from(kinds))
        depth += (kind in DOWN) - (kind in UP)
        steps.append((kind, draw(width)))
    steps += [(draw(st.sampled_from(UP)), draw(width)) for _ in range(depth)]
    side = st.integers(2, 5).map(lambda n: 4 * n)
    flags = {name: draw(st.booleans()) for name in ("norm_out", "time", "film", "tanh")}
    return Spec(draw(side), draw(side), draw(st.integers(1, 4)), tuple(steps), **flags)


class RandomUNet(mlx.nn.Module):
    """The network of a `Spec`."""

    def __init__(self, spec: Spec, seed: int = 0):
        super().__init__()
        self.spec = spec
        vector = 6 if spec.has_time else 0
        if spec.has_time:
            self.embed = nn.Linear(4, vector)
        c = first = 5
        self.conv_in = conv(spec.channels, first)
        self.layers: list[mlx.nn.Module] = []
        skips: list[int] = []
        for kind, width in spec.steps:
            if kind in DOWN:
                skips.append(c)
            skip = skips.pop() if kind in UP else 0
            if kind in ("attention", "reflected", "first reflected"):
                width = c
            self.layers.append(self._layer(kind, c, width, skip, vector))
            c = width
        if spec.norm_out:
            self.norm_out = nn.GroupNorm(groups_of(c), c)
        self.conv_out = conv(c, 2)
        randomise(self, seed)

    def _layer(self, kind: str, i: int, o: int, skip: int, vector: int) -> mlx.nn.Module:
        film, labels = self.spec.film, self.spec.channels
        layers: dict[str, Callable[[], mlx.nn.Module]] = {
            "conv": lambda: conv(i, o, 1 + 2 * (o % 2)),
            "block": lambda: Block(i, o, vector, film),
            "attention": lambda: SelfAttention(i, 2 if i % 2 == 0 else 1),
            "reflected": lambda: ReflectedBlock(i),
            "first reflected": lambda: ReflectedBlock(i, stem=True),
            "separable": lambda: Separable(i, o),
            "spade": lambda: SpadeBlock(i, o, labels, separable=False),
            "separable spade": lambda: SpadeBlock(i, o, labels, separable=True),
            "down": lambda: conv(i, o, 3, 2),
            "pool": lambda: Block(i, o, vector, film, "down"),
            "up": lambda: Up(i, skip, o, vector),
            "plain up": lambda: Block(i, o, vector, film, "up"),
            "transposed": lambda: Transposed(i, o),
            "spade up": lambda: SpadeBlock(i, o, labels, separable=False),
        }
        return layers[kind]()

    def inputs(self, batch: int = 1) -> dict[str, tuple[int, ...]]:
        image = {"x": (batch, self.spec.height, self.spec.width, self.spec.channels)}
        return image | ({"t": (batch,)} if self.spec.has_time else {})

    def __call__(self, x: Tensor, t: Tensor | None = None) -> Tensor:
        temb = self.embed(nn.timestep_embedding(t, 4)) if self.spec.has_time else None
        h = self.conv_in(x)
        skips = []
        for (kind, _), layer in zip(self.spec.steps, self.layers, strict=True):
            if kind in DOWN:
                skips.append(h)
            skip = skips.pop() if kind in UP else None
            if kind == "up":
                h = layer(h, skip, temb)
            elif isinstance(layer, Block):
                h = layer(h, temb)
            elif isinstance(layer, SpadeBlock):
                h = nn.upsample_nearest(h) if kind == "spade up" else h
                h = layer(h, nn.downsample_nearest(x, 2 ** len(skips)) if skips else x)
            else:
                h = layer(h)
        if self.spec.norm_out:
            h = nn.silu(self.norm_out(h))
        h = self.conv_out(h)
        return nn.tanh(h) if self.spec.tanh else h


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
