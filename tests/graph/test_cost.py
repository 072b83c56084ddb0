"""The cost model: sums worked out by hand on small networks, published figures on the large one."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sige_mlx import nn
from sige_mlx.graph.cost import Cost, dense_cost, edit_cost
from sige_mlx.graph.lowered import Lowered
from sige_mlx.graph.policy import Output
from sige_mlx.models.ddpm import DDPMConfig, DDPMUNet
from tests.graph.blocks import conv
from tests.graph.networks import Net, RandomUNet, Spec, masks, specs
from tests.policies import OUTPUTS, policy


def lowered_of(model: Net | RandomUNet | DDPMUNet, tiles_from: int = 8, output: Output = "tiles") -> Lowered:
    return Lowered.of(model, policy(tiles_from, output))


def one_pixel(size: int, y: int, x: int) -> np.ndarray:
    mask = np.zeros((size, size), np.bool_)
    mask[y, x] = True
    return mask


def test_a_dense_convolution_reads_and_writes_every_value_once() -> None:
    lowered = lowered_of(Net((16, 16, 3), lambda m, x: m.a(x), a=conv(3, 5)))
    cost = dense_cost(lowered)
    (op,) = cost.ops
    assert (op.layer, op.kind, op.plane, op.channels, op.tiles) == ("a", "conv", (16, 16), (3, 5), None)
    assert cost.macs == 256 * 5 * 27
    assert cost.weight_nbytes == 4 * (5 * 27 + 5)
    assert cost.nbytes == 4 * (256 * 3 + 5 * 27 + 5 + 256 * 5)
    assert cost.tiles == {}


def test_a_tile_reads_its_window_and_writes_its_forms() -> None:
    """Each convolution writes one form; the output's tiles are pasted for the caller."""
    lowered = lowered_of(Net((16, 16, 3), lambda m, x: m.b(m.a(x)), a=conv(3, 5), b=conv(5, 2)))
    tiling = lowered.tiling(one_pixel(16, 5, 2))
    cost = edit_cost(lowered, tiling)
    tiles = cost.tiles[16, 16]
    assert tiles == len(tiling.at((16, 16)))
    a, b, paste = cost.ops
    assert a.nbytes == 4 * (tiles * 36 * 3 + 5 * 27 + 5 + tiles * 16 * 5)
    assert b.nbytes == 4 * (tiles * 36 * 5 + 2 * 45 + 2 + tiles * 16 * 2)
    assert (paste.kind, paste.nbytes, paste.macs) == ("paste", 4 * 2 * 256 * 2, 0)
    assert cost.macs == a.macs + b.macs == tiles * 16 * (5 * 27 + 2 * 45)


def test_a_depthwise_convolution_reads_and_writes_every_value_once() -> None:
    depthwise = nn.Conv2d(3, 3, 5, padding=2, groups=3)
    lowered = lowered_of(Net((16, 16, 3), lambda m, x: m.d(x) + x, d=depthwise))
    (op,) = dense_cost(lowered).ops
    assert (op.layer, op.kind, op.plane, op.channels) == ("d", "depthwise", (16, 16), (3, 3))
    assert op.macs == 256 * 3 * 25
    assert op.nbytes == 4 * (256 * 3 + 3 * 25 + 3 + 256 * 3 + 256 * 3)


def test_a_mean_multiplies_nothing() -> None:
    lowered = lowered_of(Net((16, 16, 3), lambda m, x: m.a(nn.avg_pool2d(x)), a=conv(3, 2, 1)))
    pool, _ = dense_cost(lowered).ops
    assert (pool.macs, pool.nbytes) == (0, 4 * (256 * 3 + 64 * 3))


def test_a_transposed_convolution_multiplies_each_pixel_it_reads_once() -> None:
    lowered = lowered_of(Net((16, 16, 3), lambda m, x: m.t(x), t=nn.ConvTranspose2d(3, 5)))
    (op,) = dense_cost(lowered).ops
    assert (op.plane, op.macs) == ((32, 32), 256 * 9 * 3 * 5)
    assert op.nbytes == 4 * (256 * 3 + 5 * 27 + 5 + 1024 * 5)


@pytest.mark.parametrize("upsampled", [True, False])
def test_a_modulation_is_read_where_it_is_applied(upsampled: bool) -> None:
    """By the convolution that writes the value, for its pixels; or by its reader, for the windows of its tiles."""

    def forward(m: Net, x: object) -> object:
        h = nn.upsample_nearest(m.d(x)) if upsampled else m.a(x)
        return m.b(nn.modulate(h, m.g(x)))

    lowered = lowered_of(Net((16, 16, 3), forward, a=conv(3, 4), d=conv(3, 4, 3, 2), g=conv(3, 8), b=conv(4, 2)))
    tiling = lowered.tiling(one_pixel(16, 8, 8))
    ops = {op.layer: op for op in edit_cost(lowered, tiling).ops if op.kind == "conv"}
    tiles = ops["b"].tiles
    assert tiles is not None
    fixed = 2 * 36 + 2 + tiles * 16 * 2
    if upsampled:
        assert ops["b"].nbytes == 4 * (tiles * (16 * 4 + 36 * 2 * 4) + fixed)
    else:
        assert ops["a"].nbytes == 4 * (tiles * (36 * 3 + 16 * 4 + 16 * 2 * 4) + 4 * 27 + 4)
        assert ops["b"].nbytes == 4 * (tiles * 36 * 4 + fixed)


