"""Encoders and decoders on windows: what is exact, what is close, and what stays."""

from __future__ import annotations

from pathlib import Path

import mlx.core as mx
import mlx.nn
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sige_mlx.errors import SigeError
from sige_mlx.graph.trace import trace
from sige_mlx.models.kl_autoencoder import KLAutoencoderConfig, KLDecoder
from sige_mlx.models.taesd import TinyAutoencoderConfig, TinyDecoder, TinyEncoder, clamped
from sige_mlx.nn.ops import GroupNorm
from sige_mlx.tokens.windows import WindowedNetwork
from tests.tokens.taef2 import networks
from tests.trained import photographed

SMALL = TinyAutoencoderConfig((96, 128), latent_channels=4, width=8)
LEAST = [(False, (44.0, 54.0, 60.0)), (True, (31.0, 45.0, 52.0))]
"""Decibels in the mask by statistics recorded, estimated and exact, of another photograph and of a flat fill."""

FARTHEST = 19
"""Latents that a decoder's pixel depends on, along a side, but for statistics: 152 pixels."""


def small_decoder(pooled: bool = True) -> TinyDecoder:
    mx.random.seed(1)
    decoder = TinyDecoder(TinyAutoencoderConfig((96, 128), latent_channels=4, width=8, pooled=pooled))
    mx.eval(decoder.parameters())
    return decoder


def latents(seed: int) -> mx.array:
    return mx.random.normal((1, 12, 16, 4), key=mx.random.key(seed))


def box(y: int, x: int, height: int, width: int, size: tuple[int, int] = (12, 16)) -> np.ndarray:
    mask = np.zeros(size, bool)
    mask[y : y + height, x : x + width] = True
    return mask


def pasted(mask: np.ndarray, new: mx.array, old: mx.array) -> mx.array:
    return mx.where(mx.array(mask)[None, :, :, None], new, old)


def test_recording_is_the_dense_pass() -> None:
    decoder = small_decoder()
    dense = decoder(latents(1))
    assert mx.allclose(WindowedNetwork(decoder, up=8).record(latents(1)), dense, atol=1e-5)
    assert "layers.2.pool.1.weight" in dict(mlx.utils.tree_flatten(decoder.parameters()))


@settings(max_examples=10)
@given(y=st.integers(0, 11), x=st.integers(0, 15), height=st.integers(1, 6), width=st.integers(1, 6))
def test_a_window_of_all_that_counts_with_exact_statistics_is_the_dense_pass(
    y: int, x: int, height: int, width: int
) -> None:
    mask = box(y, x, height, width)
    windowed = WindowedNetwork(small_decoder(), up=8, halo=FARTHEST)
    recorded = windowed.record(latents(1))
    changed = pasted(mask, latents(2), latents(1))
    edited = windowed.edit(changed, mask, "exact")
    pixels = mx.array(mask.repeat(8, 0).repeat(8, 1))[None, :, :, None]
    dense = WindowedNetwork(small_decoder(), up=8).record(changed)
    assert float(mx.abs(dense - recorded).max()) > 1e-3
    assert mx.allclose(mx.where(pixels, edited, 0), mx.where(pixels, dense, 0), atol=1e-5)
    assert mx.array_equal(mx.where(pixels, 0, edited), mx.where(pixels, 0, recorded))


@pytest.mark.parametrize("statistics", ["recorded", "estimated", "exact"])
def test_what_did_not_change_decodes_to_itself(statistics: str) -> None:
    windowed = WindowedNetwork(small_decoder(), up=8, halo=FARTHEST)
    recorded = windowed.record(latents(1))
    assert mx.allclose(windowed.edit(latents(1), box(3, 4, 2, 3), statistics), recorded, atol=1e-5)
    assert mx.array_equal(windowed.edit(latents(2), box(0, 0, 0, 0), statistics), recorded)
    assert mx.array_equal(windowed.record(latents(1)), recorded)


def test_no_normalisation_needs_no_statistics() -> None:
    mask = box(5, 5, 2, 2)
    windowed = WindowedNetwork(small_decoder(pooled=False), up=8, halo=FARTHEST)
    windowed.record(latents(1))
    changed = pasted(mask, latents(2), latents(1))
    kept, exact = (windowed.edit(changed, mask, statistics) for statistics in ("recorded", "exact"))
    assert mx.array_equal(kept, exact)


def test_an_encoder_runs_on_windows_of_whole_latents() -> None:
    mx.random.seed(1)
    encoder = TinyEncoder(SMALL)
    picture = mx.random.uniform(shape=(1, 96, 128, 3))
    mask = box(41, 50, 3, 5, (96, 128))
    windowed = WindowedNetwork(encoder, down=8, halo=160)
    recorded = windowed.record(picture)
    changed = pasted(mask, 1 - picture, picture)
    edited = windowed.edit(changed, mask, "exact")
    touched = mx.array(box(5, 6, 1, 1))[None, :, :, None]
    dense = WindowedNetwork(encoder, down=8).record(changed)
    assert mx.allclose(mx.where(touched, edited, 0), mx.where(touched, dense, 0), atol=1e-5)
    assert mx.array_equal(mx.where(touched, 0, edited), mx.where(touched, 0, recorded))
    rows, columns = WindowedNetwork(encoder, down=8, halo=3).window(mask)
    assert (rows, columns) == (slice(32, 48), slice(40, 64))


