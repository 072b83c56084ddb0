"""Incremental inference for image editing on Apple silicon: only what an edit touched is recomputed.

    import sige_mlx

    model = sige_mlx.load("blue-marble-128")
    session = model.session("sea.png")
    sige_mlx.save_image(session.edit("island.png").picture, "new.png")

A network of one's own is an MLX module that computes with `sige_mlx.nn`; see `Engine`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sige_mlx import masks as masks
    from sige_mlx import metrics as metrics
    from sige_mlx import nn as nn
    from sige_mlx.converters.convert import ConvertedModel as ConvertedModel
    from sige_mlx.converters.convert import convert as convert
    from sige_mlx.editing import EditResult as EditResult
    from sige_mlx.editing import EditSession as EditSession
    from sige_mlx.editing import LabelSession as LabelSession
    from sige_mlx.editing import TranslationSession as TranslationSession
    from sige_mlx.editing import open_image as open_image
    from sige_mlx.editing import save_image as save_image
    from sige_mlx.editing.opening import Model as Model
    from sige_mlx.editing.opening import load as load
    from sige_mlx.engine import Engine as Engine
    from sige_mlx.engine import PreparedEdit as PreparedEdit
    from sige_mlx.errors import SigeError as SigeError
    from sige_mlx.graph.ir import Graph as Graph
    from sige_mlx.graph.policy import EditPolicy as EditPolicy
    from sige_mlx.graph.trace import trace as trace
    from sige_mlx.tokens.session import TokenSession as TokenSession

_EDITING = ("EditResult", "EditSession", "LabelSession", "TranslationSession", "open_image", "save_image")
_HOMES = {
    **dict.fromkeys(_EDITING, "sige_mlx.editing"),
    **dict.fromkeys(("Model", "load"), "sige_mlx.editing.opening"),
    **dict.fromkeys(("Engine", "PreparedEdit"), "sige_mlx.engine"),
    **dict.fromkeys(("ConvertedModel", "convert"), "sige_mlx.converters.convert"),
    "EditPolicy": "sige_mlx.graph.policy",
    "Graph": "sige_mlx.graph.ir",
    "SigeError": "sige_mlx.errors",
    "TokenSession": "sige_mlx.tokens.session",
    "trace": "sige_mlx.graph.trace",
}
"""Where names are. They are imported when they are asked for: whoever wants one module need not wait for all."""

_MODULES = ("masks", "metrics", "nn")

__all__ = sorted((*_HOMES, *_MODULES))


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(f"{__name__}.{name}")
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
