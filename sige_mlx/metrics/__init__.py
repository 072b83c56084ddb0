"""Measures of how alike two pictures are."""

from sige_mlx.metrics.psnr import psnr

__all__ = ["psnr"]