@pytest.mark.parametrize(
    ("kernel", "stride", "upsample", "window"),
    [(1, 1, False, 4), (3, 1, False, 6), (5, 1, False, 8), (3, 2, False, 9), (3, 1, True, 4), (1, 1, True, 2)],
)
def test_windows(kernel: int, stride: int, upsample: bool, window: int) -> None:
    def forward(m: Net, x: object) -> object:
        return m.b(nn.upsample_nearest(m.a(x)) if upsample else m.a(x))

    layers = {"a": conv(3, 4, 3, 2 if upsample else 1), "b": conv(4, 2, kernel, stride)}
    lowered = lowered_of(Net((16, 16, 3), forward, **layers))
    tiling = lowered.tiling(one_pixel(16, 8, 8))
    op = next(op for op in edit_cost(lowered, tiling).ops if op.layer == "b" and op.kind == "conv")
    assert op.tiles is not None
    assert op.nbytes == 4 * (op.tiles * (window**2 * 4 + 16 * 2) + 2 * 4 * kernel**2 + 2)


def test_an_empty_edit_costs_nothing() -> None:
    lowered = lowered_of(small())
    cost = edit_cost(lowered, lowered.tiling(np.zeros(lowered.image_size, np.bool_)))
    assert (cost.macs, cost.nbytes, cost.ops) == (0, 0, ())


def small() -> DDPMUNet:
    return DDPMUNet(DDPMConfig(image_size=32, ch=32, ch_mult=(1, 2), num_res_blocks=1, attn_resolutions=(16,)))


@given(st.data(), specs(), st.sampled_from(OUTPUTS))
def test_sums_are_the_programs(data: st.DataObject, spec: Spec, output: Output) -> None:
    lowered = lowered_of(RandomUNet(spec), output=output)
    tiling = lowered.tiling(data.draw(masks(*lowered.image_size)))
    dense, sparse = dense_cost(lowered), edit_cost(lowered, tiling)
    assert dense.macs == lowered.dense_macs and sparse.macs == lowered.macs(tiling)
    assert len(sparse.ops) == (0 if tiling.empty else len(lowered.edit.ops))
    assert all(op.nbytes > 0 for op in (*dense.ops, *sparse.ops))
    assert sparse.recorded_nbytes == dense.recorded_nbytes == sum(b.nbytes for b in lowered.recorded.values())
    assert sparse.tiles == {size: len(tiling.at(size)) for size in sparse.tiles}
    parameters = sum(int(np.prod(s)) for n in lowered.graph.nodes for s in n.param_shapes.values())
    assert sparse.weight_nbytes <= dense.weight_nbytes <= 4 * parameters


def church() -> Lowered:
    """LSUN church, as published. Its weights are never evaluated."""
    model = DDPMUNet(DDPMConfig())
    return lowered_of(model, 64, "everywhere")


@pytest.fixture(scope="module")
def church_lowered() -> Lowered:
    return church()


def blob(size: int, side: int) -> np.ndarray:
    mask = np.zeros((size, size), np.bool_)
    mask[size // 2 : size // 2 + side, size // 4 : size // 4 + side] = True
    return mask


def test_the_published_network(church_lowered: Lowered) -> None:
    cost = dense_cost(church_lowered)
    assert cost.macs == pytest.approx(248.5e9, abs=0.2e9)
    parameters = sum(int(np.prod(s)) for n in church_lowered.graph.nodes for s in n.param_shapes.values())
    assert cost.weight_nbytes == pytest.approx(4 * parameters, rel=1e-4)  # biases of a sum of convolutions are one
    assert cost.recorded_nbytes < 641 * 2**20  # what SIGE keeps
    assert {op.layer for op in cost.ops} >= {"conv_in", "down.0.block.0.conv1", "up.0.block.2.conv2", "norm_out"}


def test_larger_edits_cost_more(church_lowered: Lowered) -> None:
    costs: list[Cost] = [dense_cost(church_lowered)]
    costs += [edit_cost(church_lowered, church_lowered.tiling(blob(256, side))) for side in (100, 28, 8)]
    for larger, smaller in pairwise(costs):
        assert smaller.macs < larger.macs
        assert smaller.nbytes < larger.nbytes


def test_the_papers_edit_saves_what_the_paper_says(church_lowered: Lowered) -> None:
    """1.2 % of the pixels: 33.4 of 248 GMACs (Li et al. 2022, table 1)."""
    tiling = church_lowered.tiling(blob(256, 28))
    assert tiling.edited == pytest.approx(0.012, abs=5e-4)
    assert edit_cost(church_lowered, tiling).macs <= 33.4e9
