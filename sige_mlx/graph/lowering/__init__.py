"""Lowering: from fused operations to a program, in three passes over data.

1. `graph.regions` places every value: computed whole, in tiles, or not at all. A dense pass is the placement in which
   everything is whole and every norm takes its own statistics.
2. `forms` finds the forms that each value is read in: raw, or normalised and activated by one of its readers' norms.
3. `emit` writes the ops.

A value is written raw, once, by the convolution that computes it, and a convolution normalises what it reads. A value
in tiles is its recorded base plus recomputed blocks. The convolution that computes the blocks knows the recorded
statistics, so it also writes the blocks normalised, once per way they will be read (normalise at the producer); only
halo pixels, which come from the base, are normalised by the reader. Nothing as large as an activation is copied or
written.

A modulated value (SPADE) is the exception: where it can be, it is written modulated by the convolution that computes it
(ready), in the dense pass, too, and recorded so; then nobody needs the modulation at halo pixels.
"""

from sige_mlx.graph.lowering.emit import lower

__all__ = ["lower"]
