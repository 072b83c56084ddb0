"""What holds of every lowered program, on random networks and edits."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sige_mlx import nn
from sige_mlx.errors import SigeError
from sige_mlx.graph import program as p
from sige_mlx.graph.lowering import EditLowering
from sige_mlx.graph.plan import Edit, Plan
from sige_mlx.graph.program import NONE, Kind, Program
from sige_mlx.graph.regions import Region, regions
from sige_mlx.graph.tiling import tiling
from sige_mlx.graph.trace import trace
from sige_mlx.models.ddpm import DDPMConfig, DDPMUNet
from tests.graph.access import access
from tests.graph.blocks import conv
from tests.graph.networks import Net, RandomUNet, masks, specs

WRITABLE = {Kind.SCRATCH, Kind.OUTPUT}


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    model = RandomUNet(draw(specs()))
    graph = trace(model, model.inputs(draw(st.sampled_from([1, 2]))))
    return Plan(graph, threshold=draw(st.sampled_from([1, 5, 8, 12, 21])), tile=draw(st.sampled_from([2, 3, 4, 8])))


@st.composite
def edits(draw: st.DrawFn) -> tuple[Plan, Edit]:
    plan = draw(plans())
    return plan, plan.edit(draw(masks(*plan.image_size)), everywhere=draw(st.booleans()))


def assert_written_before_read(program: Program) -> None:
    written: set[int] = set()
    for op, name in zip(program.ops, program.names, strict=True):
        touched = access(program, op)
        for slot in touched.reads:
            if program.slots[slot].kind in WRITABLE:
                assert slot in written, f"{name} reads slot {slot}, which nobody has written"
        assert not touched.reads & touched.writes
        written |= touched.writes
    assert {s.kind for i, s in enumerate(program.slots) if i in written} <= WRITABLE | {Kind.RECORDED}
    outputs = [i for i, s in enumerate(program.slots) if s.kind is Kind.OUTPUT]
    assert len(outputs) == 1 and outputs[0] in written


@given(plans())
def test_dense_programs_write_before_they_read(plan: Plan) -> None:
    assert_written_before_read(plan.dense)
    assert not plan.dense.recorded
    assert_written_before_read(plan.recording)


@given(edits())
def test_edits_write_before_they_read(edit: tuple[Plan, Edit]) -> None:
    assert_written_before_read(edit[1].program)


@given(edits())
def test_edits_write_nothing_recorded_and_no_input(edit: tuple[Plan, Edit]) -> None:
    program = edit[1].program
    for op in program.ops:
        assert {program.slots[slot].kind for slot in access(program, op).writes} <= WRITABLE


@given(edits())
def test_what_an_edit_reads_was_recorded(edit: tuple[Plan, Edit]) -> None:
    plan, lowered = edit
    recorded = {**plan.recording.recorded, ("value", plan.graph.output): None}
    for key, slot in lowered.program.recorded.items():
        assert key in recorded
        assert recorded[key] is None or recorded[key].shape == slot.shape
    written = {s for op in plan.recording.ops for s in access(plan.recording, op).writes}
    assert all(i in written for i, s in enumerate(plan.recording.slots) if s.kind is Kind.RECORDED)


@given(edits())
def test_edits_copy_no_tiled_activation(edit: tuple[Plan, Edit]) -> None:
    """Where tiles are, an edit writes blocks, never planes. Planes are pasted for attention, which sees all pixels, and
    for an output in tiles; per-tile sums, an eighth of a plane with tiles of 4, for fresh statistics."""
    plan, lowered = edit
    program = lowered.program
    attended = {i for node in plan.graph.nodes if type(node.op).__name__ == "Attention" for i in node.inputs}
    pasted = sum(
        isinstance(op, p.Paste) and op.x.tile == plan.tile and program.slots[op.dst].kind is Kind.SCRATCH
        for op in program.ops
    )
    assert pasted <= len(attended)
    for op in program.ops:
        if isinstance(op, p.Conv | p.Depthwise) and op.out.list != NONE:
            c = op.c_out if isinstance(op, p.Conv) else op.c
            blocks = [program.slots[o.dst] for o in op.output]
            assert all(s.shape == (op.out.tiles, plan.tile, plan.tile, c) for s in blocks)
            assert op.sums == NONE or program.slots[op.sums].shape == (op.out.tiles, 2, c)


@given(edits())
def test_tiles_are_read_with_the_grid_of_their_plane(edit: tuple[Plan, Edit]) -> None:
    plan, lowered = edit
    program = lowered.program
    for op in program.ops:
        tensors = [s.x for s in op.source] + ([op.residual] if op.residual else []) if isinstance(op, p.Conv) else []
        for x in tensors:
            assert (x.blocks == NONE) == (x.grid == NONE)
            if x.blocks != NONE:
                tiles = lowered.tiling.at((x.h, x.w))
                assert program.slots[x.grid].key == (x.h, x.w)
                assert program.slots[x.blocks].shape == (len(tiles), plan.tile, plan.tile, x.c)


@given(plans())
def test_an_edit_of_everything_costs_the_dense_pass(plan: Plan) -> None:
    """Up to the layers that do not see the image, and pixels that the last tiles have beyond it."""
    edit = plan.edit(np.ones(plan.image_size, np.bool_))
    fixed = sum(plan.graph.macs(n) for n in plan.graph.nodes if edit.regions.of[n.index] is Region.FIXED)
    assert plan.dense.macs == sum(plan.graph.macs(n) for n in plan.graph.nodes)
    fits = all(
        side % plan.tile == 0 for n in plan.graph.nodes if len(n.shape) == 4 for side in n.shape[1:3] if side > 1
    )
    if fits:
        assert edit.macs == plan.dense.macs - fixed
    else:
        assert edit.macs >= plan.dense.macs - fixed


@given(edits())
def test_macs_of_an_edit_are_those_of_its_tiles(edit: tuple[Plan, Edit]) -> None:
    plan, lowered = edit
    expected = 0
    for node in plan.graph.nodes:
        region = lowered.regions.of[node.index]
        if region is Region.DENSE:
            expected += plan.graph.macs(node)
        elif region is Region.TILES and (dense := plan.graph.macs(node)):
            b, h, w, _ = node.shape
            expected += dense * len(lowered.tiling.at((h, w))) * plan.tile**2 // (b * h * w)
    assert lowered.macs == expected


# ---- particular forms


def small() -> Plan:
    model = DDPMUNet(DDPMConfig(image_size=32, ch=32, ch_mult=(1, 2), num_res_blocks=1, attn_resolutions=(16,)))
    return Plan(trace(model, model.inputs()), threshold=32)


def test_a_convolution_in_tiles_writes_a_form_for_every_reader() -> None:
    """conv_in is read by down.0's norm (activated), as its residual, and by up.0's concatenation, raw and normed."""
    plan = small()
    program = plan.edit(np.eye(32, dtype=np.bool_)).program
    op = program.ops[program.names.index("conv_in")]
    assert isinstance(op, p.Conv)
    assert sorted((o.scale != NONE, o.act) for o in op.output) == [(False, 0), (True, 1), (True, 1)]


def test_blocks_that_only_their_own_tiles_read_need_no_base() -> None:
    """A residual reads no halo, so the raw value it adds is not recorded for its sake."""
    layers = {name: conv(4, 4) for name in "abc"}
    model = Net((16, 16, 4), lambda m, x: (lambda h: m.c(m.b(x) + h))(m.a(x)), **layers)
    plan = Plan(trace(model, model.inputs()), threshold=16)
    added = next(n for n in plan.graph.nodes if type(n.op).__name__ == "Add")
    assert {key for key in plan.recording.recorded if key[0] == "value"} == {("value", added.index)}


def test_recorded_statistics_are_kept_for_tiles_and_sums_for_fresh_ones() -> None:
    plan = small()
    kinds = {key[0] for key in plan.recording.recorded}
    assert kinds == {"value", "scale", "shift", "sums"}
    names = {(what, plan.graph.nodes[i].name) for what, i in plan.recording.recorded}
    assert ("scale", "down.0.block.0.norm1") in names
    assert ("scale", "mid.block_1.norm1") not in names  # dense, so fresh
    assert ("sums", "down.0.downsample.conv") in names  # in tiles, under a fresh norm


def test_empty_edits_lower_to_programs_that_compute_nothing_in_tiles() -> None:
    plan = small()
    edit = plan.edit(np.zeros((32, 32), np.bool_))
    assert edit.macs == 0
    assert_written_before_read(edit.program)
    assert all(op.out.tiles == 0 for op in edit.program.ops if isinstance(op, p.Conv) and op.out.list != NONE)


def test_images_of_a_batch_may_have_different_numbers_of_tiles() -> None:
    model = DDPMUNet(DDPMConfig(image_size=32, ch=32, ch_mult=(1, 2), num_res_blocks=1, attn_resolutions=()))
    plan = Plan(trace(model, model.inputs(2)), threshold=32)
    mask = np.zeros((2, 32, 32), np.bool_)
    mask[0, 3:9, 4] = mask[1, 20, 20] = True
    rows = plan.edit(mask).tiling.at((32, 32)).rows[:, 0]
    assert (rows == 0).sum() != (rows == 1).sum()
    assert_written_before_read(plan.edit(mask).program)


def test_a_vector_made_of_the_image_is_read_whole() -> None:
    def forward(m: Net, x: object) -> object:
        return m.b(m.a(x) + m.v2(m.v1(x)))

    model = Net((8, 8, 3), forward, a=conv(3, 5), v1=conv(3, 4, 4, 4), v2=nn.Conv2d(4, 5, 2), b=conv(5, 2))
    plan = Plan(trace(model, model.inputs()), threshold=2, tile=2)
    for everywhere in (True, False):
        program = plan.edit(np.ones((8, 8), np.bool_), everywhere).program
        assert_written_before_read(program)
        assert [op.vec != NONE for op in program.ops if isinstance(op, p.Conv)].count(True) == 1


@pytest.mark.parametrize("everywhere", [True, False])
def test_a_convolution_and_the_addition_that_absorbs_it_are_in_one_region(everywhere: bool) -> None:
    """Executors that fuse them could not tell them apart, so the reference must not either."""
    layers = {"a": conv(4, 4), "b": conv(4, 4), "d": conv(4, 4, 3, 2), "e": conv(4, 4, 3, 2), "c": conv(4, 4)}
    model = Net((16, 16, 4), lambda m, x: m.c(nn.upsample_nearest(m.d(m.a(x)) + m.e(x))) + m.b(x), **layers)
    graph = trace(model, model.inputs())
    of = regions(graph, 16, everywhere).of
    for node in graph.nodes:
        if type(node.op).__name__ == "Add":
            assert {of[i] for i in node.inputs} == {of[node.index]}


def test_planes_that_are_no_halving_of_the_image_are_refused() -> None:
    model = Net((18, 16, 3), lambda m, x: m.b(m.a(x)), a=nn.Conv2d(3, 4, 3), b=conv(4, 4))
    plan = Plan(trace(model, model.inputs()), threshold=8)
    with pytest.raises(SigeError, match=r"^a plane of 16x14 is no halving of the 18x16 image"):
        _ = plan.edit(np.ones((18, 16), np.bool_)).program


def test_the_same_edit_lowers_to_the_same_program() -> None:
    plan = small()
    mask = np.eye(32, dtype=np.bool_)
    first, second = plan.edit(mask).program, plan.edit(mask).program
    assert first == second
    assert EditLowering(plan.graph, plan.fused, 4, regions(plan.graph, 32)).lower().on(tiling(mask)) == first
