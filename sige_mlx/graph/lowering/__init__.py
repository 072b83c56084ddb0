"""Lowering makes a program of fused operations, in three passes over data.

1. `graph.regions` places every value: it is computed whole, in tiles, or not at all. In a dense pass everything is
   whole, and every norm takes its own statistics.
2. `forms` finds the forms that each value is read in: raw, or normalised and activated as a reader wants it.
3. `emit` writes the ops, those that take statistics by `statistics`.

A value is written raw, once, by the convolution that computes it, and a convolution normalises what it reads. A value
in tiles is its recorded base with recomputed blocks over it. The convolution that computes the blocks knows the
recorded statistics, so it also writes the blocks normalised, once per way they will be read (normalise at the
producer); only halo pixels, which come from the base, are normalised by the reader. Nothing as large as an activation
is copied or written.

A modulated value (SPADE) is the exception. Where it can, the convolution that computes it writes it modulated, which is
called ready, in the dense pass, too; then it is recorded so, and nobody needs the modulation at halo pixels.
"""

from sige_mlx.graph.lowering.emit import lower

__all__ = ["lower"]
