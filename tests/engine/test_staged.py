"""Windows of planes as programs: what they compute, what they keep, and what they cost."""

from __future__ import annotations

import mlx.core as mx
import mlx.nn
import numpy as np
import pytest

from benchmarks.simulated.device import Simulated
from sige_mlx.engine.cells import Window
from sige_mlx.engine.gpu.compiled import Compiled
from sige_mlx.engine.gpu.launch import use
from sige_mlx.engine.staged import StagedNetwork
from sige_mlx.errors import SigeError
from sige_mlx.models.kl_autoencoder import KLAutoencoderConfig, KLDecoder, KLEncoder
from sige_mlx.models.taesd import TinyAutoencoderConfig, TinyDecoder, TinyEncoder
from sige_mlx.models.unet import AttnBlock
from sige_mlx.nn import Conv2d, GroupNorm, concat, silu, upsample_nearest
from sige_mlx.nn.ops import GroupNorm as GroupNormOp
from tests.engine.windows_by_mlx import graph_of, planes, windowed

KL = KLAutoencoderConfig((32, 48), latent_channels=4, ch=32, ch_mult=(1, 2), num_res_blocks=1)
TINY = TinyAutoencoderConfig((96, 128), latent_channels=4, width=8)
NETWORKS = {
    "KL decoder": lambda: KLDecoder(KL),
    "KL encoder": lambda: KLEncoder(KL),
    "TAEF2's decoder": lambda: TinyDecoder(TINY),
    "TAEF2's encoder": lambda: TinyEncoder(TINY),
}
NO_NORMS = TinyAutoencoderConfig((64, 96), latent_channels=4, width=8, pooled=False)


def made(name: str) -> mlx.nn.Module:
    mx.random.seed(1)
    network = NETWORKS[name]()
    mx.eval(network.parameters())
    return network


def shape_of(network: mlx.nn.Module) -> tuple[int, ...]:
    (shape,) = network.inputs().values()
    return shape


def inputs(network: mlx.nn.Module, seed: int) -> mx.array:
    return mx.random.normal(shape_of(network), key=mx.random.key(seed))


def span(start: int, stop: int, first: int, last: int, cell: int) -> tuple[slice, slice]:
    return slice(start * cell, stop * cell), slice(first * cell, last * cell)


def window_of(network: StagedNetwork, rows: tuple[int, ...], columns: tuple[int, ...]) -> Window:
    (tall, inner_tall), (wide, inner_wide) = (span(*of, network.cell) for of in (rows, columns))
    return Window(tall, wide, inner_tall, inner_wide)


def close(found: mx.array, wanted: mx.array) -> bool:
    return float(mx.abs(found - wanted).max()) <= 1e-5 * max(1.0, float(mx.abs(wanted).max()))


