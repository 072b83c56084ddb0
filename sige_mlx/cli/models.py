"""`sige-mlx models`: every model that has a name here, and where its weights come from."""

import math
from typing import Any

from sige_mlx.cli import options, terminal
from sige_mlx.errors import SigeError
from sige_mlx.token_models import MODELS


def models(json: options.AsJson = False) -> None:
    """List the models that are known by name: those in the package, published ones, and those you converted.

    A published checkpoint is downloaded by you, from its authors, and converted here; which network a file holds is
    told by its tensors. Those with hf: are downloaded as they are converted:

        sige-mlx convert spade.pth
        sige-mlx convert hf:google/ddpm-ema-church-256
        sige-mlx edit -m gaugan-cityscapes --labels a.png --edited-labels b.png --out c.png
    """
    from sige_mlx import zoo
    from sige_mlx.families import KNOWN

    try:
        names, unread = zoo.names(), {}
    except SigeError as error:  # the others are there all the same
        names, unread = [*zoo.EMBEDDED, *KNOWN], {"error": str(error)}
    listed = [_described(name) for name in names]
    if json:
        terminal.print_json({"models": listed, "by_tokens": [*MODELS], **unread})
        return
    rows = []
    for model in listed:
        known = "image" in model
        size = "{1} × {0}".format(*model["image"]) if known else ""
        parameters = f"{model['parameters'] / 1e6:.1f} million" if known else ""
        rows.append((model["name"], model["family"] if known else "", size, parameters, _where(model)))
    terminal.table(["model", "family", "pixels", "parameters", "weights"], rows)
    for model in (unread, *listed):
        if "error" in model:
            terminal.say(f"\n{model['error']}")
    terminal.say("\nPublished checkpoints, to be downloaded from their authors:")
    for model in listed:
        for file in model.get("published", ()):
            md5 = f", MD5 {file['md5']}" if file["md5"] else ""
            terminal.say(f"  {model['name']}: {file['file']} from {file['place']}{md5}")
        if not model.get("published", True):
            terminal.say(f"  {model['name']}: no checkpoint was published")
    terminal.say(
        f"\nEdited by tokens: {MODELS[0]}, whose weights mflux fetches; {MODELS[1]} is tiny, with random weights"
    )


def _described(name: str) -> dict[str, Any]:
    """A model as JSON has it: `image` is [height, width]; a folder that cannot be read has an `error` instead. Those of
    the authors have `published`, the files of their weights: an empty list where there are none."""
    from sige_mlx import zoo
    from sige_mlx.families import KNOWN
    from sige_mlx.nn.module import parameters

    described: dict[str, Any] = {"name": name, "embedded": name in zoo.EMBEDDED, "here": zoo.is_here(name)}
    try:
        network = zoo.network(name)
    except SigeError as error:
        return {**described, "error": str(error)}
    shape = next(s for s in network.model.inputs().values() if len(s) == 4)
    count = sum(math.prod(p.shape) for p in parameters(network.model).values())
    described |= {"family": network.family, "image": list(shape[1:3]), "parameters": count}
    if name in KNOWN:
        files = KNOWN[name][1].files
        described["published"] = [{"file": file.name, "place": file.place, "md5": file.md5} for file in files]
    return described


def _where(model: dict[str, Any]) -> str:
    if model["embedded"]:
        return "in the package"
    return "converted" if model["here"] else "not converted"
