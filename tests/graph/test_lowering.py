"""What holds of every lowered program, on random networks and edits."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sige_mlx.graph import program as p
from sige_mlx.graph.plan import Edit, Plan
from sige_mlx.graph.program import NONE, Kind
from sige_mlx.graph.regions import Region
from sige_mlx.graph.trace import trace
from tests.graph.access import WRITABLE, access, assert_written_before_read
from tests.graph.networks import RandomUNet, masks, specs


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    model = RandomUNet(draw(specs()))
    graph = trace(model, model.inputs(draw(st.sampled_from([1, 2]))))
    return Plan(graph, threshold=draw(st.sampled_from([1, 5, 8, 12, 21])), tile=draw(st.sampled_from([2, 3, 4, 8])))


@st.composite
def edits(draw: st.DrawFn) -> tuple[Plan, Edit]:
    plan = draw(plans())
    return plan, plan.edit(draw(masks(*plan.image_size)), everywhere=draw(st.booleans()))


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
