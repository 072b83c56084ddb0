"""`python -m benchmarks.autoencoder`: that it times what it says."""

from __future__ import annotations

import pytest

from benchmarks.autoencoder.measure import NETWORKS, rows


def test_windows_of_every_half_are_timed() -> None:
    found = [*rows(256, 1, 1, ch=32, width=8, latent_channels=4, num_res_blocks=1)]
    assert [row.network for row in found] == [*NETWORKS]
    for row in found:
        assert row.macs > row.window_macs > 0 and row.mlx and min(row.mlx, row.whole, row.window) > 0
        assert row.share == pytest.approx(row.whole / row.window * row.window_macs / row.macs)
