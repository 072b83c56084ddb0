"""The options that several verbs have."""

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from sige_mlx.errors import SigeError

OF_LABELS = ("labels", "edited_labels", "instances", "edited_instances")
"""Options of networks that read label maps."""

OF_PICTURES = ("original", "edited", "mask", "tolerance")
"""Options of networks that read pictures."""

OF_DIFFUSION = ("steps", "strength", "seed", "sampler", "fill")
"""Options of networks that make a picture step by step."""

Model = Annotated[
    str | None,
    typer.Option(
        "--model",
        "-m",
        metavar="NAME|PATH",
        help="A model's name, or its folder (config.json and model.safetensors).",
        show_default="the small one in the package",
    ),
]
Steps = Annotated[
    int | None,
    typer.Option(
        help="Sampler steps: more are slower and keep more memory. 10 to 50 are usual; distilled networks take fewer.",
        show_default="20; 10 of dpm-solver, 5 of pd",
    ),
]
Strength = Annotated[
    float | None,
    typer.Option(
        help="How much noise the painting is given, above 0 and at most 1: low keeps strokes, high invents.",
        show_default="0.5; 0.625 of pd, with steps 8 times it",
    ),
]
Seed = Annotated[int, typer.Option(help="Seed of all noise: the same seed gives the same picture.")]
Sampler = Annotated[
    str | None,
    typer.Option(
        metavar="ddim|ddpm|dpm-solver|pd",
        help="ddim is deterministic, ddpm adds noise at every step, dpm-solver is deterministic and needs half the"
        " steps; pd is that of distilled networks, and their only one.",
        show_default="ddim, or pd",
    ),
]
Threshold = Annotated[
    int | None,
    typer.Option(
        help="Side of the planes from which on edits use tiles; smaller ones are computed whole.",
        show_default="the model's own",
    ),
]
Quality = Annotated[
    str,
    typer.Option(
        metavar="fast|balanced|exact",
        help="How near an edit is to the dense pass. fast: edits of any size are computed as small ones. balanced:"
        " large ones more exactly, as was measured to be worth its time. exact: an edit is the dense pass.",
    ),
]
Fill = Annotated[
    bool,
    typer.Option(
        "--fill",
        help="Invent what is under --mask, or where --edited differs, from noise alone: what was painted is not seen.",
    ),
]
Window = Annotated[
    str | None,
    typer.Option(
        metavar="X,Y,SIZE",
        help="The part of the picture that a diffusion model sees: from this column and row on, so many pixels wide.",
        show_default="what fits the edit best",
    ),
]
Scale = Annotated[
    float | None,
    typer.Option(
        metavar="PIXELS",
        help="How many pixels of the picture are one of the model's, 1 or more.",
        show_default="the smallest at which the edit is seen whole",
    ),
]
Prompt = Annotated[
    str | None,
    typer.Option(
        metavar="WORDS",
        help="What is to be seen, for models that edit by tokens. Without a picture, a new one is made of it.",
        show_default="that of the session",
    ),
]
Reference = Annotated[
    list[Path] | None,
    typer.Option(metavar="FILE", help="A picture that such a model reads beside the one that it edits; repeatable."),
]
NewSize = Annotated[
    str | None,
    typer.Option(metavar="WIDTHxHEIGHT", help="Of a new picture made of words.", show_default="512x512"),
]
Bits = Annotated[
    int | None,
    typer.Option(metavar="16|8|4", help="Quantise the weights of such a model.", show_default="as published"),
]
Lora = Annotated[
    list[Path] | None,
    typer.Option(metavar="FILE", help="A LoRA for such a model, as mflux reads it; repeatable."),
]
RecordIn = Annotated[
    str | None,
    typer.Option(
        metavar="bfloat16|float16|float32|int8",
        help="What its keys and values are kept in; int8 takes half.",
        show_default="the model's own, or int8 where memory has no room",
    ),
]
Device = Annotated[
    str,
    typer.Option(
        metavar="cpu|gpu|reference",
        help="cpu: the native engine; gpu: Metal; reference: plain MLX, a slow oracle.",
    ),
]


