"""Which part of the published network an edit computes in tiles, which densely, and where statistics are fresh."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from sige_mlx import nn
from sige_mlx.errors import SigeError
from sige_mlx.graph.lowered import Lowered
from sige_mlx.graph.policy import Output, Statistics
from sige_mlx.graph.regions import Region
from sige_mlx.graph.tiling import tiling
from sige_mlx.models.ddpm import DDPMConfig, DDPMUNet
from sige_mlx.nn import Tensor, ops
from tests.graph.blocks import SelfAttention, conv
from tests.graph.networks import Net
from tests.policies import OUTPUTS, policy


@pytest.fixture(scope="module")
def church() -> DDPMUNet:
    return DDPMUNet(DDPMConfig())


def by_layer(model: DDPMUNet, output: Output = "everywhere", tiles_from: int = 64) -> dict[str, Region]:
    """The region that each convolution is computed in, alone or with what absorbed it."""
    lowered = Lowered.of(model, policy(tiles_from, output))
    of, group = lowered.regions.of, lowered.groups.value
    return {n.name: of[group(n.index)] for n in lowered.graph.nodes if isinstance(n.op, ops.Conv2d | ops.Linear)}


def fresh(
    model: Any, tiles_from: int = 64, output: Output = "everywhere", statistics: Statistics = "fresh head"
) -> set[str]:
    """The layers of norms that take the edit's own statistics."""
    lowered = Lowered.of(model, policy(tiles_from, output, statistics))
    return {lowered.graph.nodes[i].name for i in lowered.regions.fresh}


def test_convolutions_of_large_planes_are_in_tiles(church: DDPMUNet) -> None:
    of = by_layer(church)
    for layer in ("conv_in", "down.0.block.0.conv1", "down.2.block.1.conv2", "up.2.block.0.nin_shortcut"):
        assert of[layer] is Region.TILES
    for layer in ("down.3.block.0.conv1", "mid.block_1.conv1", "mid.attn_1.q", "up.3.block.2.conv2"):
        assert of[layer] is Region.DENSE


def test_resampling_across_the_threshold_is_in_tiles(church: DDPMUNet) -> None:
    of = by_layer(church)
    assert of["down.2.downsample.conv"] is of["up.3.upsample.conv"] is Region.TILES  # 64 to 32, 32 to 64
    assert of["down.3.downsample.conv"] is of["up.4.upsample.conv"] is Region.DENSE


def test_what_does_not_see_the_image_is_fixed(church: DDPMUNet) -> None:
    fixed = {layer for layer, region in by_layer(church).items() if region is Region.FIXED}
    assert {"temb.dense.0", "temb.dense.1", "mid.block_1.temb_proj"} <= fixed
    assert all("temb" in layer for layer in fixed)


@pytest.mark.parametrize("output", OUTPUTS)
def test_the_output_is_computed_everywhere_or_in_tiles(church: DDPMUNet, output: Output) -> None:
    assert by_layer(church, output)["conv_out"] is (Region.DENSE if output == "everywhere" else Region.TILES)


@pytest.mark.parametrize("output", OUTPUTS)
def test_statistics_are_fresh_where_all_pixels_are(church: DDPMUNet, output: Output) -> None:
    """Below the smallest planes in tiles, and in the head, after which nothing recorded is read."""
    found = fresh(church, 64, output)
    assert {"norm_out", "down.3.block.0.norm1", "mid.attn_1.norm", "up.3.block.2.norm2"} <= found
    nodes = Lowered.of(church, policy(64)).graph.nodes
    norms = {n.name: max(n.shape[1:3]) for n in nodes if isinstance(n.op, ops.GroupNorm)}
    assert {name for name, side in norms.items() if side >= 64 and name != "norm_out"}.isdisjoint(found)


def test_the_threshold_decides(church: DDPMUNet) -> None:
    assert Region.TILES not in by_layer(church, "tiles", tiles_from=257).values()
    assert by_layer(church, "tiles", tiles_from=1)["mid.block_1.conv1"] is Region.TILES
    assert fresh(church, 1) == {"norm_out"}


# ---- of other networks


def of_ops(tiles_from: int, output: Output = "everywhere") -> list[tuple[str, Region]]:
    """Regions of a network with an attention, a pooling, a transposed convolution and an activated output, in order."""

    def forward(m: Any, x: Tensor) -> Tensor:
        h = m.attend(m.a(x))
        return nn.tanh(m.c(m.norm(m.up(nn.avg_pool2d(h)))))

    layers = {"a": conv(3, 4), "attend": SelfAttention(4), "up": nn.ConvTranspose2d(4, 4), "norm": nn.InstanceNorm(4)}
    model = Net((16, 16, 3), forward, **layers, c=conv(4, 2))
    lowered = Lowered.of(model, policy(tiles_from, output))
    nodes, of, group = lowered.graph.nodes, lowered.regions, lowered.groups.value
    assert of.fresh >= {n.index for n in nodes if isinstance(n.op, ops.InstanceNorm)}  # it is in the head
    stored = ops.Conv2d | ops.ConvTranspose2d | ops.AvgPool2d | ops.Attention | ops.Tanh
    return [(type(n.op).__name__, of.of[group(n.index)]) for n in nodes if isinstance(n.op, stored)]


def test_attention_poolings_and_transposed_convolutions_are_in_tiles() -> None:
    of = of_ops(16, "tiles")
    assert {region for _, region in of} == {Region.TILES} and {"Attention", "AvgPool2d", "ConvTranspose2d"} <= dict(
        of
    ).keys()
    assert {region for _, region in of_ops(17)} == {Region.DENSE}


def test_the_outputs_activation_is_where_its_convolution_is() -> None:
    for output in OUTPUTS:
        (_, below), (name, activation) = of_ops(16, output)[-2:]
        expected = Region.DENSE if output == "everywhere" else Region.TILES
        assert name == "Tanh" and below is activation is expected


def test_instance_norms_are_fresh_where_all_pixels_are() -> None:
    model = Net(
        (16, 16, 3), lambda m, x: m.b(m.d(m.n(m.a(x)))), a=conv(3, 4), n=nn.InstanceNorm(4), d=conv(4, 4), b=conv(4, 2)
    )
    assert not fresh(model, 16) and fresh(model, 17) == {"InstanceNorm"}


@pytest.mark.parametrize("output", OUTPUTS)
def test_the_head_may_keep_recorded_statistics(church: DDPMUNet, output: Output) -> None:
    assert fresh(church, 64, output) - fresh(church, 64, output, "recorded") == {"norm_out"}
    assert fresh(church, 64, output, "recorded") == fresh(church, 64, output, "estimated")


@pytest.mark.parametrize("output", OUTPUTS)
def test_norms_may_follow_wherever_there_are_tiles(church: DDPMUNet, output: Output) -> None:
    nodes = Lowered.of(church, policy(64)).graph.nodes
    assert fresh(church, 64, output, "followed") == {n.name for n in nodes if isinstance(n.op, ops.GroupNorm)}


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


def test_masks_are_one_a_batch_or_one_an_image() -> None:
    with pytest.raises(
        SigeError, match=r"^the mask is \(3, 8, 8\): it must be \(H, W\), or \(2, H, W\) for this batch$"
    ):
        tiling(np.ones((3, 8, 8), np.bool_), batch=2)
