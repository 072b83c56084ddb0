"""What holds of every lowered program, on random networks and edits."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sige_mlx.graph import program as p
from sige_mlx.graph.lowered import Lowered
from sige_mlx.graph.program import NONE, Kind
from sige_mlx.graph.tiling import Tiling
from tests.graph.access import WRITABLE, access, assert_written_before_read
from tests.graph.networks import RandomUNet, masks, specs
from tests.policies import OUTPUTS, policy


@st.composite
def networks(draw: st.DrawFn) -> Lowered:
    model = RandomUNet(draw(specs()))
    of = policy(draw(st.sampled_from([1, 5, 8, 12, 21])), draw(st.sampled_from(OUTPUTS)))
    return Lowered.of(model, of, draw(st.sampled_from([1, 2])), draw(st.sampled_from([2, 3, 4, 8])))


@st.composite
def edits(draw: st.DrawFn) -> tuple[Lowered, Tiling]:
    lowered = draw(networks())
    return lowered, lowered.tiling(draw(masks(*lowered.image_size)))


@given(networks())
def test_programs_write_before_they_read(lowered: Lowered) -> None:
    assert not lowered.dense.recorded
    for program in (lowered.dense, lowered.recording, lowered.edit):
        assert_written_before_read(program)


@given(networks())
def test_edits_write_nothing_recorded_and_no_input(lowered: Lowered) -> None:
    program = lowered.edit
    for op in program.ops:
        assert {program.buffers[slot].kind for slot in access(program, op).writes} <= WRITABLE


@given(networks())
def test_what_an_edit_reads_was_recorded(lowered: Lowered) -> None:
    recording = lowered.recording
    recorded = {**recording.recorded, ("value", lowered.graph.output): None}
    for key, buffer in lowered.edit.recorded.items():
        assert key in recorded
        assert recorded[key] is None or recorded[key].shape == buffer.shape
    written = {s for op in recording.ops for s in access(recording, op).writes}
    assert all(i in written for i, b in enumerate(recording.buffers) if b.kind is Kind.RECORDED)


@given(networks())
def test_edits_copy_no_tiled_activation(lowered: Lowered) -> None:
    """Where tiles are, an edit writes blocks, never planes. Planes are pasted for attention, which sees all pixels, and
    for an output in tiles; per-tile sums, an eighth of a plane with tiles of 4, for fresh statistics."""
    program, tile = lowered.edit, lowered.tile
    attended = {i for node in lowered.graph.nodes if type(node.op).__name__ == "Attention" for i in node.inputs}
    pasted = sum(
        isinstance(op, p.Paste) and op.x.tile == tile and program.buffers[op.dst].kind is Kind.SCRATCH
        for op in program.ops
    )
    assert pasted <= len(attended)
    for op in program.ops:
        if isinstance(op, p.Conv | p.Depthwise) and op.out.list != NONE:
            c = op.c_out if isinstance(op, p.Conv) else op.c
            plane = op.out.h, op.out.w
            blocks = [program.buffers[o.dst] for o in op.output]
            assert all((b.tiles, b.shape) == (plane, (tile, tile, c)) for b in blocks)
            assert op.sums == NONE or program.buffers[op.sums].shape == (2, c)


@given(networks())
def test_tiles_are_read_with_the_grid_of_their_plane(lowered: Lowered) -> None:
    program = lowered.edit
    for op in program.ops:
        tensors = [s.x for s in op.source] + ([op.residual] if op.residual else []) if isinstance(op, p.Conv) else []
        for x in tensors:
            assert (x.blocks == NONE) == (x.grid == NONE)
            if x.blocks != NONE:
                assert program.buffers[x.grid].key == program.buffers[x.blocks].tiles == (x.h, x.w)
                assert program.buffers[x.blocks].shape == (lowered.tile, lowered.tile, x.c)


@given(networks())
def test_an_edit_of_everything_costs_the_dense_pass(lowered: Lowered) -> None:
    """Up to the layers that do not see the image, and pixels that the last tiles have beyond it."""
    graph, tiling = lowered.graph, lowered.tiling(np.ones(lowered.image_size, np.bool_))
    seen = graph.sees_image()
    fixed = sum(graph.macs(n) for n in graph.nodes if not seen[n.index])
    assert lowered.dense.macs({}) == lowered.dense_macs
    sides = [side for n in graph.nodes if len(n.shape) == 4 for side in n.shape[1:3] if side > 1]
    if all(side % lowered.tile == 0 for side in sides):
        assert lowered.macs(tiling) == lowered.dense_macs - fixed
    else:
        assert lowered.macs(tiling) >= lowered.dense_macs - fixed


@given(edits())
def test_macs_of_an_edit_are_those_of_its_program(edit: tuple[Lowered, Tiling]) -> None:
    lowered, tiling = edit
    assert lowered.macs(tiling) == (0 if tiling.empty else lowered.edit.macs(tiling.counts))
