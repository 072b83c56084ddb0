"""`sige-mlx session`: what a file has that `sige-mlx edit --session` keeps, and going back and forth in it."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sige_mlx.cli import kept, options, terminal, tokens
from sige_mlx.errors import SigeError
from sige_mlx.token_models import SESSION

if TYPE_CHECKING:
    from sige_mlx.editing.container import Container

DEEDS = ("show", "undo", "redo", "drop")


def session(
    context: typer.Context,
    deed: Annotated[str, typer.Argument(metavar="|".join(DEEDS), help="What to do with it.")],
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A session that `sige-mlx edit --session` wrote.")],
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Where the picture goes that is the original after undo or redo."),
    ] = None,
    threads: options.Threads = 0,
    json: options.AsJson = False,
) -> None:
    """Show, undo, redo or drop what an editing session keeps in a file.

    `undo` brings back the original before the last commit and `redo` takes it back; both carry the recording along, at
    the price of an edit. The picture of a label map is made anew then, and only nearly what it was. `drop` removes the
    file, also one that is damaged, or empty, as a call that was killed leaves it. Other calls that write it wait
    meanwhile, ten seconds at most.

        sige-mlx edit --session sea.sige --original sea.png --edited island.png --out new.png --commit
        sige-mlx session show sea.sige
        sige-mlx session undo sea.sige --out sea-again.png
    """
    from PIL import Image

    from sige_mlx.editing import LabelSession, save_image
    from sige_mlx.editing.destination import check_apart, check_file, check_picture
    from sige_mlx.editing.turns import begun, turn

    if deed not in DEEDS:
        raise SigeError(f"a session cannot be {deed!r}: it is {', '.join(DEEDS[:-1])} or {DEEDS[-1]}")
    if out:
        if deed not in ("undo", "redo"):
            raise SigeError(f"--out takes the picture of undo and redo: {deed} makes none")
        check_picture(out)
        check_apart(out, file, "--out and the session")
    if deed == "drop":
        _drop(context, file, json)
        return
    if deed != "show" and begun(file):
        check_file(file)
        context.with_resource(turn(file))
    described, note = kept.described(file)
    if deed in ("undo", "redo") and described.told.get("kind") == SESSION:
        by_tokens = tokens.reopened(file)
        (by_tokens.undo if deed == "undo" else by_tokens.redo)()
        if out:
            save_image(by_tokens.source.image, out)
        kept.save(by_tokens, file, out)
        described, note = kept.described(file)
    elif deed in ("undo", "redo"):
        opened, _, _ = kept.reopened(file, threads)
        with terminal.progress_bars(terminal.STAGES) as tell:
            (opened.undo if deed == "undo" else opened.redo)(tell)
            if out:
                made = opened.record(tell) if isinstance(opened, LabelSession) else None
                picture = Image.fromarray(made) if made is not None else opened.source.image  # type: ignore[union-attr]
                save_image(picture, out)
        kept.save(opened, file, out)
        described, note = kept.described(file)
    numbers = _numbers(described, note)
    if json:
        terminal.print_json({"file": str(file), "deed": deed, **numbers})
        return
    settings = ", ".join(f"{name} {value}" for name, value in numbers["settings"].items())
    windows = len(numbers["windows"])
    terminal.pairs(
        [
            ("model", f"{numbers['model']} on {numbers['device']}"),
            ("quality", numbers["quality"]),
            ("threshold", "the model's own" if numbers["threshold"] is None else str(numbers["threshold"])),
            ("settings", settings),
            ("recorded steps", f"{numbers['recorded']}, in {windows} window{'s' * (windows != 1)}"),
            ("commits to undo, to redo", f"{numbers['undo']}, {numbers['redo']}"),
            ("size", f"{numbers['bytes'] / 2**20:.1f} MiB"),
        ]
    )


def _drop(context: typer.Context, file: Path, json: bool) -> None:
    """Removes a session. Raises `SigeError` for a file of something else."""
    from sige_mlx.editing.container import claims
    from sige_mlx.editing.saved import PURPOSE
    from sige_mlx.editing.turns import begun, turn

    numbers: dict[str, Any] = {}
    if file.exists():
        context.with_resource(turn(file))
    try:
        numbers = _numbers(*kept.described(file))
    except SigeError:
        empty = file.exists() and not begun(file)
        if not empty and not claims(file, PURPOSE):
            raise
    try:
        file.unlink()
    except OSError as error:
        raise SigeError(f"{file} cannot be removed: {error.strerror}") from error
    if json:
        terminal.print_json({"file": str(file), "deed": "drop", **numbers})
    else:
        terminal.say(f"{file} is removed")


def _numbers(described: "Container", note: dict[str, Any]) -> dict[str, Any]:
    """What a session's file tells of it. Raises `SigeError` where that makes no sense."""
    from sige_mlx.editing.boxes import Box
    from sige_mlx.editing.saved import understood

    told = described.told
    with understood(described):
        return {
            "model": note["model"],
            "device": str(note.get("device")),
            "quality": str(note.get("quality", kept.QUALITY)),
            "threshold": note.get("threshold"),
            "settings": {name: value for name, value in dict(told.get("settings", {})).items() if name != "palette"},
            "recorded": sum(len(of["steps"]) for of in told["windows"]),
            "windows": [Box(*of["box"])._asdict() for of in told["windows"]],
            "undo": len(told.get("undo", ())),
            "redo": len(told.get("redo", ())),
            "bytes": described.nbytes,
        }
