"""What `sige-mlx edit` and `sige-mlx session` do with models that edit by tokens."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import typer

from sige_mlx.cli import kept, options, terminal
from sige_mlx.cli.rendered import Rendered, unedited
from sige_mlx.errors import SigeError
from sige_mlx.token_models import MODELS, SESSION

if TYPE_CHECKING:
    from sige_mlx.editing.recording import Progress
    from sige_mlx.tokens.klein import Pipeline
    from sige_mlx.tokens.result import TokenResult
    from sige_mlx.tokens.session import TokenSession

_OWN = ("prompt", "reference", "size", "bits", "lora", "record")
"""Options that only these models have."""

_OF_RESULT = ("out", "session", "commit", "report", "compare", "json")
_COMMON = ("model", "original", "edited", "mask", "tolerance", "steps", "strength", "seed", *_OF_RESULT)
"""Those that they share with others."""


class Asked(NamedTuple):
    """What was asked for, by the options' names."""

    out: Path
    model: str
    original: Path | None
    edited: Path | None
    mask: Path | None
    tolerance: float | None
    prompt: str | None
    references: list[Path]
    size: str | None
    steps: int | None
    strength: float | None
    seed: int
    bits: int | None
    lora: list[str]
    record: str | None
    session: Path | None
    commit: bool
    report: Path | None
    compare: bool
    json: bool


def chosen(model: str | None, session: Path | None) -> str | None:
    """The model of tokens that is asked for, or that a session goes on with; None where it is another's."""
    from sige_mlx.editing.container import claims
    from sige_mlx.editing.saved import PURPOSE

    if model in MODELS:
        return model
    if session and claims(session, PURPOSE):
        described, note = kept.described(session)
        if described.told.get("kind") == SESSION:
            return str(note["model"])
    return None


def check_none(named: set[str]) -> None:
    """Raises `SigeError` for options of these models with another."""
    if stray := [name for name in _OWN if name in named]:
        raise SigeError(f"{options.spelled(stray[0])} is for models that edit by tokens: --model {' or '.join(MODELS)}")


def edit(context: typer.Context, named: set[str], asked: Asked) -> None:
    """One edit, or a picture of words alone."""
    from sige_mlx.editing import save_image
    from sige_mlx.editing.destination import check_apart, check_file, check_picture, losses
    from sige_mlx.editing.turns import begun, turn
    from sige_mlx.pictures import check_is_picture

    if stray := sorted(named - {*_OWN, *_COMMON}):
        raise SigeError(f"{options.spelled(stray[0])} is not for {asked.model}: leave it away")
    files = [file for file in (asked.original, asked.edited, asked.mask, *asked.references) if file]
    check_picture(asked.out, files)
    if asked.report:
        check_picture(asked.report, files)
        check_apart(asked.out, asked.report, "--out and --report")
    for file in files:
        check_is_picture(file)
    if asked.session:
        check_file(asked.session, files)
        check_apart(asked.out, asked.session, "--out and --session")
        if asked.report:
            check_apart(asked.report, asked.session, "--report and --session")
    if asked.commit and not asked.session:
        raise SigeError("--commit makes a result the original of a session: give --session FILE")
    changes = asked.edited is not None or asked.mask is not None
    if not changes and (asked.compare or asked.report):
        option = "--compare" if asked.compare else "--report"
        raise SigeError(f"{option} is for an edit: a picture made of words is computed densely")
    with turn(asked.session) if asked.session else nullcontext(), terminal.progress_bars(terminal.STAGES) as tell:
        goes_on = asked.session is not None and begun(asked.session)
        session = _going_on(named, asked) if goes_on else _begun(asked)
        if goes_on and not changes:
            raise SigeError(f"{asked.session}: this session edits a picture: give --mask or --edited")
        rendered, result = _rendered(session, asked, tell) if changes else (None, session.generate(tell))
        save_image(result.picture, asked.out)
        if asked.session:
            if asked.commit and changes:
                session.commit()
            kept.save(session, asked.session, asked.out)
    if asked.report and rendered:
        try:
            save_image(rendered.page(asked.model, "MLX", title=asked.out.name), asked.report)
        except SigeError as error:
            raise SigeError(f"{asked.out} is written, but not the report: {error}") from error
    _tell(session, result, rendered, asked, [*result.notes, *losses(result.picture, asked.out)])


def _rendered(session: TokenSession, asked: Asked, tell: Progress) -> tuple[Rendered, TokenResult]:
    """The edit that is asked for, and the same computed densely where that is."""
    before, painted = session.original, session.original
    if asked.edited:
        painted = session.reader.edited(asked.edited, session.source).pixels
    result = session.edit(asked.edited, asked.mask, prompt=asked.prompt, progress=tell)
    dense = None
    if asked.compare:
        dense = session.dense(asked.edited, asked.mask, prompt=asked.prompt, progress=tell)
    settings = f"{session.steps} steps, strength {session.strength:g}, seed {session.seed}"
    why = unedited(asked.mask, before, painted, session.reader.eps)
    return Rendered(result, dense, before, painted, settings, f"{why}. The result is the original"), result


def reopened(path: Path) -> TokenSession:
    """The session in a file, for undo and redo: they run no pass."""
    from sige_mlx.tokens import klein
    from sige_mlx.tokens.session import TokenSession

    _, note = kept.described(path)
    lora = [str(file) for file in note.get("lora", ())]
    return TokenSession.open(klein.load(str(note["model"]), note.get("bits"), lora=lora), path)


