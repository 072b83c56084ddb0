"""Measures of how alike two pictures are, and how alike two sets of them."""

from sige_mlx.metrics.psnr import psnr
from sige_mlx.metrics.ssim import ssim

__all__ = ["psnr", "ssim"]
