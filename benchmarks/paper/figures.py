"""The figures of Li et al. 2022 that ours are put beside: those in the README of https://github.com/lmxyy/sige, and no
others. Its PSNR and LPIPS are in the paper alone."""

from __future__ import annotations

from dataclasses import dataclass

CHURCH, STREETS = "church_outdoor_sdedit", "cityscapes-edit"
"""The published edits, by the names of their folders."""


@dataclass(frozen=True)
class Efficiency:
    """Of a pass, and of one over an edit of 1.2 % of the pixels: GMACs, and milliseconds on an RTX 3090, and on the GPU
    and on the CPU of an M1 Pro. The CPU's are those of x86 code under Rosetta 2."""

    macs: tuple[float, float]
    rtx_3090: tuple[float, float]
    m1_gpu: tuple[float, float]
    m1_cpu: tuple[float, float]


@dataclass(frozen=True)
class Row:
    """A model of the paper: how its edits are run, and what the paper has of it. `quality` are the names of a measure
    and its values for the original model and for SIGE; `average` is the mean size of the published edits in percent,
    and the GMACs of SIGE for it; `by_size` has the same for other sizes that `efficiency` has not; `cache` is what SIGE
    keeps, in GB; `others` are models that render the same edits."""

    model: str
    title: str
    data: str
    arguments: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    threshold: int | None = None
    efficiency: Efficiency | None = None
    quality: tuple[str, float, float] | None = None
    average: tuple[float, float] | None = None
    cache: float | None = None
    by_size: tuple[tuple[float, float], ...] = ()

    @property
    def work(self) -> tuple[tuple[float, float], ...]:
        """GMACs of SIGE for every size of edit in percent that the paper tells them for, small ones first."""
        small = ((1.2, self.efficiency.macs[1]),) if self.efficiency else ()
        return tuple(sorted((*small, *self.by_size, *((self.average,) if self.average else ()))))


ROWS = (
    Row(
        "ddpm-church-256",
        "DDIM, 256 x 256",
        CHURCH,
        ("--steps", "50"),
        (),
        64,
        Efficiency((248, 33.4), (37.5, 12.6), (183, 39.5), (12900, 1960)),
        ("FID (clean)", 65.4, 65.8),
        (15.5, 78.9),
        0.1,
        by_size=((7.19, 51.8),),
    ),
    Row(
        "pd-church-128",
        "Progressive Distillation, 128 x 128",
        CHURCH,
        (),
        (),
        32,
        None,
        ("FID (clean)", 90.0, 90.1),
        (15.5, 37.6),
        by_size=((1.2, 24.5), (7.19, 29.4)),
    ),
    Row(
        "pd-church-256",
        "Progressive Distillation, 256 x 256",
        CHURCH,
        (),
        (),
        32,
        Efficiency((119, 25.9), (35.1, 18.6), (178, 59.9), (6200, 1550)),
        cache=0.1,
    ),
    Row(
        "gaugan-cityscapes",
        "GauGAN, 256 x 512",
        STREETS,
        (),
        ("gan-compression-cityscapes", "gaugan-cityscapes-0.19"),
        None,
        Efficiency((281, 15.3), (45.4, 11.1), (151, 29.1), (14100, 990)),
        ("mIoU", 62.4, 62.1),
        (13.5, 69.8),
        0.8,
    ),
    Row(
        "gan-compression-cityscapes",
        "GAN Compression, 256 x 512",
        STREETS,
        (),
        (),
        None,
        Efficiency((31.2, 5.59), (45.4, 10.8), (151, 25.6), (14100, 370)),
        ("mIoU", 61.5, 60.1),
        (13.5, 10.8),
        0.3,
    ),
)
"""Tiles begin at 32 pixels for Progressive Distillation, not at 64 as released: with that its figures cannot be had.
The times before SIGE of GAN Compression are GauGAN's."""
