"""Encoders and decoders on windows: what is exact, what is close, and what stays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sige_mlx.engine.staged import StagedNetwork
from sige_mlx.errors import SigeError
from sige_mlx.models.kl_autoencoder import KLAutoencoderConfig, KLDecoder, KLEncoder
from sige_mlx.models.taesd import TinyAutoencoderConfig, TinyDecoder, TinyEncoder, clamped
from sige_mlx.tokens.windows import WindowedNetwork
from tests.tokens.taef2 import networks
from tests.trained import photographed

SMALL = TinyAutoencoderConfig((96, 128), latent_channels=4, width=8)
LEAST = [(False, (44.0, 60.0)), (True, (31.0, 47.0))]
"""Decibels in the mask by statistics recorded and followed, of another photograph and of a flat fill."""

SIZES = {*range(9), *range(8, 17, 2), *range(16, 33, 4)}
"""Cells along a side of a window."""

CONFIGS: dict[str, tuple[Any, dict[str, Any]]] = {
    "KL": (KLAutoencoderConfig(), {"decoder": KLDecoder, "encoder": KLEncoder}),
    "TAEF2": (TinyAutoencoderConfig(), {"decoder": TinyDecoder, "encoder": TinyEncoder}),
}

FARTHEST = 19
"""Latents that a decoder's pixel depends on, along a side, but for statistics: 152 pixels."""


def small_decoder(pooled: bool = True) -> TinyDecoder:
    mx.random.seed(1)
    decoder = TinyDecoder(TinyAutoencoderConfig((96, 128), latent_channels=4, width=8, pooled=pooled))
    mx.eval(decoder.parameters())
    return decoder


def windowed_decoder(pooled: bool = True, halo: int = FARTHEST) -> WindowedNetwork:
    return WindowedNetwork(StagedNetwork(small_decoder(pooled)), up=8, halo=halo)


def latents(seed: int) -> mx.array:
    return mx.random.normal((1, 12, 16, 4), key=mx.random.key(seed))


def box(y: int, x: int, height: int, width: int, size: tuple[int, int] = (12, 16)) -> np.ndarray:
    mask = np.zeros(size, bool)
    mask[y : y + height, x : x + width] = True
    return mask


def pasted(mask: np.ndarray, new: mx.array, old: mx.array) -> mx.array:
    return mx.where(mx.array(mask)[None, :, :, None], new, old)


def test_recording_is_the_dense_pass() -> None:
    assert mx.allclose(windowed_decoder().record(latents(1)), small_decoder()(latents(1)), atol=1e-5)


@settings(max_examples=10)
@given(y=st.integers(0, 11), x=st.integers(0, 15), height=st.integers(1, 6), width=st.integers(1, 6))
def test_a_window_of_all_that_counts_with_exact_statistics_is_the_dense_pass(
    y: int, x: int, height: int, width: int
) -> None:
    mask = box(y, x, height, width)
    windowed = windowed_decoder()
    recorded = windowed.record(latents(1))
    changed = pasted(mask, latents(2), latents(1))
    edited = windowed.edit(changed, mask, "exact")
    pixels = mx.array(mask.repeat(8, 0).repeat(8, 1))[None, :, :, None]
    dense = small_decoder()(changed)
    assert float(mx.abs(dense - recorded).max()) > 1e-3
    assert mx.allclose(mx.where(pixels, edited, 0), mx.where(pixels, dense, 0), atol=1e-5)
    assert mx.array_equal(mx.where(pixels, 0, edited), mx.where(pixels, 0, recorded))


@pytest.mark.parametrize("statistics", ["recorded", "followed", "exact"])
def test_what_did_not_change_decodes_to_itself(statistics: str) -> None:
    windowed = windowed_decoder()
    recorded = windowed.record(latents(1))
    assert mx.allclose(windowed.edit(latents(1), box(3, 4, 2, 3), statistics), recorded, atol=1e-5)
    assert mx.array_equal(windowed.edit(latents(2), box(0, 0, 0, 0), statistics), recorded)
    assert mx.array_equal(windowed.record(latents(1)), recorded)


def test_no_normalisation_needs_no_statistics() -> None:
    mask = box(5, 5, 2, 2)
    windowed = windowed_decoder(pooled=False)
    windowed.record(latents(1))
    changed = pasted(mask, latents(2), latents(1))
    kept, exact = (windowed.edit(changed, mask, statistics) for statistics in ("recorded", "exact"))
    assert mx.array_equal(kept, exact)


def test_an_encoder_runs_on_windows_of_whole_latents() -> None:
    mx.random.seed(1)
    encoder = TinyEncoder(SMALL)
    picture = mx.random.uniform(shape=(1, 96, 128, 3))
    mask = box(41, 50, 3, 5, (96, 128))
    windowed = WindowedNetwork(StagedNetwork(encoder), down=8, halo=160)
    recorded = windowed.record(picture)
    changed = pasted(mask, 1 - picture, picture)
    edited = windowed.edit(changed, mask, "exact")
    touched = mx.array(box(5, 6, 1, 1))[None, :, :, None]
    dense = encoder(changed)
    assert mx.allclose(mx.where(touched, edited, 0), mx.where(touched, dense, 0), atol=1e-5)
    assert mx.array_equal(mx.where(touched, 0, edited), mx.where(touched, 0, recorded))
    window = WindowedNetwork(StagedNetwork(encoder), down=8, halo=3).window(mask)
    assert window[:2] == (slice(32, 64), slice(32, 64))


