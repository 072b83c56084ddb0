"""`sige-mlx edit`: a painted picture or an edited label map in, the re-rendered or translated picture out."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sige_mlx.cli import kept, options, terminal
from sige_mlx.cli.rendered import look, rendered_of
from sige_mlx.errors import SigeError

if TYPE_CHECKING:
    from sige_mlx.editing.opening import AnySession
    from sige_mlx.zoo import Pretrained


def edit(
    context: typer.Context,
    out: Annotated[Path, typer.Option(metavar="FILE", help="Where the result goes; the extension says the format.")],
    original: options.OriginalFile = None,
    edited: options.EditedFile = None,
    model: options.Model = None,
    mask: options.MaskFile = None,
    tolerance: options.Tolerance = None,
    labels: options.LabelsFile = None,
    edited_labels: options.EditedLabelsFile = None,
    instances: options.InstancesFile = None,
    edited_instances: options.EditedInstancesFile = None,
    steps: options.Steps = None,
    strength: options.Strength = None,
    seed: options.Seed = 0,
    sampler: options.Sampler = None,
    fill: options.Fill = False,
    prompt: options.Prompt = None,
    reference: options.Reference = None,
    size: options.NewSize = None,
    bits: options.Bits = None,
    lora: options.Lora = None,
    record: options.RecordIn = None,
    window: options.Window = None,
    scale: options.Scale = None,
    quality: options.Quality = "balanced",
    threshold: options.Threshold = None,
    device: options.Device = "cpu",
    threads: options.Threads = 0,
    report: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Also one picture of the whole story: mask, tiles, figures.")
    ] = None,
    compare: Annotated[
        bool, typer.Option("--compare", help="Also run it densely: adds true dense seconds and the difference.")
    ] = False,
    session: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Keep what was recorded of the original in this file, or go on with what is in it."
        ),
    ] = None,
    commit: Annotated[
        bool, typer.Option("--commit", help="Make the result the session's original, which is edited next.")
    ] = False,
    json: options.AsJson = False,
) -> None:
    """Re-render what was painted into a picture, or changed in a label map, recomputing only the tiles it touches.

    Paint roughly, with flat colours, in any program; keep the picture's size and save it without loss, as PNG does. A
    diffusion model sees a picture that is larger than its own through a window around the edit: as large as the model's
    pictures, or a larger edit at a scale, and then what the network changes is carried over to the picture's own
    pixels. --window and --scale choose others. Pixels that were not edited stay as they are, exactly, in a result that
    is saved as PNG, TIFF or WebP; JPEG and AVIF change all of them a little. One edit alone is computed densely, which
    takes less than recording its original first. With --compare it is recorded, and of the edit only the active tiles
    are computed.

    With --session the original is recorded into a file at the first call. Later calls take it from there, and compute
    the tiles that were edited; without --original they edit what the session has, and with --commit the result is
    edited next (`sige-mlx session --help`). Of calls that begin one session, or commit in it, at the same time one
    works and the others wait, ten seconds at most:

        sige-mlx edit --session sea.sige --original sea.png --edited island.png --out new.png --commit
        sige-mlx edit --session sea.sige --edited harbour.png --out newer.png

    With the small model in the package, which knows satellite pictures of 128×128 pixels; and with another model, a
    mask drawn by hand and more freedom:

        sige-mlx edit --original sea.png --edited island.png --out new.png --report report.png
        sige-mlx edit -m ddpm-church-256 --original a.png --edited b.png --mask m.png --strength 0.6 --out c.png

    In half the steps, and by a network distilled to 8 steps, of which an edit takes 5:

        sige-mlx edit -m ddpm-church-256 --sampler dpm-solver --original a.png --edited b.png --out c.png
        sige-mlx edit -m pd-church-128 --original a.png --edited b.png --out c.png

    Something new in a part of a picture, whatever was there, and a large edit at less or at more than its usual price:

        sige-mlx edit --fill --original a.png --mask m.png --out c.png
        sige-mlx edit --quality fast --original a.png --edited b.png --out c.png

    The same with tiles from another plane on than its own, as its authors released it:

        sige-mlx edit -m pd-church-128 --threshold 64 --original a.png --edited b.png --out c.png

    A label map says what every pixel shows: grey with the class ids, or in the colours of the classes; `sige-mlx info`
    lists both. With the small model in the package; and with GauGAN, in the colours of Cityscapes:

        sige-mlx edit --labels a.png --edited-labels b.png --out c.png
        sige-mlx edit -m gaugan-cityscapes --labels a.png --edited-labels b.png --out c.png

    A network that translates pictures, such as CycleGAN's, sees all of the picture, at a scale where memory has no room
    for more. The result is the edited picture translated and, where nothing was edited, the original translated.

        sige-mlx edit -m vintagify --original a.png --edited b.png --out c.png

    FLUX.2-klein, which needs mflux, computes only the tokens under the mask; a new picture of words can begin a
    session. --steps is 4 then and --strength 0.75. The model flux2-tiny has random weights, to try the ways:

        sige-mlx edit -m flux2-klein-4b --prompt "a red boat" --original a.png --mask m.png --out c.png
        sige-mlx edit -m flux2-klein-4b --prompt "a harbour" --size 768x512 --session h.sige --out h.png
        sige-mlx edit --session h.sige --prompt "a lighthouse" --mask m.png --out new.png --commit
    """
    from sige_mlx import zoo
    from sige_mlx.cli import tokens
    from sige_mlx.cli.figures import as_json, figures, saving
    from sige_mlx.editing import EditSession, save_image
    from sige_mlx.editing.destination import check_apart, check_file, check_picture, losses
    from sige_mlx.editing.labels import check_reads_maps
    from sige_mlx.editing.opening import Model
    from sige_mlx.editing.turns import begun, turn
    from sige_mlx.pictures import check_is_picture

    named = options.named(context)
    if by_tokens := tokens.chosen(model, session):
        of_pictures = (out, by_tokens, original, edited, mask, tolerance, prompt, reference or [], size)
        of_model = (steps, strength, seed, bits, [str(file.resolve()) for file in lora or []], record)
        of_result = (session, commit, report, compare, json)
        tokens.edit(context, named, tokens.Asked(*of_pictures, *of_model, *of_result))
        return
    tokens.check_none(named)
    goes_on = session is not None and begun(session)
    alone = session is not None and (commit or not goes_on)
    if session and alone:
        check_file(session)
        context.with_resource(turn(session))
        goes_on = begun(session)  # another may have begun it meanwhile
    if not goes_on:
        _check_options(named, session)
    if commit and not session:
        raise SigeError("--commit makes a result the original of a session: give --session FILE")
    given = {"original": original, "edited": edited, "mask": mask, "labels": labels, "edited_labels": edited_labels}
    given |= {"instances": instances, "edited_instances": edited_instances}
    files = {name: path for name, path in given.items() if path}
    check_picture(out, files.values())
    if report:
        check_picture(report, files.values())
        check_apart(out, report, "--out and --report")
    for path in files.values():
        check_is_picture(path)
    once = session is None and not compare
    part = options.window_of(window)
    opened: AnySession
    if session:
        check_file(session, files.values())
        check_apart(out, session, "--out and --session")
        if report:
            check_apart(report, session, "--report and --session")
    if session and goes_on:
        found = session.stat()
        given_options = {"model": model, "steps": steps, "strength": strength, "seed": seed, "sampler": sampler}
        given_options |= {"fill": fill, "quality": quality, "threshold": threshold, "device": device}
        given_options |= {"tolerance": tolerance}
        opened, pretrained = kept.going_on(session, {k: v for k, v in given_options.items() if k in named}, threads)
        _check_kind(opened, session, named)
        if scale is not None and not isinstance(opened, EditSession):
            raise SigeError(f"{session} sees what it edits at the scale that it was begun with: leave --scale away")
        kept.check_original(opened, session, files)
    else:
        name = (zoo.LABELS if labels else zoo.DEFAULT) if model is None else model
        pretrained = zoo.load(name)
        if pretrained.task == "translation":
            _check_translation(pretrained, named)
        if not labels and pretrained.task == "labels":
            raise SigeError(f"{pretrained.name} makes pictures of label maps: give --labels and --edited-labels")
        if labels:
            check_reads_maps(pretrained.model.config)
        of = Model(pretrained, device, quality=quality, threshold=threshold, threads=threads)
        if labels:
            opened = of.session(labels, scale=scale, instances=instances)
        else:
            assert original
            settings: dict[str, Any] = {"eps": options.eps(tolerance)}
            if pretrained.task == "denoising":
                settings |= {"steps": steps, "strength": strength, "seed": seed, "sampler": sampler, "fill": fill}
            opened = of.session(original, scale=scale, **settings)
        opened.note = kept.note(name, device, threshold, quality)
    look(opened, part, scale)
    rendered = rendered_of(opened, pretrained, files, compare, once)
    result, dense = rendered.result, rendered.dense
    save_image(result.picture, out)
    if session:
        if commit:
            opened.commit()
        if alone:
            kept.save(opened, session, out)
        elif opened.recorded_anew:
            kept.add_steps(opened, session, out, found)
    if report:
        try:
            save_image(rendered.page(Path(pretrained.name).name, device, title=out.name), report)
        except SigeError as error:
            raise SigeError(f"{out} is written, but not the report: {error}") from error
    notes = [*result.notes, *losses(result.picture, out)]
    if json:
        paths = {"out": out, "report": report, "session": session}
        written = {"model": pretrained.name, **{name: str(path) if path else None for name, path in paths.items()}}
        terminal.print_json({**written, **as_json(result, dense), "notes": notes})
        return
    terminal.print_figures(figures(result, dense))
    if not result.mask.any():
        terminal.say(f"Nothing was edited: {rendered.unedited}.")
    if told := saving(result):
        terminal.say(f"{told}.")
    terminal.say(f"{out} is written" + (f", and {report}" if report else ""))
    terminal.notes(notes)


def _check_kind(session: "AnySession", path: Path, named: set[str]) -> None:
    """Raises `SigeError` unless the options, beside what a session has that goes on, describe one edit of its kind."""
    from sige_mlx.editing import EditSession, LabelSession

    maps, fills = isinstance(session, LabelSession), isinstance(session, EditSession) and session.fill
    wanted: tuple[str, ...]
    if maps:
        does, wanted, others = "edits label maps", ("edited_labels",), options.OF_PICTURES
    elif fills:
        does, wanted, others = "fills a part of a picture", ("edited", "mask"), options.OF_LABELS
    else:
        does, wanted, others = "edits a picture", ("edited",), options.OF_LABELS
    if not named.intersection(wanted):
        raise SigeError(f"{path}: this session {does}: give {' or '.join(map(options.spelled, wanted))}")
    if stray := [name for name in others if name in named]:
        raise SigeError(f"{path}: this session {does}: leave {options.spelled(stray[0])} away")
    if maps:
        options.check_label_options(named | {"labels", "instances"})
    else:
        options.check_picture_options(named | {"original"} | ({"fill"} if fills else set()))


def _check_options(named: set[str], session: Path | None) -> None:
    """Raises `SigeError` unless the options describe one edit, of a picture or of a label map; where what is missing is
    the original, it says of a session's file that it has none."""
    try:
        _check_one_edit(named)
    except SigeError as error:
        if session and not {"original", "labels"} & named:
            raise SigeError(f"{session} has no session in it yet, and {error}") from None
        raise


def _check_one_edit(named: set[str]) -> None:
    """Raises `SigeError` unless the options describe one edit, of a picture or of a label map."""
    of_labels = [name for name in options.OF_LABELS if name in named]
    of_pictures = [name for name in (*options.OF_PICTURES, *options.OF_DIFFUSION) if name in named]
    if not {"original", "edited", "fill", *of_labels} & named:
        raise SigeError("there is no edit: give --original and --edited, or --labels and --edited-labels")
    if of_labels and of_pictures:
        picture, label_map = options.spelled(of_pictures[0]), options.spelled(of_labels[0])
        raise SigeError(f"{picture} is for pictures and {label_map} for label maps: give one kind")
    options.check_picture_options(named)
    options.check_label_options(named)


def _check_translation(pretrained: "Pretrained", named: set[str]) -> None:
    """Raises `SigeError` for options that are not for a network that translates."""
    if stray := [name for name in (*options.OF_DIFFUSION, *options.OF_LABELS) if name in named]:
        given, name = options.spelled(stray[0]), pretrained.name
        kind = "label maps" if stray[0] in options.OF_LABELS else "diffusion models"
        raise SigeError(f"{given} is for {kind}: {name} translates a picture, in one pass")
