"""What values and weights can be stored as. Arithmetic is float32 whatever they are."""

import mlx.core as mx

PRECISIONS = {"float32": mx.float32, "float16": mx.float16}
"""By name; the largest first."""
