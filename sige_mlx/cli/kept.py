"""Sessions that the command line keeps in files."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sige_mlx.errors import SigeError

if TYPE_CHECKING:
    from sige_mlx.editing.container import Container
    from sige_mlx.editing.opening import AnySession
    from sige_mlx.tokens.session import TokenSession
    from sige_mlx.zoo import Pretrained

QUALITY = "balanced"
"""That of sessions which name none."""


def described(path: Path) -> tuple[Container, dict[str, Any]]:
    """The file of a session, and what `save` noted in it. Raises `SigeError` for one that no verb here wrote."""
    from sige_mlx.editing.container import Container
    from sige_mlx.editing.saved import PURPOSE
    from sige_mlx.editing.turns import begun

    if path.exists() and not begun(path):
        raise SigeError(f"{path} has no session in it yet: the call that began it has not ended, or was killed")
    file = Container(path, PURPOSE)
    note = file.told.get("note")
    if not isinstance(note, dict) or not isinstance(note.get("model"), str):
        raise SigeError(f"{path} does not say whose model it is: `sige-mlx edit --session` writes files that do")
    return file, note


def reopened(path: Path, threads: int = 0) -> tuple[AnySession, Pretrained, dict[str, Any]]:
    """The session in a file, its model, and what `save` noted."""
    from sige_mlx.editing.opening import load

    _, note = described(path)
    try:
        how = {"quality": note.get("quality", QUALITY), "threshold": note.get("threshold"), "threads": threads}
        model = load(note["model"], str(note.get("device")), **how)
        model.engine  # noqa: B018, which says so of a device that there is not
    except SigeError as error:
        raise SigeError(f"the model of {path} cannot be loaded: {error}") from error
    session = model.open(path)
    session.note = note
    return session, model.pretrained, note


def going_on(path: Path, given: dict[str, Any], threads: int) -> tuple[AnySession, Pretrained]:
    """The session in a file and its model. Raises `SigeError` where options that were given are not those that it was
    begun with."""
    session, pretrained, made = reopened(path, threads)
    if "model" in given:
        given = {**given, "model": note(given["model"], "")["model"]}
    check_begun(path, given, {"quality": QUALITY, **made, **session._settings})
    return session, pretrained


def check_begun(path: Path, given: dict[str, Any], begun: dict[str, Any]) -> None:
    """Raises `SigeError` where one of the options that were given is not what a session in a file was begun with, of
    which a tolerance is called `eps`."""
    from sige_mlx.cli import options
    from sige_mlx.masks.difference import LEVELS

    for name, value in given.items():
        option, was = options.spelled(name), begun.get(name)
        if name == "tolerance":
            was, value = begun.get("eps"), options.eps(value)
        if was == value:
            continue
        if name == "tolerance" and was is not None:
            was = f"{was * LEVELS:g}"
        told = f"without {option}" if was is None or was is False or was == [] else f"with {option} {was}"
        raise SigeError(f"{path} was begun {told}: leave {option} away, or begin another session")


def check_original(session: AnySession | TokenSession, path: Path, files: dict[str, Path]) -> None:
    """Raises `SigeError` where an original among the files is not the session's."""
    import numpy as np

    from sige_mlx.editing import LabelSession

    told = f"of {path}, in which a commit has made it another: leave" if session.undoable else f"of {path}: leave"
    other = "away to edit what the session has, or begin another session in another file"
    if isinstance(session, LabelSession):
        if "labels" in files and not np.array_equal(session.read(files["labels"])[0], session.labels):
            raise SigeError(f"{files['labels']} is not the label map {told} --labels {other}")
    elif "original" in files:
        given = session.reader.original(files["original"], f"the original of {path} is {{}}")
        if not np.array_equal(given.pixels, session.original):
            raise SigeError(f"{files['original']} is not the original {told} --original {other}")


def note(model: str, device: str, threshold: int | None = None, quality: str = QUALITY) -> dict[str, Any]:
    """What it takes to open a session again, besides its file."""
    from sige_mlx import families, zoo

    folder = Path(model).expanduser()
    named = model in zoo.EMBEDDED or model in families.KNOWN or not (folder / zoo.CONFIG_FILE).is_file()
    named_so = model if named else str(folder.resolve())
    return {"model": named_so, "device": device, "threshold": threshold, "quality": quality}


def save(session: AnySession | TokenSession, path: Path, out: Path | None) -> None:
    """Writes a session. Raises `SigeError` when it cannot be written, which says that `out` is."""
    with _after(out):
        session.save(path)


def add_steps(session: AnySession, path: Path, out: Path, found: os.stat_result) -> None:
    """Writes a session of which steps had to be recorded, as `save` does, unless another process has written its file
    since it was `found`, or the device's recordings cannot be stored."""
    from sige_mlx.editing.turns import turn

    if session.engine.executor.keeps:
        with _after(out), turn(path):
            if os.path.samestat(found, path.stat()):
                session.save(path)


@contextmanager
def _after(out: Path | None) -> Iterator[None]:
    try:
        yield
    except SigeError as error:
        raise SigeError(f"{out} is written, but not the session: {error}" if out else str(error)) from error
