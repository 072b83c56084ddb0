"""Sessions of tokens in files: the original, what was recorded of it, and the originals that it can go back to."""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING, Any

import mlx.core as mx
import numpy as np

from sige_mlx.editing.boxes import Box
from sige_mlx.editing.container import Array, Container, write
from sige_mlx.editing.images import Source
from sige_mlx.editing.saved import PURPOSE, pack, understood, unpack
from sige_mlx.editing.windows import placed
from sige_mlx.errors import SigeError
from sige_mlx.token_models import SESSION
from sige_mlx.tokens.klein import Pipeline
from sige_mlx.tokens.record import KeyValueRecord, Place
from sige_mlx.tokens.result import Original
from sige_mlx.tokens.view import Latents

if TYPE_CHECKING:
    from sige_mlx.tokens.session import TokenSession


def save(session: TokenSession, path: str | os.PathLike[str]) -> None:
    """Writes a session."""
    arrays: dict[str, Array] = {}
    steps: dict[str, Any] = {}
    view = session._view
    for step in view.recorded if view else ():
        assert view
        record = view.engine.of(step)
        places = [(place.stream, place.layer) for place in record.places]
        steps[str(step)] = {"codec": record.precision, "shape": record.shape, "places": places, "exact": True}
        arrays |= {f"window.0.step.{step}.{name}": part for name, part in record.bytes().items()}
    settings = {
        "prompt": session.prompt,
        "steps": session.steps,
        "strength": session.strength,
        "seed": session.seed,
        "precision": session.precision,
        "largest": session.largest,
        "references": len(session.references),
        "eps": session.reader.eps,
        "dilation": session.reader.dilation,
    }
    for i, picture in enumerate(session.references):
        arrays[f"reference.{i}"] = picture
    told = {
        "kind": SESSION,
        "model": _named(session.pipeline),
        "size": session.size,
        "settings": settings,
        "windows": [{"box": view.window.box, "steps": steps}] if view else [],
        "note": session.note,
        "given": _packed(arrays, "given", session.given),
        "generate": session._to_generate,
        "generated": session.generated,
    }
    for which in ("undo", "redo"):
        pasts = getattr(session._history, which)
        told[which] = [_packed(arrays, f"{which}.{i}", past.given) for i, past in enumerate(pasts)]
    write(path, PURPOSE, {name: np.ascontiguousarray(array) for name, array in arrays.items()}, told)


def opened(pipeline: Pipeline, path: str | os.PathLike[str], history: int | None) -> TokenSession:
    """The session in a file. Raises `SigeError` for a file of another model, and for one that is damaged."""
    from sige_mlx.tokens.session import TokenSession

    file = Container(path, PURPOSE)
    told = file.told
    if told.get("kind") != SESSION:
        raise SigeError(f"{path} is the session of another kind of network, {told.get('kind')}")
    if told.get("model") != _named(pipeline):
        raise SigeError(f"{path} belongs to another model, {told.get('model')}, than this, {_named(pipeline)}")
    with understood(file):
        settings = dict(told["settings"])
        references = [file.array(f"reference.{i}") for i in range(int(settings.pop("references")))]
        given, prompt = _source(file, "given", told["given"]), str(settings.pop("prompt"))
        session = TokenSession(pipeline, given, prompt=prompt, references=references, history=history, **settings)
        session.note, session._to_generate = told.get("note"), bool(told["generate"])
        session.generated = bool(told["generated"])
        view = None
        if told["windows"]:
            kept = told["windows"][0]
            view = session._looked(placed(Box(*map(int, kept["box"])), session.size, session._seen))
            for name, how in kept["steps"].items():
                step, record = int(name), KeyValueRecord(how["codec"])
                places = [Place(step, str(stream), int(layer)) for stream, layer in how["places"]]
                shape = heads, rows, width = tuple(map(int, how["shape"]))
                layers = [(place.stream, place.layer) for place in places]
                if step not in view.steps or shape != view.shape or sorted(layers) != sorted(pipeline.layers):
                    raise SigeError(f"{file.path} is damaged: step {step} is not what this model records")
                record.restore(places, (heads, rows, width), partial(_part, file, name))
                view.engine.keep(step, record, rows)
        session.given = _original(file, "given", told["given"], session)
        for which in ("undo", "redo"):
            for i, past in enumerate(told[which]):
                original = _original(file, f"{which}.{i}", past, session)
                getattr(session._history, which).append(session._past(original))
        session._history.fit()
    return session


def _part(file: Container, step: str, name: str) -> Array:
    return file.array(f"window.0.step.{step}.{name}")


def _named(pipeline: Pipeline) -> str:
    return pipeline.name if pipeline.bits == 16 else f"{pipeline.name} q{pipeline.bits}"


def _packed(arrays: dict[str, Array], prefix: str, original: Original) -> dict[str, Any]:
    told = {**pack(arrays, prefix, original.source), "prompt": original.prompt}
    if original.latents is not None and original.window is not None:
        arrays[f"{prefix}.latents"] = np.asarray(original.latents.tokens)
        told["window"] = original.window.box
    return told


def _source(file: Container, prefix: str, told: Any) -> Source:
    source = unpack(file, prefix, told)
    if not isinstance(source, Source):
        raise SigeError(f"{file.path} is damaged: {prefix} is no picture")
    return source


def _original(file: Container, prefix: str, told: Any, session: TokenSession) -> Original:
    source, latents, window = _source(file, prefix, told), None, None
    if source.size != session.size:
        raise SigeError(f"{file.path} is damaged: {prefix} has another size")
    if "window" in told:
        window = placed(Box(*map(int, told["window"])), session.size, session._seen)
        tokens = mx.array(file.array(f"{prefix}.latents"))
        count = session._seen[0] * session._seen[1] // session.pipeline.patch**2
        if tokens.shape != (1, count, session.pipeline.sizes.channels) or tokens.dtype != mx.float32:
            raise SigeError(f"{file.path} is damaged: the latents of {prefix} are not its picture's")
        latents = Latents(tokens, None)
    return Original(source, str(told["prompt"]), window, latents)
