"""`sige-mlx evaluate`: how good edits of many pictures are, by several methods."""

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sige_mlx.cli import options, terminal
from sige_mlx.errors import SigeError

if TYPE_CHECKING:
    from sige_mlx.evaluation import Evaluation, Judge

ROWS = 12
"""Of the contact sheet."""


def evaluate(
    context: typer.Context,
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="Where results go: a line and pictures of each edit, table and sheet.")
    ],
    edits: Annotated[
        Path | None,
        typer.Argument(
            metavar="[EDITS]",
            help="A CSV file, or a folder with folders `original`, `edited`, `mask`, `truth`; with --synthesise, a"
            " folder of pictures or label maps.",
            show_default="with --synthesise, what the package has for its own models",
        ),
    ] = None,
    model: options.Model = None,
    synthesise: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Make up so many edits.", show_default="none")
    ] = None,
    methods: Annotated[
        str,
        typer.Option(
            metavar="dense,edit,edit:QUALITY,patch,crop,MODEL,thin:SHARE",
            help="What is compared: this package's edits, the baselines of the paper, and second models.",
        ),
    ] = "dense,edit,patch,crop",
    steps: options.Steps = None,
    strength: options.Strength = None,
    seed: Annotated[int, typer.Option(help="Seed of made-up edits and of all noise.")] = 0,
    sampler: options.Sampler = None,
    threshold: options.Threshold = None,
    quality: options.Quality = "balanced",
    device: options.Device = "cpu",
    threads: options.Threads = 0,
    rows: Annotated[int, typer.Option(min=0, help="Pictures on the contact sheet, the worst edits first.")] = ROWS,
    json: options.AsJson = False,
) -> None:
    """Judge edits of many pictures: by this package, by the dense pass, and by other methods and models.

    How near each method comes to the dense pass, and to the true picture where there is one, in the edited region and
    in the whole picture: PSNR, SSIM, and what the weights are here for (LPIPS, ST-LPIPS, FID, mIoU). Work and time are
    beside it, those of an edit without recording its original. Results are a line for each picture in DIR: a run that
    is ended goes on where it was. Then DIR has the numbers in table.json and the worst edits side by side in sheet.png.
    Files there that no run has written are not replaced.

        sige-mlx evaluate -m blue-marble-labels-256 --synthesise 200 --out judged
        sige-mlx evaluate photographs -m vintagify --synthesise 200 --methods edit,crop --out judged
        sige-mlx evaluate edits.csv -m gaugan-cityscapes --methods edit,crop,thin:0.19 --out judged

    A CSV file has a line of names and then one for each edit: original,edited,mask,truth with files of pictures, or
    labels,edited_labels,instances,edited_instances,truth with label maps. A folder has a folder for each of these, with
    files of the same names. A second model renders the same edits densely, `thin:0.19` is the one called as the first
    with -0.19 behind it, and `edit:fast` an edit of that quality beside the others.

    On several machines, each with the model, the edits and a folder DIR; the table is the same to the last digit:

        mlx.launch --hostfile hosts.json sige-mlx evaluate edits.csv -m NAME --out judged
    """
    from sige_mlx import zoo
    from sige_mlx.cli.contact_sheet import contact_sheet
    from sige_mlx.editing import save_image
    from sige_mlx.editing.destination import save_text
    from sige_mlx.evaluation import Ranks, fetched
    from sige_mlx.evaluation import evaluate as judge_all
    from sige_mlx.evaluation.run import SHEET, TABLE
    from sige_mlx.evaluation.table import worst

    pretrained = zoo.load(zoo.DEFAULT if model is None else model)
    named = options.named(context)
    sampling = {"steps": steps, "strength": strength, "seed": seed, "sampler": sampler}
    if pretrained.task != "denoising":
        if stray := [name for name in options.OF_DIFFUSION if name in named - {"seed"}]:
            raise SigeError(f"{options.spelled(stray[0])} is for diffusion models, which {pretrained.name} is not")
        sampling = {}
    judge = _judge(pretrained, edits, synthesise, seed, methods, out, (device, threads, threshold, quality, sampling))
    ranks = Ranks()
    with terminal.progress_bars({"judge": "judging edits"}) as tell:
        found = judge_all(judge, ranks, (lambda done, total: tell("judge", done, total)) if not ranks.rank else None)
    shown = []
    if found and rows:
        method = next((m for m in judge.subject.methods if m == "edit"), judge.subject.methods[-1])
        shown = worst(found.lines, method, rows)
    fetched(judge, ranks, [line["case"] for line in shown])
    if found is None:
        return
    import json as text

    save_text(text.dumps({**found.table, "settings": judge.settings}, indent=1) + "\n", out / TABLE)
    if shown:
        save_image(
            contact_sheet(judge, shown, f"{Path(pretrained.name).name}, the worst of {len(found.lines)}"), out / SHEET
        )
    failed = Counter(found.failed)  # one file may be in many edits
    notes = [*found.missing, *(f"not judged, {n} of the edits: {sentence}" for sentence, n in failed.items())]
    if json:
        terminal.print_json({"model": pretrained.name, "out": str(out), **found.table, "notes": notes})
        return
    _print(judge, found)
    terminal.say(f"\n{out} has every picture, {TABLE}" + (f" and {SHEET}" if shown else ""))
    terminal.notes(notes)


