"""Lowering: from a fused graph to a program, for a dense pass or for one edit.

In both, a stored value is written raw, once, by the convolution that computes it, and a convolution normalises what it
reads. What an edit adds: a value in the tiled region is its recorded base plus recomputed blocks. The convolution that
computes the blocks knows the recorded statistics, so it also writes the blocks normalised, once per way they will be
read (normalise at the producer); only halo pixels, which come from the base, are normalised by the reader. Nothing as
large as an activation is copied or written.

A modulated value (SPADE) is the exception: where it can be, it is written modulated by the convolution that computes it
(ready), in the dense pass, too, and recorded so; then nobody needs the modulation at halo pixels.
"""

from sige_mlx.graph.lowering.dense import DenseLowering
from sige_mlx.graph.lowering.edit import EditLowering

__all__ = ["DenseLowering", "EditLowering"]
