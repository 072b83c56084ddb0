"""The folder of what can be made again: converted models, compiled kernels."""

import os
from pathlib import Path

from sige_mlx.errors import SigeError


def cache_folder() -> Path:
    """SIGE_MLX_CACHE, or `~/.cache/sige-mlx`. Raises `SigeError` where nobody says what `~` is."""
    folder = os.environ.get("SIGE_MLX_CACHE") or os.path.join("~", ".cache", "sige-mlx")
    expanded = os.path.expanduser(folder)
    if expanded.startswith("~"):
        raise SigeError(f"{folder}: it cannot be told whose home that is; SIGE_MLX_CACHE may name a cache folder")
    return Path(expanded)


def cached_folders() -> list[str]:
    """The names of what lies in the cache, in order; none where there is no cache yet. Raises `SigeError` for one that
    may not be looked into."""
    folder = cache_folder()
    try:
        return sorted(os.listdir(folder))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise SigeError(
            f"the cache {folder} cannot be read: {error.strerror}; SIGE_MLX_CACHE may name another folder"
        ) from None