def _judge(
    pretrained: Any,
    edits: Path | None,
    synthesise: int | None,
    seed: int,
    methods: str,
    out: Path,
    run: tuple[str, int, int | None, str, dict[str, Any]],
) -> "Judge":
    """All that a run needs. Raises `SigeError` for edits, methods and models that do not fit each other."""
    from sige_mlx.evaluation import Judge, Settings, Subject, Synthetic, read_cases, scenes_for

    wanted = [name for part in methods.split(",") if (name := part.strip())]
    if not wanted:
        raise SigeError("--methods names none: dense,edit,patch,crop would be right")
    if synthesise is None and edits is None:
        raise SigeError("there are no edits: give a CSV file or a folder of them, or --synthesise N to make some up")
    subject = Subject(pretrained, wanted, Settings(*run))
    if synthesise is None:
        assert edits
        return Judge(subject, read_cases(edits), out)
    made = Synthetic(scenes_for(pretrained, edits), synthesise, seed, pretrained.task == "labels")
    return Judge(subject, made, out)


def _print(judge: "Judge", found: "Evaluation") -> None:
    """The tables: nearness to the dense pass and to the truth, with work and time."""
    from sige_mlx.evaluation.measures import IN, WHOLE
    from sige_mlx.evaluation.table import EQUAL, TO_DENSE, TO_TRUTH

    table, measures = found.table, judge.measures.names
    terminal.say(f"{table['pictures']} edits, of {table['edited']:.1%} of the pixels on average")
    for reference, words in ((TO_DENSE, "the dense pass"), (TO_TRUTH, "the true picture")):
        for at, where in ((IN, "in the edited region"), (WHOLE, "in the whole picture")):
            rows = []
            for method, of in table["methods"].items():
                if reference in of:
                    work = (f"{of['macs'] / 1e9:.2f}", f"{of['times_less']:.1f}x", f"{1e3 * of['seconds']:.0f}")
                    rows.append((method, *(_spread(of[reference][m][at]) for m in measures), *work))
            if rows:
                terminal.say(f"\nAgainst {words}, {where}: means, and where they lie with 95 % confidence")
                terminal.table(["", *measures, "GMACs", "less", "ms"], rows)
    if equal := _equal(table["methods"]):
        terminal.say(f"\nEqual pictures count as {EQUAL:g} dB: {equal}")
    columns = _of_sets(judge, table["methods"])
    if columns:
        terminal.say("\nOf all pictures together, mIoU and where it lies with 95 % confidence")
        rows = [(method, *cells) for method, *cells in zip(table["methods"], *columns.values(), strict=True)]
        terminal.table(["", *columns], rows)
    if table["better"]:
        terminal.say("\nPictures in which edit is nearer to the dense pass, in the edited region")
        rows = [(f"than {other}", *map(_share, map(of.get, measures))) for other, of in table["better"].items()]
        terminal.table(["", *measures], rows)


def _of_sets(judge: "Judge", methods: dict[str, Any]) -> dict[str, list[str]]:
    """The figures of what measures all pictures of a method together, by its name: one for each method."""
    from sige_mlx.evaluation.measures import IN, WHOLE
    from sige_mlx.evaluation.table import FID

    found = {}
    if any(FID in of for of in methods.values()):
        found[FID] = [f"{of[FID]:.2f}" if FID in of else "" for of in methods.values()]
    if judge.segmenting:
        miou = judge.segmenting.name
        found |= {f"{miou}, {at}": [_share(of[miou][at], "mean", 1) for of in methods.values()] for at in (IN, WHOLE)}
    return found


def _equal(methods: dict[str, Any]) -> str:
    """Of how many pictures the edited region is the dense pass's, by method; nothing where there are none."""
    counts = {name: of["to_dense"]["PSNR"]["edited"]["equal"] for name, of in methods.items() if "to_dense" in of}
    return ", ".join(f"{count} of {name}" for name, count in counts.items() if count)


def _spread(spread: dict[str, float] | None) -> str:
    if spread is None:
        return ""
    digits = 1 if spread["mean"] > 2 else 4
    return f"{spread['mean']:.{digits}f} [{spread['low']:.{digits}f} {spread['high']:.{digits}f}]"


def _share(of: dict[str, float] | None, name: str = "share", digits: int = 0) -> str:
    """In percent."""
    return (
        ""
        if of is None
        else " ".join((f"{of[name]:.{digits}%}", f"[{of['low']:.{digits}%}", f"{of['high']:.{digits}%}]"))
    )