def test_attention_reads_the_whole_plane() -> None:
    """Stable Diffusion's decoder: a window of all rows and columns that count, with exact statistics, is the dense
    pass; with those that were recorded what did not change decodes to itself."""
    mx.random.seed(1)
    config = KLAutoencoderConfig((128, 160), 4, 32, (1, 2), 1)
    decoder = KLDecoder(config)
    mx.eval(decoder.parameters())
    first, second = (mx.random.normal((1, 64, 80, 4), key=mx.random.key(seed)) for seed in (1, 2))
    mask = box(20, 40, 3, 3, (64, 80))
    windowed = WindowedNetwork(decoder, up=2, halo=16)
    recorded = windowed.record(first)
    changed = pasted(mask, second, first)
    assert mx.allclose(windowed.edit(first, mask, "recorded"), recorded, atol=1e-5)
    edited = windowed.edit(changed, mask, "exact")
    dense = windowed.record(changed)
    pixels = mx.array(mask.repeat(2, 0).repeat(2, 1))[None, :, :, None]
    assert float(mx.abs(mx.where(pixels, dense - recorded, 0)).max()) > 1e-2
    assert mx.allclose(mx.where(pixels, edited, 0), mx.where(pixels, dense, 0), atol=1e-5)
    assert mx.array_equal(mx.where(pixels, 0, edited), mx.where(pixels, 0, recorded))


def test_what_cannot_be_edited_is_refused() -> None:
    windowed = WindowedNetwork(small_decoder(), up=8)
    with pytest.raises(SigeError, match="no picture was recorded"):
        windowed.edit(latents(1), box(0, 0, 1, 1))
    windowed.record(latents(1))
    with pytest.raises(SigeError, match=r"a mask of \(12, 15\) edit a record of \(1, 12, 16, 4\)"):
        windowed.edit(latents(1), box(0, 0, 1, 1, (12, 15)))
    with pytest.raises(SigeError, match="statistics are 'fresh'"):
        windowed.edit(latents(1), box(0, 0, 1, 1), "fresh")  # type: ignore[arg-type]


def decibels(value: mx.array, wanted: mx.array, mask: np.ndarray) -> float:
    at = mx.array(np.flatnonzero(mask.repeat(8, 0).repeat(8, 1)))
    return -10 * float(mx.log10(((value - wanted).reshape(-1, 3)[at] ** 2).mean()))


def macs(side: int, until_norms: bool = False) -> int:
    """Multiply-accumulates of TAEF2's decoder for a picture of `side`², or of what its norms read."""
    decoder = TinyDecoder(TinyAutoencoderConfig((side, side)))
    graph = trace(decoder, decoder.inputs())
    wanted = {i for i, node in enumerate(graph.nodes) if isinstance(node.op, GroupNorm) or not until_norms}
    for i in reversed(range(len(graph.nodes))):
        if i in wanted:
            wanted.update(graph.nodes[i].inputs)
    return sum(graph.macs(graph.nodes[i]) for i in wanted)


@pytest.mark.parametrize("side", [256, 512], ids=["estimated", "exact"])
def test_an_edit_of_five_percent_takes_a_quarter_of_the_work(side: int) -> None:
    """The window of the edit below, and its statistics: of planes of half the size, or of the whole ones."""
    assert macs(512) / (macs(30 * 8) + macs(side, until_norms=True)) >= 4


@pytest.mark.slow
@pytest.mark.parametrize(("filled", "least"), LEAST, ids=["photograph", "flat"])
def test_trained_weights_on_photographs(tmp_path: Path, filled: bool, least: tuple[float, float, float]) -> None:
    """A halo of 64 pixels around 5 % of the latents."""
    encoder, decoder = networks(tmp_path)
    pictures = [mx.array(photographed(name, 512).astype(np.float32) / 255)[None] for name in ("astronaut", "coffee")]
    original, other = (clamped(encoder(picture)) for picture in pictures)
    mask = box(25, 25, 14, 14, (64, 64))
    new = clamped(mx.full(original.shape, 0.5)) if filled else other
    windowed = WindowedNetwork(decoder, up=8, halo=8)
    assert windowed.window(mask) == (slice(17, 47), slice(17, 47))
    reconstructed = windowed.record(original)
    assert decibels(reconstructed, pictures[0], np.ones((64, 64), bool)) >= 30
    changed = pasted(mask, new, original)
    edits = [windowed.edit(changed, mask, statistics) for statistics in ("recorded", "estimated", "exact")]
    dense = windowed.record(changed)
    assert all(decibels(edit, dense, mask) >= bound for edit, bound in zip(edits, least, strict=True))
