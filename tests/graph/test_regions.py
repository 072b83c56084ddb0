"""Which part of the published network an edit computes in tiles, which densely, and where statistics are fresh."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from sige_mlx import nn
from sige_mlx.errors import SigeError
from sige_mlx.graph.ir import Graph
from sige_mlx.graph.regions import Region, regions
from sige_mlx.graph.tiling import tiling
from sige_mlx.graph.trace import trace
from sige_mlx.models.ddpm import DDPMConfig, DDPMUNet
from sige_mlx.nn import Tensor, ops
from tests.graph.blocks import SelfAttention, conv
from tests.graph.networks import Net


@pytest.fixture(scope="module")
def church() -> Graph:
    model = DDPMUNet(DDPMConfig())
    return trace(model, model.inputs())


def by_layer(graph: Graph, everywhere: bool = True, threshold: int = 64) -> dict[str, Region]:
    of = regions(graph, threshold, everywhere).of
    return {n.name: of[n.index] for n in graph.nodes if isinstance(n.op, ops.Conv2d | ops.Linear)}


def test_convolutions_of_large_planes_are_in_tiles(church: Graph) -> None:
    of = by_layer(church)
    for layer in ("conv_in", "down.0.block.0.conv1", "down.2.block.1.conv2", "up.2.block.0.nin_shortcut"):
        assert of[layer] is Region.TILES
    for layer in ("down.3.block.0.conv1", "mid.block_1.conv1", "mid.attn_1.q", "up.3.block.2.conv2"):
        assert of[layer] is Region.DENSE


def test_resampling_across_the_threshold_is_in_tiles(church: Graph) -> None:
    of = by_layer(church)
    assert of["down.2.downsample.conv"] is of["up.3.upsample.conv"] is Region.TILES  # 64 to 32, 32 to 64
    assert of["down.3.downsample.conv"] is of["up.4.upsample.conv"] is Region.DENSE


def test_what_does_not_see_the_image_is_fixed(church: Graph) -> None:
    fixed = {layer for layer, region in by_layer(church).items() if region is Region.FIXED}
    assert {"temb.dense.0", "temb.dense.1", "mid.block_1.temb_proj"} <= fixed
    assert all("temb" in layer for layer in fixed)


@pytest.mark.parametrize("everywhere", [True, False])
def test_the_output_is_computed_everywhere_or_in_tiles(church: Graph, everywhere: bool) -> None:
    assert by_layer(church, everywhere)["conv_out"] is (Region.DENSE if everywhere else Region.TILES)


@pytest.mark.parametrize("everywhere", [True, False])
def test_statistics_are_fresh_where_all_pixels_are(church: Graph, everywhere: bool) -> None:
    """Below the threshold, and in the head, after which nothing recorded is read."""
    fresh = {church.nodes[i].name for i in regions(church, 64, everywhere).fresh}
    assert {"norm_out", "down.3.block.0.norm1", "mid.attn_1.norm", "up.3.block.2.norm2"} <= fresh
    norms = {n.name: max(n.shape[1:3]) for n in church.nodes if isinstance(n.op, ops.GroupNorm)}
    assert {name for name, side in norms.items() if side >= 64 and name != "norm_out"}.isdisjoint(fresh)


def test_the_threshold_decides(church: Graph) -> None:
    assert Region.TILES not in by_layer(church, False, threshold=257).values()
    assert by_layer(church, False, threshold=1)["mid.block_1.conv1"] is Region.TILES
    assert regions(church, 1).fresh == {n.index for n in church.nodes if n.name == "norm_out" and n.params}


# ---- of other networks


def of_ops(threshold: int, everywhere: bool = True) -> list[tuple[str, Region]]:
    """Regions of a network with an attention, a pooling, a transposed convolution and an activated output, in order."""

    def forward(m: Any, x: Tensor) -> Tensor:
        h = m.attend(m.a(x))
        return nn.tanh(m.c(m.norm(m.up(nn.avg_pool2d(h)))))

    layers = {"a": conv(3, 4), "attend": SelfAttention(4), "up": nn.ConvTranspose2d(4, 4), "norm": nn.InstanceNorm(4)}
    model = Net((16, 16, 3), forward, **layers, c=conv(4, 2))
    graph = trace(model, model.inputs())
    of = regions(graph, threshold, everywhere)
    assert of.fresh >= {n.index for n in graph.nodes if isinstance(n.op, ops.InstanceNorm)}  # it is in the head
    stored = ops.Conv2d | ops.ConvTranspose2d | ops.AvgPool2d | ops.Attention | ops.Tanh
    return [(type(n.op).__name__, of.of[n.index]) for n in graph.nodes if isinstance(n.op, stored)]


def test_attention_poolings_and_transposed_convolutions_are_in_tiles() -> None:
    of = of_ops(16, everywhere=False)
    assert {region for _, region in of} == {Region.TILES} and {"Attention", "AvgPool2d", "ConvTranspose2d"} <= dict(
        of
    ).keys()
    assert {region for _, region in of_ops(17)} == {Region.DENSE}


def test_the_outputs_activation_is_where_its_convolution_is() -> None:
    for everywhere in (True, False):
        (_, below), (name, activation) = of_ops(16, everywhere)[-2:]
        assert name == "Tanh" and below is activation is (Region.DENSE if everywhere else Region.TILES)


def test_instance_norms_are_fresh_where_all_pixels_are() -> None:
    model = Net(
        (16, 16, 3), lambda m, x: m.b(m.d(m.n(m.a(x)))), a=conv(3, 4), n=nn.InstanceNorm(4), d=conv(4, 4), b=conv(4, 2)
    )
    graph = trace(model, model.inputs())
    (norm,) = [n.index for n in graph.nodes if isinstance(n.op, ops.InstanceNorm)]
    assert norm not in regions(graph, 16).fresh and norm in regions(graph, 17).fresh


def test_planes_have_the_tiles_of_their_size() -> None:
    mask = np.zeros((20, 12), np.bool_)
    mask[0, 0] = True
    tiles = tiling(mask, batch=2)
    assert sorted(tiles.levels) == [(3, 2), (5, 3), (10, 6), (20, 12)]
    for size, level in tiles.levels.items():
        assert level.size == size and level.grid.shape == (2, -(-size[0] // 4), -(-size[1] // 4))
        assert level.pixels().shape == (2, *size) and level.pixels()[:, 0, 0].all()
        for position, (image, row, column) in enumerate(level.rows):
            assert level.grid[image, row, column] == position
        assert len(level) == (level.grid >= 0).sum()
    assert tiles.edited == 1 / 240 and not tiles.empty


def test_sizes_that_do_not_halve_are_named() -> None:
    tiles = tiling(np.ones((20, 12), np.bool_))
    with pytest.raises(SigeError, match=r"^a plane of 10x5 is no halving of the 20x12 image: its sides must be"):
        tiles.at((10, 5))


def test_masks_are_one_a_batch_or_one_an_image() -> None:
    with pytest.raises(
        SigeError, match=r"^the mask is \(3, 8, 8\): it must be \(H, W\), or \(2, H, W\) for this batch$"
    ):
        tiling(np.ones((3, 8, 8), np.bool_), batch=2)
