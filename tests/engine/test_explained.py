"""How convolutions are computed, told without running them: against what is known of their shapes and of the ABI."""

from __future__ import annotations

import dataclasses

import pytest

from sige_mlx import zoo
from sige_mlx.benchmark.blob import blob_mask
from sige_mlx.engine.native.explained import FILTERS, METHODS, Explained, Limits, explain, measured
from sige_mlx.engine.native.library import header
from sige_mlx.graph.lowered import Lowered
from sige_mlx.graph.program import NONE, Conv, Depthwise


def lowered(model: str) -> Lowered:
    network = zoo.network(model)
    return Lowered.of(network.model, network.policy())


@pytest.fixture(scope="module")
def ddpm() -> Lowered:
    return lowered("ddpm-church-256")


def test_methods_and_filters_are_those_of_the_header() -> None:
    constants = header().constants
    assert constants["SIGE_METHODS"] == len(METHODS)
    for i, name in enumerate(("DIRECT", "PHASES", "WINOGRAD_2", "WINOGRAD_4", "WINOGRAD_UP")):
        assert constants[f"SIGE_{name}"] == i
    for i, name in enumerate(("PACKED", "SHARED", "IN_CACHE", "IN_REGISTERS")):
        assert constants[f"SIGE_{name}"] == i
    assert len(FILTERS) == 4


def test_every_convolution_is_explained(ddpm: Lowered) -> None:
    dense = explain(ddpm.dense, None)
    assert [c.op for c in dense] == [i for i, op in enumerate(ddpm.dense.ops) if isinstance(op, Conv)]
    assert sum(c.macs for c in dense) == pytest.approx(248.4e9, rel=2e-3)  # attention apart


def test_multiplications_left_are_those_of_the_method(ddpm: Lowered) -> None:
    """A plane of 256 pixels a side, 128 channels in and out: F(4x4, 3x3) needs a quarter, 36 for 16 pixels' 144."""
    plain = [c for c in explain(ddpm.dense, None) if c.plane == (256, 256) and c.channels == (128, 128)]
    assert plain
    for c in plain:
        assert c.macs == 256 * 256 * 128 * 128 * 9
        if c.method == "F(4x4, 3x3)":
            assert 4 * c.macs_left == c.macs
            assert c.filters in FILTERS
    assert any(c.method == "F(4x4, 3x3)" for c in plain)
    for c in explain(ddpm.dense, None):
        if c.method == "direct":
            assert c.macs_left >= c.macs
            assert c.filters is None


def test_an_edit_s_convolutions_are_those_of_its_tiles(ddpm: Lowered) -> None:
    network = zoo.network("ddpm-church-256")
    tiling = ddpm.tiling(blob_mask(ddpm.image_size, 1.2, network.edit.dilation))
    found = explain(ddpm.edit_of(tiling), tiling)
    assert sum(c.macs for c in found) < 0.1 * sum(c.macs for c in explain(ddpm.dense, None))
    assert {c.tiles for c in found if c.plane == (256, 256)} == {len(tiling.at((256, 256)))}


def test_depthwise_ones_are_among_them() -> None:
    of = lowered("gan-compression-cityscapes")
    found = explain(of.dense, None)
    means = [i for i, op in enumerate(of.dense.ops) if isinstance(op, Depthwise) and op.weight == NONE]
    convolutions = [i for i, op in enumerate(of.dense.ops) if isinstance(op, Conv | Depthwise) and i not in means]
    assert [c.op for c in found] == convolutions
    by_channel = [c for c in found if c.method == "depthwise"]
    assert by_channel
    assert all(c.macs == c.macs_left and c.chunks is None for c in by_channel)


ONE = Explained(0, "a", (4, 4), (8, 8), None, "direct", None, 1, 9216, 9216, 2304, 3328)


@pytest.mark.parametrize(
    ("limits", "bound", "seconds"), [(Limits(18432.0, 1e9), "FMA", 1.0), (Limits(1e9, 1664.0), "memory", 2.0)]
)
def test_the_longer_time_is_the_bound(limits: Limits, bound: str, seconds: float) -> None:
    assert ONE.bound(limits) == bound
    assert ONE.seconds(limits) == seconds


def test_an_op_without_bytes_is_bound_by_multiplications() -> None:
    assert dataclasses.replace(ONE, nbytes=0).bound(Limits(1.0, 1.0)) == "FMA"


def test_the_machine_is_measured() -> None:
    limits = measured(1)
    assert 1e8 < limits.flops < 1e12
    assert 1e8 < limits.bandwidth < 1e12
