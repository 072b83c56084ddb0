"""Editing pictures: sessions that record an original and recompute edits of it."""

from sige_mlx.editing.destination import save_image
from sige_mlx.editing.labels import LabelSession
from sige_mlx.editing.result import EditResult
from sige_mlx.editing.session import EditSession
from sige_mlx.editing.translation import TranslationSession
from sige_mlx.pictures import ImageLike, open_image

__all__ = [
    "EditResult",
    "EditSession",
    "ImageLike",
    "LabelSession",
    "TranslationSession",
    "open_image",
    "save_image",
]