class Weights(str, Enum):
    """Where the weights of a network come from."""

    own = "own"
    random = "random"


OfWeights = Annotated[Weights, typer.Option(help="own: the model's; random: as fast, and no checkpoint is needed.")]
Threads = Annotated[int, typer.Option(help="Threads of the native engine.", show_default="one per fast processor")]
AsJson = Annotated[bool, typer.Option("--json", help="Print numbers as JSON, and nothing else, on standard output.")]
OriginalFile = Annotated[Path | None, typer.Option(metavar="FILE", help="The picture before the edit.")]
EditedFile = Annotated[Path | None, typer.Option(metavar="FILE", help="The same picture, painted into.")]
LabelsFile = Annotated[Path | None, typer.Option(metavar="FILE", help="The label map before the edit.")]
EditedLabelsFile = Annotated[Path | None, typer.Option(metavar="FILE", help="The same label map, edited.")]
InstancesFile = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Which object each pixel of the label map belongs to: grey ids, or a colour each.",
        show_default="one for each area of a class",
    ),
]
EditedInstancesFile = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE", help="The same after the edit.", show_default="the original's, where the class is the same"
    ),
]
MaskFile = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="What to re-render: white, or any bright colour, on black; or opaque, where the file has transparency.",
        show_default="where the pictures differ, grown a little",
    ),
]


Tolerance = Annotated[
    float | None,
    typer.Option(
        metavar="LEVELS",
        help="How far apart pixels of the two pictures may be, in levels of 0 to 255, and still count as unedited.",
        show_default="the model's own, 1 or 2",
    ),
]


def eps(tolerance: float | None) -> float | None:
    """A tolerance as sessions take it; raises `SigeError` for one out of range."""
    if tolerance is None:
        return None
    from sige_mlx.arguments import real
    from sige_mlx.masks.difference import LEVELS

    return real(tolerance, "--tolerance", 0, 255) / LEVELS


def window_of(text: str | None) -> tuple[int, int, int] | None:
    """A window as sessions take it; raises `SigeError` for what is none."""
    if text is None:
        return None
    try:
        left, top, width = map(int, text.split(","))
    except ValueError:
        raise SigeError(f"--window is {text!r}: it must be X,Y,SIZE, three whole numbers") from None
    return left, top, width


def named(context: typer.Context) -> set[str]:
    """The parameters that were given."""
    sources = {name: context.get_parameter_source(name) for name in context.params}
    return {name for name, source in sources.items() if source and source.name != "DEFAULT"}


def check_label_options(named: set[str]) -> None:
    """Raises `SigeError` unless the options of label maps among those `named` describe one edit, or none."""
    go_together(named, "labels", "edited_labels")
    if "labels" not in named and (given := [name for name in OF_LABELS if name in named]):
        told = f"{spelled(given[0])} says where the objects of a label map are"
        raise SigeError(f"{told}: give --labels and --edited-labels")
    if "edited_instances" in named and "instances" not in named:
        raise SigeError("--edited-instances goes with --instances: an edit is where the two differ")


def check_picture_options(named: set[str]) -> None:
    """Raises `SigeError` unless the options of pictures among those `named` describe one edit, or none."""
    if "fill" not in named:
        go_together(named, "original", "edited")
    elif "original" not in named or not {"mask", "edited"} & named:
        raise SigeError("--fill invents a part of --original: give that, and --mask or --edited, which say what part")
    if "tolerance" in named and ("mask" in named or "original" not in named):
        raise SigeError("--tolerance says where --original and --edited differ: it does not go with --mask")


def go_together(named: set[str], one: str, other: str) -> None:
    """Raises `SigeError` where one of two options is given without the other."""
    if len({one, other} & named) == 1:
        raise SigeError(f"{spelled(one)} and {spelled(other)} go together: an edit is where the two differ")


def spelled(parameter: str) -> str:
    """A parameter as it is typed."""
    return "--" + parameter.replace("_", "-")