def test_attention_reads_the_whole_plane() -> None:
    """Stable Diffusion's decoder: a window of all rows and columns that count, with exact statistics, is the dense
    pass; with those that were recorded what did not change decodes to itself."""
    mx.random.seed(1)
    config = KLAutoencoderConfig((128, 160), 4, 32, (1, 2), 1)
    decoder = KLDecoder(config)
    mx.eval(decoder.parameters())
    first, second = (mx.random.normal((1, 64, 80, 4), key=mx.random.key(seed)) for seed in (1, 2))
    mask = box(20, 40, 3, 3, (64, 80))
    windowed = WindowedNetwork(StagedNetwork(decoder), up=2, halo=16)
    recorded = windowed.record(first)
    changed = pasted(mask, second, first)
    assert mx.allclose(windowed.edit(first, mask, "recorded"), recorded, atol=1e-5)
    edited = windowed.edit(changed, mask, "exact")
    dense = decoder(changed)
    pixels = mx.array(mask.repeat(2, 0).repeat(2, 1))[None, :, :, None]
    assert float(mx.abs(mx.where(pixels, dense - recorded, 0)).max()) > 1e-2
    assert mx.allclose(mx.where(pixels, edited, 0), mx.where(pixels, dense, 0), atol=1e-5)
    assert mx.array_equal(mx.where(pixels, 0, edited), mx.where(pixels, 0, recorded))


def test_what_cannot_be_edited_is_refused() -> None:
    windowed = windowed_decoder()
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


FIVE_PERCENT = {"decoder": box(25, 25, 14, 14, (64, 64)), "encoder": box(200, 200, 112, 112, (512, 512))}


@pytest.mark.parametrize("half", FIVE_PERCENT)
@pytest.mark.parametrize("kind", ["KL", "TAEF2"])
def test_an_edit_of_five_percent_takes_a_quarter_of_the_work(kind: str, half: str) -> None:
    """At the published sizes, for a picture of 512²; statistics that follow cost nothing."""
    config, kinds = CONFIGS[kind]
    network = StagedNetwork(kinds[half](config))
    up, down, halo = (8, 1, 8) if half == "decoder" else (1, 8, 64)
    mask = FIVE_PERCENT[half]
    window = WindowedNetwork(network, up, down, halo).window(mask)
    whole = (1, *mask.shape, config.latent_channels if half == "decoder" else 3)
    part = (1, *(s.stop - s.start for s in window[:2]), whole[3])
    assert network.macs(whole) >= 4 * network.macs(part, whole)


@given(at=st.tuples(st.integers(0, 127), st.integers(1, 128)), halo=st.sampled_from([0, 1, 3, 8, 20]))
def test_windows_have_few_sizes_and_hold_the_mask_and_its_halo(at: tuple[int, int], halo: int) -> None:
    network = StagedNetwork(small_decoder())
    cell, first, last = network.cell, at[0], min(at[0] + at[1], 128) - 1
    window = WindowedNetwork(network, up=8, halo=halo).window(box(first, 5, last + 1 - first, 1, (128, 6)))
    rows, inner = window.rows, window.inner_rows
    assert rows.start <= max(first - halo, 0) and rows.stop >= min(last + 1 + halo, 128)
    assert rows.start <= inner.start <= first and last < inner.stop <= rows.stop
    assert all(edge % cell == 0 for edge in (rows.start, rows.stop, inner.start, inner.stop))
    assert (rows.stop - rows.start) // cell in SIZES
    assert window.columns == window.inner_columns and window.columns.stop == 6


def test_twenty_commits_later_an_edit_is_as_near_to_the_dense_pass() -> None:
    """All over the planes, so that by the last one nothing is left of what was recorded."""
    windowed, decoder = windowed_decoder(halo=8), small_decoder()
    now, errors = mx.random.normal((1, 32, 32, 4), key=mx.random.key(1)), []
    windowed.record(now)
    for i in range(20):
        mask = box(8 * (i % 4), 8 * (i // 4 % 4), 8, 8, (32, 32))
        now = pasted(mask, (1 + i / 4) * mx.random.normal(now.shape, key=mx.random.key(2 + i)), now)
        edited = windowed.edit(now, mask)
        windowed.commit()
        pixels = mx.array(mask.repeat(8, 0).repeat(8, 1))[None, :, :, None]
        dense = mx.where(pixels, decoder(now), 0)
        errors.append(float(mx.abs(mx.where(pixels, edited, 0) - dense).max() / mx.abs(dense).max()))
    assert max(errors[-4:]) <= 1.5 * max(errors[:4])


@pytest.mark.slow
@pytest.mark.parametrize(("filled", "least"), LEAST, ids=["photograph", "flat"])
def test_trained_weights_on_photographs(tmp_path: Path, filled: bool, least: tuple[float, float]) -> None:
    """A halo of 64 pixels around 5 % of the latents."""
    encoder, decoder = networks(tmp_path)
    decode = StagedNetwork(decoder)
    pictures = [mx.array(photographed(name, 512).astype(np.float32) / 255)[None] for name in ("astronaut", "coffee")]
    original, other = (clamped(encoder(picture)) for picture in pictures)
    mask = box(25, 25, 14, 14, (64, 64))
    new = clamped(mx.full(original.shape, 0.5)) if filled else other
    windowed = WindowedNetwork(decode, up=8, halo=8)
    assert windowed.window(mask)[:2] == (slice(16, 48), slice(16, 48))
    reconstructed = windowed.record(original)
    assert decibels(reconstructed, pictures[0], np.ones((64, 64), bool)) >= 30
    changed = pasted(mask, new, original)
    edits = [windowed.edit(changed, mask, statistics) for statistics in ("recorded", "followed")]
    dense, _ = decode.whole(changed)
    assert all(decibels(edit, dense, mask) >= bound for edit, bound in zip(edits, least, strict=True))
