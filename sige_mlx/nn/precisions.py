"""Values and weights can be stored in several precisions. Arithmetic is float32 in all of them."""

import mlx.core as mx

PRECISIONS = {"float32": mx.float32, "float16": mx.float16}
"""These are the precisions by name; the largest comes first."""
