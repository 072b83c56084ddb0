"""`sige-mlx convert`: a published checkpoint in, a model folder out."""

from pathlib import Path
from typing import Annotated, Any

import typer

from sige_mlx.cli import options, terminal
from sige_mlx.described import parsed
from sige_mlx.errors import SigeError, printable

STAGES = {"checksum": "reading the checkpoint", "write": "writing the model"}


def _setting(text: str) -> tuple[str, Any]:
    """`name=value`, the value as JSON has it, or a bare word."""
    name, equals, value = text.partition("=")
    try:
        return name, parsed(value)
    except ValueError:
        if value.isidentifier():
            return name, value
        wrong = "has no value" if not equals else f"has the value {value!r}"
        raise SigeError(
            f"--set {text}: it {wrong}; NAME=NUMBER, NAME=WORD or NAME=[NUMBER, …] would be right"
        ) from None


def convert(
    source: Annotated[
        str,
        typer.Argument(
            metavar="FILE|FOLDER|hf:OWNER/NAME",
            help="A .pth, .pt, .ckpt, .bin or .safetensors file; a folder with one, of diffusers or of the Hugging Face"
            " cache; or a repository of the hub, also as hf:OWNER/NAME/FOLDER@REVISION.",
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER", help="Folder for the model.", show_default="the weight cache, by the model's name"
        ),
    ] = None,
    family: Annotated[str | None, typer.Option(help="Family of networks.", show_default="told by the tensors")] = None,
    image_size: Annotated[
        int | None,
        typer.Option(
            help="Height and width in pixels, if no published size; of networks of label maps, the width.",
            show_default="told by the tensors",
        ),
    ] = None,
    setting: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="A field of config.json that no tensor tells; repeatable."),
    ] = None,
    weights: Annotated[
        str,
        typer.Option(
            metavar="ema|raw|KEY",
            help="Which weights of a file that has several: averaged ones if it has any, the model's own, or those"
            " under a key (netG, ema.shadow; 4 in a list).",
        ),
    ] = "ema",
    dtype: Annotated[str, typer.Option(metavar="float32|float16", help="float16 halves the file.")] = "float32",
    force: Annotated[bool, typer.Option("--force", help="Replace a model that is there already.")] = False,
    json: options.AsJson = False,
) -> None:
    """Turn a published PyTorch checkpoint into a model that sige-mlx loads.

    Needs no PyTorch and executes nothing that the file holds. A failed conversion leaves no half of a model.
    The cache is ~/.cache/sige-mlx, or the folder that SIGE_MLX_CACHE names.

    Into the cache, to be used as --model ddpm-church-256; and into a folder of its own, half as large:

        sige-mlx convert church256-ddpm-unet.pth
        sige-mlx convert church256-ddpm-unet.pth --dtype float16 --out church

    Weights of diffusers' layout, from the hub (which needs the package huggingface_hub, and the network once), and from
    a folder that `save_pretrained` wrote:

        sige-mlx convert hf:google/ddpm-ema-church-256
        sige-mlx convert my-pipeline --out church

    A network that pays in tiles from planes of 32 pixels on, not from 64:

        sige-mlx convert small.pth --set tiles_from=32 --out small

    A label-to-image network of other pictures than Cityscapes':

        sige-mlx convert latest_net_G.pth --image-size 256 --set aspect_ratio=1.0 --set num_upsampling_layers=normal

    Weights by which pictures are measured (LPIPS, ST-LPIPS, FID, mIoU), from the files of their authors:

        sige-mlx convert alexnet-owt-7be5be79.pth
    """
    from sige_mlx import zoo
    from sige_mlx.converters import convert as run

    with terminal.progress_bars(STAGES) as tell:
        made = run(
            source,
            out,
            family=family,
            dtype=dtype,
            image_size=image_size,
            settings=dict(map(_setting, setting or [])),
            prefer=weights,
            force=force,
            progress=tell,
        )
    if json:
        kind = {"measure": made.measure} if made.measure else {"family": made.family}
        described: dict[str, Any] = {"folder": str(made.folder), **kind, "parameters": made.parameters}
        described |= {"bytes": made.nbytes, "sha256": made.sha256, "md5": made.md5, "notes": list(made.notes)}
        terminal.print_json(described)
        return
    for note in made.notes:
        terminal.say(f"Note: {printable(note, 600)}")
    if made.measure:
        terminal.say(f"{made.folder} is written: weights of {made.measure}")
        return
    size = f"{made.parameters / 1e6:.1f} million parameters, {made.nbytes / 1e6:.0f} MB"
    terminal.say(f"{made.folder} is written: {made.family}, {size}, from a file with SHA-256 {made.sha256[:16]}…")
    terminal.say(f"Use it with --model {zoo.spelled(made.folder)}")