def _begun(asked: Asked) -> TokenSession:
    from sige_mlx.tokens.session import TokenSession
    from sige_mlx.tokens.settings import STEPS, STRENGTH

    if asked.original is None and (asked.edited or asked.mask):
        raise SigeError("an edit changes a picture: give --original, or the --session that has it")
    if asked.original is not None and not (asked.edited or asked.mask):
        raise SigeError("there is no edit: give --mask or --edited, which say what of --original is rendered anew")
    if asked.original is None and not asked.prompt:
        raise SigeError("there is no edit: give --original with --mask or --edited, or --prompt for a new picture")
    size = None if asked.original else _size(asked.size)
    if asked.original and asked.size:
        raise SigeError("--size is that of a new picture: an edit has the size of --original")
    settings: dict[str, Any] = {
        "prompt": asked.prompt or "",
        "references": asked.references,
        "steps": STEPS if asked.steps is None else asked.steps,
        "strength": STRENGTH if asked.strength is None else asked.strength,
        "seed": asked.seed,
        "precision": asked.record,
        "eps": options.eps(asked.tolerance),
    }
    session = TokenSession(_planned(asked, settings, size), asked.original, size=size, **settings)
    session.note = {**kept.note(asked.model, "gpu"), "bits": asked.bits, "lora": asked.lora}
    return session


def _planned(asked: Asked, settings: dict[str, Any], size: tuple[int, int] | None) -> Pipeline:
    """The model, loaded after it is known that it will fit. Raises `SigeError` where it will not."""
    from sige_mlx.editing.images import Source
    from sige_mlx.tokens import klein

    seen = size or Source.of(asked.original, name="the original").size  # type: ignore[arg-type]
    of_references = [Source.of(file, name="a reference").size for file in settings["references"]]
    how = seen, of_references, settings["steps"], settings["strength"]
    klein.fitting(asked.model, *how, [asked.bits], asked.record)
    return klein.load(asked.model, asked.bits, lora=asked.lora)


def _going_on(named: set[str], asked: Asked) -> TokenSession:
    """The session in a file. Raises `SigeError` where options that were given are not those that it was begun with."""
    assert asked.session
    _, note = kept.described(asked.session)
    session = reopened(asked.session)
    begun = {"model": note["model"], "steps": session.steps, "strength": session.strength, "seed": session.seed}
    begun |= {"bits": note.get("bits"), "lora": note.get("lora", []), "record": session.precision}
    given = {name: getattr(asked, name) for name in (*begun, "tolerance") if name in named}
    kept.check_begun(asked.session, given, {**begun, "eps": session.reader.eps})
    for name in ("reference", "size"):
        if name in named:
            raise SigeError(f"{asked.session} is begun already: leave {options.spelled(name)} away")
    if asked.original:
        kept.check_original(session, asked.session, {"original": asked.original})
    return session


def _size(text: str | None) -> tuple[int, int]:
    """Height and width."""
    if text is None:
        return 512, 512
    try:
        width, height = map(int, text.lower().split("x"))
    except ValueError:
        width = height = 0
    if not 16 <= min(width, height) <= max(width, height) <= 4096:
        raise SigeError(f"--size is {text!r}: it must be WIDTHxHEIGHT, such as 768x512, each from 16 to 4096")
    return height, width


def _tell(
    session: TokenSession, result: TokenResult, rendered: Rendered | None, asked: Asked, notes: list[str]
) -> None:
    from sige_mlx.cli.figures import difference

    dense = rendered and rendered.dense
    plan = session.plan()
    if asked.json:
        of_edit = {"edited": float(result.mask.mean()), "tokens": result.tokens, "text_tokens": result.text_tokens}
        cost = {"macs": result.macs, "dense_macs": result.dense_macs, "seconds": result.seconds}
        memory = {"recording": session.recording_nbytes, "planned_recording": plan.recorded, "planned_peak": plan.peak}
        paths = {"out": asked.out, "report": asked.report, "session": asked.session}
        written = {name: str(path) if path else None for name, path in paths.items()}
        if dense:
            cost |= {"dense_seconds": dense.seconds, "difference": difference(result, dense)}
        told = {"model": asked.model, **written, **of_edit, "steps": result.steps, **cost}
        told |= {"recording_seconds": result.recording_seconds, "bytes": memory, "notes": notes}
        terminal.print_json({**told, "seed": session.seed, "prompt": asked.prompt or session.prompt})
        return
    (active, image), (words, text) = result.tokens, result.text_tokens
    less = f"{result.dense_macs / result.macs:.1f}x" if result.macs else ""
    compared = [f"{dense.seconds:.3g}", f"{dense.seconds / result.seconds:.1f}x"] if dense else ["", ""]
    rows = [
        ["edited pixels", f"{result.mask.sum()} ({result.mask.mean():.1%})", f"{result.mask.size}", ""],
        ["image tokens", f"{active}", f"{image}", f"{image / active:.1f}x" if active else ""],
        ["text tokens", f"{words}", f"{text}", ""],
        [f"GMACs, {result.steps} steps", f"{result.macs / 1e9:.3g}", f"{result.dense_macs / 1e9:.3g}", less],
        ["seconds", f"{result.seconds:.3g}", *compared],
        ["seconds of recording", f"{result.recording_seconds:.3g}", "", ""],
        ["MB of keys and values", f"{session.recording_nbytes / 1e6:.1f}", "", ""],
    ]
    terminal.table(["", "the edit", "everything", "times less"], rows)
    if rendered and not result.mask.any():
        terminal.say(f"Nothing was edited: {rendered.unedited}.")
    elif dense:
        terminal.say(f"In the mask the edit and the dense run are {difference(result, dense):.1f} of 255 apart")
    terminal.say(f"{asked.out} is written" + (f", and {asked.report}" if asked.report else ""))
    terminal.notes(notes)
