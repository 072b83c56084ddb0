"""Sessions in files: the original, what was recorded of it, and the originals that it can go back to."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import numpy.typing as npt

from sige_mlx.editing.boxes import Box
from sige_mlx.editing.colour import Colours, Profile
from sige_mlx.editing.container import Array, Container, write
from sige_mlx.editing.history import Past
from sige_mlx.editing.images import Source
from sige_mlx.editing.recording import Recording
from sige_mlx.editing.windows import placed
from sige_mlx.engine import Engine
from sige_mlx.errors import SigeError, first_line

if TYPE_CHECKING:
    from sige_mlx.editing.base import Session

PURPOSE = "a session"

Opened = TypeVar("Opened", bound="Session[Any]")


def save(session: Session[Any], path: str | os.PathLike[str]) -> None:
    """Writes a session."""
    history, engine = session._history, session.engine
    _tell_of_no_recordings(engine, path)
    arrays: dict[str, Array] = {}
    windows: list[dict[str, Any]] = []
    with session._access.first():
        session.settle()
        for window, recording in session._views:
            recording.take_all()
            stale, steps = set(recording.stale), {}
            for number, step in enumerate(recording.steps):
                if step in recording and (found := engine.stored(recording.key(step))):
                    codec, parts = found
                    steps[str(number)] = {"exact": step not in stale, "codec": codec, "arrays": len(parts)}
                    arrays |= {_named(len(windows), number, i): part for i, part in enumerate(parts)}
            windows.append({"box": window.box, "steps": steps})
        told: dict[str, Any] = {
            "kind": type(session).__name__,
            "engine": engine.fingerprint,
            "size": engine.image_size,
            "settings": session._settings,
            "windows": windows,
            "note": session.note,
            "given": pack(arrays, "given", session.given),
        }
        for which, pasts in (("undo", history.undo), ("redo", history.redo)):
            told[which] = []
            for i, past in enumerate(pasts):
                told[which].append({**pack(arrays, f"{which}.{i}", past.given), "box": past.box})
                arrays[f"{which}.{i}.region"] = past.region
        write(path, PURPOSE, {name: np.ascontiguousarray(array) for name, array in arrays.items()}, told)


def _named(window: int, step: int, i: int) -> str:
    """An array of what is recorded of a step."""
    return f"window.{window}.step.{step}.{i}"


def opened(path: str | os.PathLike[str], kind: str, engine: Engine) -> Container:
    """The file of a session of a kind and an engine. Raises `SigeError` for another."""
    file = Container(path, PURPOSE)
    if file.told.get("kind") != kind:
        raise SigeError(f"{path} is the session of another kind of network, {file.told.get('kind')}")
    if file.told.get("engine") != engine.fingerprint:
        raise SigeError(
            f"{path} belongs to another network than this one, or to another policy or device: open it with the one"
            " that it was recorded with, or record anew into another file"
        )
    return file


def fill(session: Session[Any], file: Container) -> None:
    """Gives a session, just made, what a file has of it. Raises `SigeError` where the file is damaged."""
    told = file.told
    _tell_of_no_recordings(session.engine, file.path)
    session.note = told.get("note")
    with understood(file):
        for which, pasts in (("undo", session._history.undo), ("redo", session._history.redo)):
            for i, given in enumerate(told[which]):
                box, region = Box(*map(int, given["box"])), file.array(f"{which}.{i}.region").astype(np.bool_)
                if region.shape != box.size or not box.within(session.size):
                    raise SigeError(f"{file.path} is damaged: a region in it is not a part of its picture")
                pasts.append(Past(session._read(unpack(file, f"{which}.{i}", given), box.size), box, region))
        session._history.fit()
        for of, kept in enumerate(told["windows"]):
            window = placed(Box(*map(int, kept["box"])), session.size, session.engine.image_size)
            recording = session._views.use(window)
            for number, step in enumerate(recording.steps):
                if how := kept["steps"].get(str(number)):
                    recording.stored[step] = _taker(session, file, (of, number), recording, how)


class understood:
    """Says of what is told in a file, and makes no sense, that the file is damaged."""

    def __init__(self, file: Container):
        self._file = file

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, SigeError) and str(error).startswith(str(self._file.path)):
            return
        if isinstance(error, Exception):
            raise SigeError(f"{self._file.path} is damaged: {first_line(error)}") from error


def unpack(file: Container, prefix: str, told: Any) -> Any:
    """An original out of a file."""
    if "maps" in told:
        ids, instances = (file.array(f"{prefix}.{name}").astype(np.int32) for name in ("labels", "instances"))
        return ids, instances
    rgb, alpha = file.array(f"{prefix}.rgb"), None
    if f"{prefix}.alpha" in file:
        alpha = file.array(f"{prefix}.alpha")
    profile = Profile(file.array(f"{prefix}.profile").tobytes()) if f"{prefix}.profile" in file else None
    metadata: dict[str, Any] = {"dpi": tuple(map(float, told["dpi"]))} if told["dpi"] else {}
    if f"{prefix}.exif" in file:
        metadata["exif"] = file.array(f"{prefix}.exif").tobytes()
    pixels = file.array(f"{prefix}.pixels")
    h, w, _ = pixels.shape
    shapes = (pixels.shape, rgb.shape, (h, w) if alpha is None else alpha.shape)
    if not h * w or shapes != ((h, w, 3), (h, w, 3), (h, w)) or {a.dtype.str for a in (pixels, rgb)} != {"|u1"}:
        raise SigeError(f"{file.path} is damaged: {prefix} is no picture")
    low = file.array(f"{prefix}.low").copy() if f"{prefix}.low" in file else None
    if low is not None and (low.shape != (h, w, 3 if alpha is None else 4) or low.dtype.str != "|u1"):
        raise SigeError(f"{file.path} is damaged: {prefix} is no picture")
    own = Colours(rgb.copy(), None if alpha is None else alpha.copy(), profile, low=low)
    name, lossy = str(told["name"]), str(told["lossy"])
    return Source(name, pixels.copy(), own, metadata, lossy, tuple(map(str, told["notes"])))


def pack(arrays: dict[str, Array], prefix: str, given: Any) -> dict[str, Any]:
    """Adds an original to the arrays of a file; returns what else is to be told of it."""
    if isinstance(given, tuple):
        for name, ids in zip(("labels", "instances"), given, strict=True):
            arrays[f"{prefix}.{name}"] = np.asarray(ids, np.int32)
        return {"maps": True}
    arrays |= {f"{prefix}.pixels": given.pixels, f"{prefix}.rgb": given.own.rgb}
    if given.own.alpha is not None:
        arrays[f"{prefix}.alpha"] = given.own.alpha
    if given.own.low is not None:
        arrays[f"{prefix}.low"] = given.own.low
    if given.own.profile:
        arrays[f"{prefix}.profile"] = np.frombuffer(given.own.profile.data, np.uint8)
    if "exif" in given.metadata:
        arrays[f"{prefix}.exif"] = np.frombuffer(given.metadata["exif"], np.uint8)
    dpi = given.metadata.get("dpi")
    return {"name": given.name, "lossy": given.lossy, "notes": given.notes, "dpi": dpi}


def _tell_of_no_recordings(engine: Engine, path: str | os.PathLike[str]) -> None:
    """Warns of a device whose recordings cannot be stored."""
    if not engine.executor.keeps:
        warnings.warn(
            f"{path} keeps no recordings, which device {engine.device!r} cannot store: what is edited is recorded anew"
            " whenever it is opened",
            stacklevel=1,
        )


def _taker(
    session: Session[Any], file: Container, at: tuple[int, int], recording: Recording, how: dict[str, Any]
) -> Callable[[], bool]:
    """What takes a recorded step of a window out of a file when it is needed."""
    step = recording.steps[at[1]]
    codec, count, exact = how["codec"], int(how["arrays"]), bool(how["exact"])

    def take() -> bool:
        try:
            arrays: Sequence[npt.NDArray[Any]] = [file.array(_named(*at, i)) for i in range(count)]
            recording.restore(step, codec, arrays, exact, **session._conditions(step))
        except SigeError as error:
            warnings.warn(f"{error}: step {at[1] + 1} is recorded anew", stacklevel=2)
            return False
        return True

    return take
