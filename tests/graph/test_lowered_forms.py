"""How particular networks are lowered: what is written in which form, what is recorded, what reads what."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from sige_mlx import nn
from sige_mlx.graph import program as p
from sige_mlx.graph.lowered import Lowered
from sige_mlx.graph.lowering.forms import Form
from sige_mlx.graph.policy import Output
from sige_mlx.graph.program import NONE, Kind, Program
from sige_mlx.graph.regions import Region
from sige_mlx.models.ddpm import DDPMConfig, DDPMUNet
from sige_mlx.nn import Tensor
from tests.graph.access import assert_written_before_read
from tests.graph.blocks import ReflectedBlock, SelfAttention, SpadeBlock, conv, groups_of
from tests.graph.networks import Net
from tests.policies import OUTPUTS, policy


def small(output: Output = "everywhere") -> Lowered:
    model = DDPMUNet(DDPMConfig(image_size=32, ch=32, ch_mult=(1, 2), num_res_blocks=1, attn_resolutions=(16,)))
    return Lowered.of(model, policy(32, output))


def test_a_convolution_in_tiles_writes_a_form_for_every_reader() -> None:
    """conv_in is read by down.0's norm (activated), as its residual, and by up.0's concatenation, raw and normed."""
    program = small().edit
    op = program.ops[program.names.index("conv_in")]
    assert isinstance(op, p.Conv)
    assert sorted((o.scale != NONE, o.act) for o in op.output) == [(False, 0), (True, 1), (True, 1)]


def test_blocks_that_only_their_own_tiles_read_need_no_base() -> None:
    """A residual reads no halo, so the raw value it adds is not recorded for its sake."""
    layers = {name: conv(4, 4) for name in "abc"}
    model = Net((16, 16, 4), lambda m, x: (lambda h: m.c(m.b(x) + h))(m.a(x)), **layers)
    lowered = Lowered.of(model, policy(16))
    added = next(n for n in lowered.graph.nodes if type(n.op).__name__ == "Add")
    assert {key for key in lowered.recorded if key[0] == "value"} == {("value", added.index)}


def test_recorded_statistics_are_kept_for_tiles_and_sums_for_fresh_ones() -> None:
    lowered = small()
    kinds = {key[0] for key in lowered.recorded}
    assert kinds == {"value", "scale", "shift", "moments", "gain", "sums"}
    names = {(what, lowered.graph.nodes[i].name) for what, i in lowered.recorded}
    assert ("scale", "down.0.block.0.norm1") in names
    assert ("scale", "mid.block_1.norm1") not in names  # dense, so fresh
    assert ("sums", "down.0.downsample.conv") in names  # in tiles, under a fresh norm


def test_images_of_a_batch_may_have_different_numbers_of_tiles() -> None:
    model = DDPMUNet(DDPMConfig(image_size=32, ch=32, ch_mult=(1, 2), num_res_blocks=1, attn_resolutions=()))
    mask = np.zeros((2, 32, 32), np.bool_)
    mask[0, 3:9, 4] = mask[1, 20, 20] = True
    rows = Lowered.of(model, policy(32), batch=2).tiling(mask).at((32, 32)).rows[:, 0]
    assert (rows == 0).sum() != (rows == 1).sum()


def test_a_vector_made_of_the_image_is_read_whole() -> None:
    def forward(m: Net, x: object) -> object:
        return m.b(m.a(x) + m.v2(m.v1(x)))

    model = Net((8, 8, 3), forward, a=conv(3, 5), v1=conv(3, 4, 4, 4), v2=nn.Conv2d(4, 5, 2), b=conv(5, 2))
    for output in OUTPUTS:
        program = Lowered.of(model, policy(2, output), tile=2).edit
        assert_written_before_read(program)
        assert [op.vec != NONE for op in program.ops if isinstance(op, p.Conv)].count(True) == 1


def test_planes_that_are_no_halving_of_the_image_are_computed_whole() -> None:
    """Such as those of a network without padding, or of one that enlarges its picture."""
    layers = {"a": conv(3, 4), "b": nn.Conv2d(4, 4, 3), "t": nn.ConvTranspose2d(4, 3)}
    lowered = Lowered.of(Net((18, 16, 3), lambda m, x: m.t(m.b(m.a(x))), **layers), policy(8, "tiles"))
    assert {lowered.graph.nodes[v].name: r for v, r in lowered.regions.of.items()} == {
        "Input": Region.DENSE,
        "a": Region.TILES,
        "b": Region.DENSE,
        "t": Region.DENSE,
    }
    assert lowered.planes == [(18, 16)] and op_of(lowered.edit, "b").source[0].x.blocks != NONE


def test_the_same_network_lowers_to_the_same_program() -> None:
    assert small().edit == small().edit and small().recording == small().recording


# ---- modulation


def lowered_of(
    forward: Callable[..., Tensor], tiles_from: int = 16, time: bool = False, output: Output = "tiles", **layers: Any
) -> Lowered:
    return Lowered.of(Net((16, 16, 4), forward, time, **layers), policy(tiles_from, output))


def op_of(program: Program, layer: str) -> Any:
    return program.ops[program.names.index(layer)]


def recorded_names(lowered: Lowered) -> set[tuple[str, str]]:
    """What is recorded, and of which layer."""
    nodes = lowered.graph.nodes
    return {("ready" if isinstance(what, Form) else what, nodes[i].name) for what, i in lowered.recorded}


def spade_block(i: int, o: int, upsampled: bool, separable: bool = False) -> Lowered:
    """Around it convolutions, so that it reads and writes tiles."""

    def forward(m: Any, x: Tensor) -> Tensor:
        h = nn.upsample_nearest(m.d(m.a(x))) if upsampled else m.a(x)
        return m.c(nn.leaky_relu(m.block(h, x)))

    block = SpadeBlock(i, o, 4, separable)
    return lowered_of(forward, 8, a=conv(4, i), d=conv(i, i, 3, 2), block=block, c=conv(o, 3))


def test_what_can_be_is_written_modulated_and_recorded_so() -> None:
    """Nobody then reads a modulation at halo pixels, so none is recorded; what it is made of is."""
    lowered = spade_block(6, 9, upsampled=False)
    names = recorded_names(lowered)
    assert {name for what, name in names if what == "ready"} == {"a", "block.conv_0"}
    assert ("value", "block.norm_0.shared") in names and ("value", "block.norm_1.shared") in names
    assert not any("gamma_beta" in name for _, name in names)
    program = lowered.edit
    (modulated,) = op_of(program, "block.conv_0").output
    assert modulated.act == 3 and modulated.stride == 0 and modulated.scale != NONE
    assert (modulated.mod.gamma_first, modulated.mod.beta_first) == (0, 6)
    assert modulated.mod.gamma == modulated.mod.beta and modulated.mod.gamma.base == NONE
    ready = next(s for s in op_of(program, "block.conv_1").source if s.kh == 3)
    assert (ready.scale, ready.act, ready.mod) == (NONE, 0, None) and ready.x.base != NONE


def test_an_upsampled_value_is_modulated_by_its_readers() -> None:
    """They need the modulation around their tiles; the shortcut, a 1x1 convolution, does not."""
    lowered = spade_block(6, 9, upsampled=True)
    names = recorded_names(lowered)
    assert ("value", "block.norm_0.gamma_beta") in names and ("value", "block.norm_s.gamma_beta") not in names
    assert {name for what, name in names if what == "ready"} == {"block.conv_0"}
    program = lowered.edit
    (read,) = op_of(program, "block.conv_0").source
    assert (read.resample, read.act) == (1, 3) and read.scale != NONE and read.mod.gamma.base != NONE
    assert (read.mod.gamma.h, read.x.h) == (16, 8)
    shortcut = next(s for s in op_of(program, "block.conv_1").source if s.kh == 1)
    assert shortcut.resample == 1 and shortcut.mod.gamma.base == NONE
    assert [o.scale for o in op_of(program, "d").output] == [NONE]


def test_an_upsampled_value_may_be_the_shortcut() -> None:
    lowered = spade_block(6, 6, upsampled=True)
    op = op_of(lowered.edit, "block.conv_1")
    assert (op.residual_resample, op.residual.h) == (1, 8) and op.residual.base != NONE


def test_gamma_and_beta_of_separable_convolutions_are_two_values() -> None:
    """Their depthwise values are read in their own tiles only, normalised where they are written: not recorded."""
    lowered = spade_block(6, 6, upsampled=False, separable=True)
    names = recorded_names(lowered)
    assert not any(what == "value" and "depthwise" in name for what, name in names)
    assert ("scale", "InstanceNorm") in names and ("value", "block.norm_0.shared") in names
    program = lowered.edit
    (modulated,) = op_of(program, "block.conv_0").output
    assert modulated.mod.gamma.blocks != modulated.mod.beta.blocks
    assert (modulated.mod.gamma_first, modulated.mod.beta_first) == (0, 0)
    depthwise = op_of(program, "block.norm_1.gamma.depthwise")
    assert depthwise.source.act == 2 and depthwise.source.x.base != NONE and depthwise.output[0].scale != NONE


def test_a_value_in_tiles_with_a_dense_modulation_is_modulated_by_its_readers() -> None:
    """Where the tiles end, a dense modulation has moved though the value has not."""

    def forward(m: Any, x: Tensor) -> Tensor:
        h = nn.modulate(m.n(m.d(x)), m.g(nn.downsample_nearest(x, 2)))
        return m.c(nn.upsample_nearest(m.b(h)))

    layers = {"d": conv(4, 4, 3, 2), "n": nn.BatchNorm(4), "g": conv(4, 8), "b": conv(4, 4), "c": conv(4, 3)}
    lowered = lowered_of(forward, **layers)
    program = lowered.edit
    assert op_of(program, "b").source[0].mod is not None and op_of(program, "g").out.list == NONE
    assert all(o.mod is None for o in op_of(program, "d").output)
    assert op_of(lowered.dense, "d").output[0].mod is not None


def test_film_is_composed_into_the_recorded_norm() -> None:
    def forward(m: Any, x: Tensor, t: Tensor) -> Tensor:
        return m.b(nn.silu(nn.modulate(m.n(m.a(x)), m.f(nn.log_snr_embedding(t, 8)))))

    layers = {"a": conv(4, 6), "n": nn.GroupNorm(groups_of(6), 6), "f": nn.Linear(8, 12), "b": conv(6, 3)}
    lowered = lowered_of(lambda m, x, t: m.c(forward(m, x, t)), time=True, **layers, c=conv(3, 3))
    norm = op_of(lowered.recording, "n")
    assert norm.mod != NONE
    modulate = next(n for n in lowered.graph.nodes if type(n.op).__name__ == "Modulate")
    assert lowered.recording.buffers[norm.scale].key == ("scale", modulate.index)
    program = lowered.edit
    assert not any(isinstance(op, p.Norm) for op in program.ops)
    assert op_of(program, "b").source[0].scale != NONE
    (embedding,) = lowered.embeddings
    assert (embedding.input, embedding.op.of) == ("t", "log_snr")
    assert any(b.kind is Kind.INPUT and b.key == embedding for b in lowered.dense.buffers)


# ---- other forms


def test_a_batch_norm_is_folded_once_for_all() -> None:
    lowered = lowered_of(lambda m, x: m.b(nn.relu(m.n(m.a(x)))), a=conv(4, 6), n=nn.BatchNorm(6), b=conv(6, 3))
    (source,) = op_of(lowered.dense, "b").source
    slots = [lowered.dense.buffers[s] for s in (source.scale, source.shift)]
    assert [s.kind for s in slots] == [Kind.FOLDED] * 2 and source.stride_affine == 0
    assert {what for what, _ in recorded_names(lowered)} == {"value"}


def test_what_is_added_to_a_norm_is_a_pass_over_tiles() -> None:
    """The convolution writes its tiles normalised; read in the same tiles, it is not recorded."""
    lowered = lowered_of(lambda m, x: m.c(m.r(m.a(x))), a=conv(4, 6), r=ReflectedBlock(6), c=conv(6, 3))
    assert ("value", "r.conv2") not in recorded_names(lowered)
    program = lowered.edit
    added = op_of(program, "Add")
    assert isinstance(added, p.Depthwise) and added.weight == NONE and added.residual is not None
    assert added.out.list != NONE and added.source.x.base == NONE
    assert op_of(program, "r.conv2").source[0].pad_mode == 1


def test_transposed_convolutions_read_zeros_between_pixels() -> None:
    layers = {"d": conv(4, 6, 3, 2), "t": nn.ConvTranspose2d(6, 5), "c": conv(5, 3)}
    lowered = lowered_of(lambda m, x: m.c(m.t(nn.relu(m.d(x)))), **layers)
    op = op_of(lowered.dense, "t")
    (source,) = op.source
    assert (source.zeros, source.resample, source.pad_top, source.act) == (1, 1, 1, 2)
    assert op.work({}).macs == 8 * 8 * 9 * 6 * 5


def test_tiles_attend_to_the_pasted_image() -> None:
    """Only the attention's own tiles ask."""
    lowered = lowered_of(lambda m, x: m.c(m.s(m.a(x))), a=conv(4, 6), s=SelfAttention(6, 2), c=conv(6, 3))
    program = lowered.edit
    attention = op_of(program, "Attention")
    assert attention.out.list != NONE and (attention.keys, attention.heads) == (256, 2)
    dst = program.buffers[attention.dst]
    assert (dst.tiles, dst.shape) == ((16, 16), (4, 4, 6))
    pasted = [op.dst for op in program.ops if isinstance(op, p.Paste)]
    assert attention.k in pasted and attention.q not in pasted
    assert program.buffers[attention.v].key == (attention.k, 6), "they are pasted together"
    assert (attention.q_stride, attention.k_stride, attention.v_stride) == (6, 12, 12)
    assert ("value", "Attention") not in recorded_names(lowered)


@pytest.mark.parametrize("output", OUTPUTS)
def test_the_outputs_activation_is_written_with_it(output: Output) -> None:
    program = lowered_of(lambda m, x: nn.tanh(m.b(m.a(x))), output=output, a=conv(4, 6), b=conv(6, 3)).edit
    op = op_of(program, "b")
    assert op.output[0].act == 4 and (op.out.list == NONE) == (output == "everywhere")
    last = program.ops[-1]
    slot = last.dst if isinstance(last, p.Paste) else op.output[0].dst
    assert program.buffers[slot].kind is Kind.OUTPUT


def test_label_maps_are_read_from_the_image() -> None:
    lowered = lowered_of(
        lambda m, x: m.c(m.d(m.a(x)) + m.b(nn.downsample_nearest(x, 2))),
        a=conv(4, 6),
        d=conv(6, 5, 3, 2),
        b=conv(4, 5),
        c=conv(5, 3),
    )
    op = op_of(lowered.edit, "d")
    labels = next(s for s in op.source if s.resample)
    assert (labels.resample, labels.x.h, labels.x.blocks) == (-1, 16, NONE) and op.out.h == 8
