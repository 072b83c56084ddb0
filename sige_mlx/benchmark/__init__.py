"""Measuring: the time, arithmetic and memory of dense passes and edits, by the protocol of Li et al. 2022."""

from sige_mlx.benchmark.blob import blob_mask
from sige_mlx.benchmark.figures import EditFigures, Figures, run
from sige_mlx.benchmark.protocol import PAPER, QUICK, Protocol, Timing, measure

__all__ = ["PAPER", "QUICK", "EditFigures", "Figures", "Protocol", "Timing", "blob_mask", "measure", "run"]
