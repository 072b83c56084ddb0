"""`sige-mlx info`: what a model and an edit cost, before running them. Needs no weights."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from sige_mlx.cli import options, terminal
from sige_mlx.errors import SigeError
from sige_mlx.token_models import MODELS

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from sige_mlx.graph.ir import Graph
    from sige_mlx.graph.lowered import Lowered
    from sige_mlx.label_classes import Palette
    from sige_mlx.zoo import Network

    Files: TypeAlias = tuple[Path, Path | None]  # of labels and of instances


def info(
    context: typer.Context,
    model: options.Model = None,
    original: options.OriginalFile = None,
    edited: options.EditedFile = None,
    mask: options.MaskFile = None,
    tolerance: options.Tolerance = None,
    labels: options.LabelsFile = None,
    edited_labels: options.EditedLabelsFile = None,
    instances: options.InstancesFile = None,
    edited_instances: options.EditedInstancesFile = None,
    edit: Annotated[
        float | None,
        typer.Option(metavar="PERCENT", help="Cost an edit of this share of the pixels, a blob."),
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option(help="Sampler steps for which the cache is counted.", show_default="those of an edit"),
    ] = None,
    threshold: options.Threshold = None,
    graph: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Write the network's graph: as text (.txt), Mermaid (.mmd) or Graphviz (.dot)."
        ),
    ] = None,
    layers: Annotated[
        bool, typer.Option("--layers", help="List every layer: its multiply-accumulates and bytes moved.")
    ] = False,
    explain: Annotated[
        bool,
        typer.Option(
            "--explain",
            help="List every convolution of the edit, or of the dense pass: how the CPU computes it, what bounds it.",
        ),
    ] = False,
    bits: options.Bits = None,
    record: options.RecordIn = None,
    threads: options.Threads = 0,
    json: options.AsJson = False,
) -> None:
    """Show what a model and an edit cost before running them.

    An edit is described by two pictures or label maps, by a mask, or by its size; it is drawn with the tiles that it
    makes active. The share that is edited counts the mask as the network sees it, grown by a few pixels.

    The model in the package; an edit of 1.2 % of a published one, layer by layer, for which no weights are needed; an
    edit of your own, and the network as a graph:

        sige-mlx info
        sige-mlx info -m ddpm-church-256 --edit 1.2 --layers
        sige-mlx info --original a.png --edited b.png --graph model.dot

    How the CPU computes each convolution of that edit, and whether multiplications or memory bound it on this machine,
    whose peaks are measured first:

        sige-mlx info -m ddpm-church-256 --edit 1.2 --explain

    The classes of a network of label maps, with their ids and colours, and what an edit of a map would cost:

        sige-mlx info -m gaugan-cityscapes
        sige-mlx info --labels a.png --edited-labels b.png

    What a network would cost with tiles from another plane on than its own:

        sige-mlx info -m pd-church-256 --edit 1.2 --threshold 64

    What FLUX.2-klein takes, of memory too, before it is fetched:

        sige-mlx info -m flux2-klein-4b --edit 5 --bits 4
    """
    from sige_mlx import zoo
    from sige_mlx.cli import explanation, tokens, tokens_info
    from sige_mlx.cli.costs import Described
    from sige_mlx.editing.destination import save_text
    from sige_mlx.editing.opening import fitted
    from sige_mlx.families import FAMILIES
    from sige_mlx.graph.lowered import Lowered
    from sige_mlx.label_classes import palette_of
    from sige_mlx.pictures import open_image

    write = _graph_writer(graph) if graph else None
    named = options.named(context)
    if model in MODELS:
        tokens_info.info(named, str(model), original, mask, edit, steps, bits, record, json)
        return
    tokens.check_none(named)
    if "threads" in named and not explain:
        raise SigeError("--threads says on how many threads --explain measures this machine: give both, or neither")
    if steps is not None and steps < 1:
        raise SigeError(f"the cache is counted for {steps} steps: there must be 1 or more")
    _check_options(named)
    name = (zoo.LABELS if labels else zoo.DEFAULT) if model is None else model
    network = zoo.network(name)
    if (sized_by := original or mask) and network.task == "translation":
        width, height = open_image(sized_by).size
        own = Lowered.of(network.model, network.edit)
        network = network.configured(image_size=fitted(own, (height, width)))
    lowered = Lowered.of(network.model, network.policy(threshold))
    classes = zoo.classes(name)
    region: npt.NDArray[np.bool_] | None
    if labels and edited_labels:
        before, after = (labels, instances), (edited_labels, edited_instances)
        region = _region_of_maps(lowered, network, palette_of(classes), before, after)
    else:
        pictures = (original, edited) if original and edited else None
        region = _region(lowered, network, pictures, mask, edit, options.eps(tolerance))
    edited_tiles = None if region is None else lowered.tiling(region)
    steps = steps or FAMILIES[network.family].steps
    described = Described(name, network.family, network.model.config, lowered, edited_tiles, steps, classes)
    explained = explanation.explain(lowered, edited_tiles, threads) if explain else None
    if graph and write:
        save_text(write(lowered.graph), graph)
    if json:
        terminal.print_json(described.as_json(layers) | (explained.as_json() if explained else {}))
        return
    described.print(layers)
    if explained:
        explained.print()
    if graph:
        terminal.say(f"\n{graph} is written")


def _graph_writer(path: Path) -> "Callable[[Graph], str]":
    """A graph as the text that a file of this name should have."""
    from sige_mlx.editing.destination import check_file
    from sige_mlx.graph.draw import graphviz, mermaid

    formats: dict[str, Callable[[Graph], str]] = {".txt": lambda g: f"{g}\n", ".mmd": mermaid, ".dot": graphviz}
    if path.suffix not in formats:
        raise SigeError(
            f"{path}: the extension is {path.suffix!r}; .txt, .mmd (Mermaid) or .dot (Graphviz) would be right"
        )
    check_file(path)
    return formats[path.suffix]


def _check_options(named: set[str]) -> None:
    """Raises `SigeError` unless the options describe one edit, or none."""
    options.check_picture_options(named)
    options.check_label_options(named)
    ways = ({"original"}, {"mask"}, {"labels"}, {"edit"})
    if sum(bool(way & named) for way in ways) > 1:
        raise SigeError(
            "an edit is described by --original and --edited, by --mask, by --labels and --edited-labels, or by --edit:"
            " give only one of them"
        )


def _region(
    lowered: "Lowered",
    network: "Network",
    pictures: tuple[Path, Path] | None,
    mask: Path | None,
    share: float | None,
    eps: float | None,
) -> "npt.NDArray[np.bool_] | None":
    """The edit that the options describe, bool (H, W); None when they describe none."""
    from sige_mlx.benchmark.blob import blob_mask
    from sige_mlx.editing.boxes import extent
    from sige_mlx.editing.edits import PictureReader
    from sige_mlx.editing.images import Source
    from sige_mlx.editing.windows import around, over
    from sige_mlx.masks import dilate, user_mask
    from sige_mlx.pictures import open_image

    size, grow = lowered.image_size, 0
    if share is not None:
        return blob_mask(size, share, network.edit.dilation)
    if mask is not None:
        width, height = open_image(mask).size
        drawn = user_mask(mask, (height, width))
    elif pictures is None:
        return None
    elif network.task == "labels":
        raise SigeError("this model makes pictures of label maps: give --labels and --edited-labels")
    else:
        source = Source.of(pictures[0], name="the original")
        painted = PictureReader(network.edit, source.size, eps).read(source, pictures[1], None)
        terminal.notes(painted.notes)
        drawn, grow = painted.mask, painted.grow
    edit, picture = extent(drawn), (drawn.shape[0], drawn.shape[1])
    if network.task == "denoising" and edit:
        window = around(edit, picture, size, grow)
    else:
        window = over(picture, size, exact=network.task == "labels")
    return dilate(window.touched(drawn), grow)


def _region_of_maps(
    lowered: "Lowered", network: "Network", palette: "Palette", original: "Files", edited: "Files"
) -> "npt.NDArray[np.bool_]":
    """What an edit of labels, and of instances if there are any, recomputes: bool (H, W)."""
    from sige_mlx.editing.labels import MapReader
    from sige_mlx.editing.windows import over

    reader = MapReader(network.model.config, None, palette)
    before = reader.read(*original)
    window = over(before[0].shape, lowered.image_size, exact=True)
    was, becomes = (
        (window.nearest(labels), window.nearest(objects)) for labels, objects in (before, reader.read(*edited, before))
    )
    return reader.mask(was, becomes, network.edit.dilation)
