"""The folder of what can be made again: converted models, compiled kernels."""

import os
from pathlib import Path


def cache_folder() -> Path:
    """SIGE_MLX_CACHE, or `~/.cache/sige-mlx`."""
    return Path(os.environ.get("SIGE_MLX_CACHE") or Path.home() / ".cache" / "sige-mlx")
