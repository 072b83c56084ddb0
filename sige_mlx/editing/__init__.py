"""Editing pictures: sessions that record an original and recompute edits of it."""

from sige_mlx.editing.images import open_image, save_image
from sige_mlx.editing.labels import LabelSession
from sige_mlx.editing.result import EditResult
from sige_mlx.editing.session import EditSession

__all__ = ["EditResult", "EditSession", "LabelSession", "open_image", "save_image"]
