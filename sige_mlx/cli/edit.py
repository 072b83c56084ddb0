"""`sige-mlx edit`: a painted picture or an edited label map in, the re-rendered picture out."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, TypeAlias

import typer

from sige_mlx.cli import options, terminal
from sige_mlx.errors import SigeError

if TYPE_CHECKING:
    from PIL.Image import Image

    from sige_mlx.editing.images import Picture
    from sige_mlx.editing.result import DenseResult, EditResult
    from sige_mlx.engine import Engine

    Images: TypeAlias = dict[str, Image]  # by the option that named the file

OF_PICTURES = ("mask", "steps", "strength", "seed", "sampler")
"""Options that say how a painting becomes a picture; of label maps, the network makes one at once."""


class _Rendered(NamedTuple):
    """What an edit came to, what it was made of, and the settings in words."""

    result: "EditResult"
    dense: "DenseResult | None"
    before: "Picture"
    painted: "Picture"
    settings: str
    unedited: str


def edit(
    context: typer.Context,
    out: Annotated[Path, typer.Option(metavar="FILE", help="Where the result goes; the extension says the format.")],
    original: options.OriginalFile = None,
    edited: options.EditedFile = None,
    model: options.Model = None,
    mask: options.MaskFile = None,
    labels: options.LabelsFile = None,
    edited_labels: options.EditedLabelsFile = None,
    instances: options.InstancesFile = None,
    edited_instances: options.EditedInstancesFile = None,
    steps: options.Steps = None,
    strength: options.Strength = None,
    seed: options.Seed = 0,
    sampler: options.Sampler = None,
    device: options.Device = "cpu",
    threads: options.Threads = 0,
    report: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Also one picture of the whole story: mask, tiles, figures.")
    ] = None,
    compare: Annotated[
        bool, typer.Option("--compare", help="Also run it densely: adds true dense seconds and the difference.")
    ] = False,
    json: options.AsJson = False,
) -> None:
    """Re-render what was painted into a picture, or changed in a label map, recomputing only the tiles it touches.

    Paint roughly, with flat colours, in any program; keep the picture's size, which must be the model's. Pixels that
    were not edited stay as they are, exactly. The original is recorded first, step by step, as slowly as a dense run;
    of the edit only the active tiles are computed.

    With the small model in the package, which knows satellite pictures of 128×128 pixels; and with another model, a
    mask drawn by hand and more freedom:

        sige-mlx edit --original sea.png --edited island.png --out new.png --report report.png
        sige-mlx edit -m ddpm-church-256 --original a.png --edited b.png --mask m.png --strength 0.6 --out c.png

    In half the steps, and by a network distilled to 8 steps, of which an edit takes 5:

        sige-mlx edit -m ddpm-church-256 --sampler dpm-solver --original a.png --edited b.png --out c.png
        sige-mlx edit -m pd-church-128 --original a.png --edited b.png --out c.png

    A label map says what every pixel shows: grey with the class ids, or in the colours of Cityscapes.

        sige-mlx edit -m gaugan-cityscapes --labels a.png --edited-labels b.png --out c.png
    """
    from PIL import Image

    from sige_mlx import zoo
    from sige_mlx.editing import open_image, save_image
    from sige_mlx.editing.figures import as_json, figures
    from sige_mlx.editing.images import check_destination

    _check_options(context)
    check_destination(out)
    if report:
        check_destination(report)
        if report.resolve() == out.resolve():
            raise SigeError(f"--out and --report are both {out}: they must be two files")
    given = {"original": original, "edited": edited, "mask": mask, "labels": labels, "edited_labels": edited_labels}
    given |= {"instances": instances, "edited_instances": edited_instances}
    images = {name: open_image(path) for name, path in given.items() if path}
    pretrained = zoo.load(zoo.DEFAULT if model is None else model)
    engine = pretrained.engine(device, threads=threads)
    if labels:
        rendered = _of_labels(engine, images, compare)
    else:
        sampling = {"steps": steps, "strength": strength, "seed": seed, "sampler": sampler}
        rendered = _of_pictures(engine, images, sampling, compare)
    result, dense = rendered.result, rendered.dense
    if report:
        from sige_mlx.editing.report import report as draw

        subtitle = f"{Path(pretrained.name).name} · {rendered.settings} · {device}"
        page = draw(rendered.before, rendered.painted, result, dense, title=out.name, subtitle=subtitle)
        save_image(page, report)
    save_image(Image.fromarray(result.image), out)
    if json:
        files = {"model": pretrained.name, "out": str(out), "report": str(report) if report else None}
        terminal.print_json({**files, **as_json(result, dense)})
        return
    terminal.print_figures(figures(result, dense))
    if not result.mask.any():
        typer.echo(f"Nothing was edited: {rendered.unedited}. The result is the original.")
    typer.echo(f"{out} is written" + (f", and {report}" if report else ""))


def _check_options(context: typer.Context) -> None:
    """Raises `SigeError` unless the options describe one edit, of a picture or of a label map."""
    named = {
        name for name in context.params if (source := context.get_parameter_source(name)) and source.name != "DEFAULT"
    }
    of_labels = [name for name in ("labels", "edited_labels", "instances", "edited_instances") if name in named]
    of_pictures = [name for name in ("original", "edited", *OF_PICTURES) if name in named]
    if not {"original", "edited", *of_labels} & named:
        raise SigeError("there is no edit: give --original and --edited, or --labels and --edited-labels")
    if of_labels and of_pictures:
        raise SigeError(
            f"{_option(of_pictures[0])} is for pictures and {_option(of_labels[0])} for label maps: give one kind"
        )
    for one, other in (("original", "edited"), ("labels", "edited_labels")):
        if len({one, other} & named) == 1:
            raise SigeError(f"{_option(one)} and {_option(other)} go together: an edit is where the two differ")
    if "instances" in named or "edited_instances" in named:
        if "labels" not in named:
            raise SigeError(
                f"{_option(of_labels[0])} says where the objects of a label map are: give --labels and --edited-labels"
            )
        if "instances" not in named:
            raise SigeError("--edited-instances goes with --instances: an edit is where the two differ")


def _option(name: str) -> str:
    return "--" + name.replace("_", "-")


def _of_pictures(engine: "Engine", images: "Images", sampling: dict[str, Any], compare: bool) -> _Rendered:
    from sige_mlx.editing import EditSession
    from sige_mlx.editing.images import picture

    painted, mask = images["edited"], images.get("mask")
    session = EditSession(engine, images["original"], **sampling)
    with terminal.progress_bars(terminal.STAGES) as tell:
        result = session.edit(painted, mask, tell)
        dense = session.dense(painted, mask, tell) if compare else None
    settings = f"{session.denoising}, seed {sampling['seed']}"
    unedited = "the pictures do not differ, or the mask is black"
    return _Rendered(result, dense, session.original, picture(painted, engine.plan.image_size), settings, unedited)


def _of_labels(engine: "Engine", images: "Images", compare: bool) -> _Rendered:
    from sige_mlx.editing import LabelSession
    from sige_mlx.editing.label_maps import colours, read_map

    edited = images["edited_labels"], images.get("edited_instances")
    session = LabelSession(engine, images["labels"], images.get("instances"))
    with terminal.progress_bars(terminal.STAGES) as tell:
        result = session.edit(*edited, tell)
        dense = session.dense(*edited, tell) if compare else None
    shown = colours(read_map(edited[0], engine.plan.image_size, "the edited label map"))
    return _Rendered(result, dense, session.record(), shown, "label map", "the label maps do not differ")
