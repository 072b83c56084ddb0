"""How alike two pictures are, how alike two sets of them, and how well pictures show what their label maps say."""

from sige_mlx.metrics.frechet import FrechetDistance
from sige_mlx.metrics.iou import Iou, Segmenter, train_ids
from sige_mlx.metrics.land_cover import LandCover
from sige_mlx.metrics.lpips import Lpips, StLpips
from sige_mlx.metrics.psnr import psnr
from sige_mlx.metrics.ssim import ssim
from sige_mlx.metrics.statistics import Features, Statistics, frechet_distance

__all__ = [
    "Features",
    "FrechetDistance",
    "Iou",
    "LandCover",
    "Lpips",
    "Segmenter",
    "StLpips",
    "Statistics",
    "frechet_distance",
    "psnr",
    "ssim",
    "train_ids",
]