def agree(network: mlx.nn.Module, device: str, follow: bool = True) -> None:
    staged = StagedNetwork(network, device)
    first, second = inputs(network, 2), 2 * inputs(network, 3)
    output, kept = staged.whole(first)
    every = planes(network, first)
    assert close(output, every[-1])
    cells = [n // staged.cell for n in first.shape[1:3]]
    window = window_of(staged, (0, min(2, cells[0]), 0, 1), (1, 3, 1, 2))
    found, told = staged.window(second, window, kept, follow)
    wanted, after = windowed(network, every, second, window, follow)
    assert float(mx.abs(wanted).max()) > 1e-2
    assert close(found, wanted)
    assert told.nbytes == kept.nbytes
    graph, moments = graph_of(network, first.shape), [*told.moments.values()]
    norms = [node for node in graph.nodes if isinstance(node.op, GroupNormOp)]
    assert len(moments) == len(norms)
    for has, node in zip(moments, norms, strict=True):
        of_planes = node.op.moments(after[node.inputs[0]])
        assert np.allclose(has, np.asarray(of_planes), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("follow", [True, False])
def test_a_window_is_what_its_operations_make_of_it(name: str, follow: bool) -> None:
    agree(made(name), "cpu", follow)


@pytest.mark.parametrize("name", ["KL decoder", "TAEF2's decoder"])
@pytest.mark.parametrize("size", [(14, 18), (9, 7)])
def test_planes_need_be_no_whole_cells(name: str, size: tuple[int, int]) -> None:
    network = made(name)
    staged = StagedNetwork(network, "cpu")
    first, second = (mx.random.normal((1, *size, 4), key=mx.random.key(seed)) for seed in (2, 3))
    _, kept = staged.whole(first)
    rows, columns = (slice(4, size[0]), slice(0, size[1]))
    window = Window(rows, columns, slice(8, size[0]), columns)
    found, told = staged.window(second, window, kept)
    wanted, _ = windowed(network, planes(network, first), second, window)
    assert close(found, wanted)
    again, _ = staged.window(second, window, told)
    assert float(mx.abs(again - found).max()) <= 1e-5 * float(mx.abs(found).max())


def test_what_is_upsampled_before_it_is_normalised_has_the_sums_of_what_it_was() -> None:
    class Upsampling(mlx.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.norm, self.last = Conv2d(4, 8, 3, padding=1), GroupNorm(2, 8), Conv2d(8, 3, 3, padding=1)

        def inputs(self, batch: int = 1) -> dict[str, tuple[int, ...]]:
            return {"x": (batch, 16, 16, 4)}

        def __call__(self, x: mx.array) -> mx.array:
            return self.last(silu(self.norm(upsample_nearest(self.first(x)))))

    network = Upsampling()
    mx.eval(network.parameters())
    agree(network, "cpu")


@pytest.mark.parametrize("name", NETWORKS)
def test_kernels_of_the_gpu_compute_the_same(name: str) -> None:
    with use(Simulated):
        agree(made(name), "gpu")


def test_what_is_kept_after_commits_is_what_their_planes_have() -> None:
    """Moments follow from sums of cells alone, through any number of windows over each other."""
    network = made("KL decoder")
    staged = StagedNetwork(network, "cpu")
    _, kept = staged.whole(inputs(network, 2))
    every, rng = planes(network, inputs(network, 2)), np.random.default_rng(0)
    nodes = [node for node in graph_of(network, shape_of(network)).nodes if isinstance(node.op, GroupNormOp)]
    for i in range(8):
        x = (1 + i) * inputs(network, 3 + i)
        rows, columns = ((int(start), int(start) + 2) for start in rng.integers((0, 0), (3, 5)))
        window = window_of(staged, (*rows, *rows), (*columns, columns[0] + 1, columns[1]))
        found, kept = staged.window(x, window, kept)
        wanted, every = windowed(network, every, x, window)
        assert close(found, wanted)
    for moments, node in zip(kept.moments.values(), nodes, strict=True):
        of_planes = node.op.moments(every[node.inputs[0]])
        assert np.allclose(moments, np.asarray(of_planes), atol=1e-5, rtol=1e-5)


def test_networks_that_windows_cannot_be_of_are_refused() -> None:
    class Concatenating(mlx.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.norm = Conv2d(4, 4, 1), GroupNorm(2, 8)

        def inputs(self, batch: int = 1) -> dict[str, tuple[int, ...]]:
            return {"x": (batch, 8, 8, 4)}

        def __call__(self, x: mx.array) -> mx.array:
            h = self.conv(x)
            return self.norm(concat([h, self.conv(h)]))

    class Two(Concatenating):
        def inputs(self, batch: int = 1) -> dict[str, tuple[int, ...]]:
            return {"x": (batch, 8, 8, 4), "y": (batch, 8, 8, 4)}

    with pytest.raises(SigeError, match="normalises what one operation computes, no concatenation"):
        StagedNetwork(Concatenating(), "cpu").whole(mx.zeros((1, 8, 8, 4)))
    with pytest.raises(SigeError, match="has one input: Two has 2"):
        StagedNetwork(Two(), "cpu").whole(mx.zeros((1, 8, 8, 4)))


class Enlarging(mlx.nn.Module):
    """It attends to a plane larger than its input, which is computed or a convolution's, enlarged."""

    def __init__(self, computes: bool):
        super().__init__()
        self.first, self.last, self.attention = Conv2d(32, 32, 1), Conv2d(32, 32, 1), AttnBlock(32)
        self.computes = computes

    def inputs(self, batch: int = 1) -> dict[str, tuple[int, ...]]:
        return {"x": (batch, 8, 8, 32)}

    def __call__(self, x: mx.array) -> mx.array:
        x = upsample_nearest(self.first(x))
        return self.last(self.attention(self.last(x) if self.computes else x))


@pytest.mark.parametrize("computes", [True, False])
def test_attention_to_planes_larger_than_the_input_is_refused(computes: bool) -> None:
    with pytest.raises(SigeError, match="attends to"):
        StagedNetwork(Enlarging(computes), "cpu").whole(mx.zeros((1, 8, 8, 32)))


def test_windows_of_one_size_are_one_program(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever they are: only the first of a size is traced, lowered and compiled."""
    network = made("KL decoder")
    staged = StagedNetwork(network, "cpu")
    _, kept = staged.whole(inputs(network, 2))
    staged.window(inputs(network, 3), window_of(staged, (0, 2, 0, 1), (1, 3, 2, 3)), kept)
    monkeypatch.setattr("sige_mlx.engine.staged.trace", None)
    monkeypatch.setattr("sige_mlx.engine.native.executor.Compiled", None)
    staged.window(inputs(network, 3), window_of(staged, (1, 3, 2, 3), (0, 2, 0, 1)), kept)


@pytest.mark.parametrize("kind", [KLDecoder, KLEncoder, TinyDecoder, TinyEncoder])
def test_the_gpu_has_a_kernel_for_every_step_at_the_published_sizes(kind: type) -> None:
    config = KLAutoencoderConfig() if kind in (KLDecoder, KLEncoder) else TinyAutoencoderConfig()
    staged = StagedNetwork(kind(config), "gpu")
    n, h, w, c = shape = shape_of(staged.network)
    for of in ((shape, None), ((n, h // 2, w // 4, c), shape)):
        for part in staged._of(*of):
            assert Compiled(part.program, {}, mx.float32).by_kernels
