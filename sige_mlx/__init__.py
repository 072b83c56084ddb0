"""Incremental inference for image editing on Apple silicon: only what an edit touched is recomputed.

import sige_mlx

model = sige_mlx.load("blue-marble-128")
session = model.session("sea.png")
sige_mlx.save_image(session.edit("island.png").picture, "new.png")
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sige_mlx.editing import EditResult as EditResult
    from sige_mlx.editing import EditSession as EditSession
    from sige_mlx.editing import LabelSession as LabelSession
    from sige_mlx.editing import TranslationSession as TranslationSession
    from sige_mlx.editing import open_image as open_image
    from sige_mlx.editing import save_image as save_image
    from sige_mlx.editing.opening import Model as Model
    from sige_mlx.editing.opening import load as load
    from sige_mlx.engine import Engine as Engine
    from sige_mlx.errors import SigeError as SigeError
    from sige_mlx.tokens.session import TokenSession as TokenSession

_EDITING = ("EditResult", "EditSession", "LabelSession", "TranslationSession", "open_image", "save_image")
_HOMES = {
    **dict.fromkeys(_EDITING, "sige_mlx.editing"),
    **dict.fromkeys(("Model", "load"), "sige_mlx.editing.opening"),
    "Engine": "sige_mlx.engine",
    "SigeError": "sige_mlx.errors",
    "TokenSession": "sige_mlx.tokens.session",
}
"""Where names are. They are imported when they are asked for: whoever wants one module need not wait for all."""

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return [*globals(), *_HOMES]
