"""Executors agree on the blocks that the DDPM U-Net is made of, in tiles and below them."""

from __future__ import annotations

from typing import Any

import mlx.nn
import numpy as np
import pytest

from sige_mlx.models.ddpm import Downsample, ResnetBlock, Upsample
from sige_mlx.models.unet import AttnBlock
from sige_mlx.nn import Tensor, silu, timestep_embedding
from sige_mlx.nn.layers import Conv2d
from tests.engine.rounding import assert_agree
from tests.graph.blocks import conv
from tests.graph.networks import border_masks, randomise


class Around(mlx.nn.Module):
    """A block between two convolutions, so that it reads and writes tiles; it sees the embedding of `t`."""

    def __init__(self, block: mlx.nn.Module, i: int, o: int, size: tuple[int, int]):
        super().__init__()
        self.size = size
        self.first, self.block, self.last = conv(3, i), block, conv(o, 3)
        randomise(self)

    def inputs(self, batch: int = 1) -> dict[str, tuple[int, ...]]:
        time = {"t": (batch,)} if isinstance(self.block, ResnetBlock) else {}
        return {"x": (batch, *self.size, 3)} | time

    def __call__(self, x: Tensor, t: Tensor | None = None) -> Tensor:
        h = self.first(x)
        h = self.block(h) if t is None else self.block(h, timestep_embedding(t, 8))
        return self.last(silu(h))


class Strided(mlx.nn.Module):
    """Down and up again: what an upsampling reads is smaller than the image."""

    def __init__(self, channels: int):
        super().__init__()
        self.down: Conv2d = conv(channels, channels, 3, 2)
        self.up = Upsample(channels)

    def __call__(self, x: Tensor, temb: Tensor | None = None) -> Tensor:
        return self.up(self.down(x), temb)


class Down(Downsample):
    """It has no use for a time embedding."""

    def __call__(self, x: Tensor, temb: Tensor | None = None) -> Tensor:
        return super().__call__(x, temb)


BLOCKS: dict[str, Any] = {
    "residual": (lambda: ResnetBlock(32, 32, 8), 32, 32),
    "residual, widening": (lambda: ResnetBlock(32, 64, 8), 32, 64),
    "attention": (lambda: AttnBlock(32), 32, 32),
    "down": (lambda: Down(20), 20, 20),
    "up": (lambda: Strided(20), 20, 20),
}


@pytest.mark.parametrize("name", BLOCKS)
@pytest.mark.parametrize("tiles_from", [1, 12, 100])
@pytest.mark.parametrize("where", ["top left", "middle middle", "bottom row", "right column", "everything"])
def test_blocks(name: str, tiles_from: int, where: str) -> None:
    make, i, o = BLOCKS[name]
    size = (12, 20)
    assert_agree(Around(make(), i, o, size), border_masks(*size)[where], tiles_from=tiles_from)


@pytest.mark.parametrize("name", BLOCKS)
def test_blocks_on_batches(name: str) -> None:
    make, i, o = BLOCKS[name]
    mask = np.zeros((16, 16), np.bool_)
    mask[6:9, 3:12] = True
    assert_agree(Around(make(), i, o, (16, 16)), mask, tiles_from=12, batch=2)
