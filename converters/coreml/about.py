"""What a package says of itself: a model card, what every input and output is, and in JSON what an app must know."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from sige_mlx.converters.coreml.borders import EDITED, MASK, OUTPUT, input_name
from sige_mlx.converters.coreml.calls import ABOUT, digest
from sige_mlx.converters.coreml.functions import Functions
from sige_mlx.zoo import EMBEDDED, Pretrained

RGB = 20
"""Of the colour spaces of Core ML's pictures."""

CALLS = (
    "Call `record` on the original, once for every timestep that edits are computed at. Dilate the mask of an edit and"
    " call `tiles`. Of the functions edit_N take that of the smallest N that no count_HxW exceeds; give it the edited"
    " input, every recorded_… that it takes as `record` gave it, and of every list its first rows, as many as it"
    ' takes. Where its statistics are "estimated", call `estimate` first, and give it the recorded_… of that instead.'
    " Where no N is large enough call `dense`, and keep the output of `record` where `edited` is 0."
)


def describe(spec: Any, network: Pretrained, functions: Functions, told_of: Mapping[str, Any]) -> None:
    """Completes the description of a saved model, of which an app is told this: see `about`."""
    described = spec.description
    told = described.metadata
    task = {"denoising": "denoises pictures", "labels": "makes pictures of label maps"}.get(network.task)
    told.shortDescription = (
        f"{network.name}, a network of the family {network.family}: it {task or 'translates pictures'}."
        f" Exported by sige-mlx, with edits that recompute what an edit touches. {CALLS}"
    )
    told.versionString = _version()
    told.author = "sige-mlx"
    told.license = (
        "MIT, as sige-mlx" if network.name in EMBEDDED else "that of the weights, which sige-mlx has converted"
    )
    told.userDefined[ABOUT] = json.dumps(told_of)
    for part in described.functions or [described]:
        for feature in (*part.input, *part.output, *part.state):
            feature.shortDescription = _of_feature(feature.name, network)
        for feature in (*part.input, *part.output):
            if feature.name in functions.pictures:
                n, c, h, w = feature.type.multiArrayType.shape or _shape(functions, feature.name)
                assert (n, c) == (1, 3)
                feature.type.imageType.width, feature.type.imageType.height = w, h
                feature.type.imageType.colorSpace = RGB


def about(network: Pretrained, functions: Functions, names: Sequence[str], precision: str) -> dict[str, Any]:
    """Returns what an app must know of a package."""
    lowered = functions.lowered
    told: dict[str, dict[str, Any]] = {name: {} for name in names}
    for bucket in functions.buckets:
        if (name := f"edit_{bucket}") in told:
            counts = {size: functions.count(size, bucket) for size in lowered.planes}
            macs = functions.program(bucket).macs(counts)
            told[name] = {"tiles": bucket, "statistics": functions.statistics(bucket), "macs": macs}
    if "dense" in told:
        told["dense"] = {"macs": lowered.dense_macs}
    return {
        "format": 1,
        "model": network.name,
        "family": network.family,
        "task": network.task,
        "weights_sha256": digest(network),
        "classes": [c._asdict() for c in network.classes],
        "image_size": lowered.image_size,
        "tile": lowered.tile,
        "precision": precision,
        "pictures": functions.pictures,
        "state": functions.state,
        "edit": asdict(lowered.policy),
        "planes": lowered.planes,
        "functions": told,
        "calls": CALLS,
    }


_FEATURES: Mapping[str, str] = {
    input_name("t"): "The step of the noise, from 0 to 999",
    "log_snr": "Logarithm of the ratio of signal to noise, from -20 to 20",
    MASK: "1 where the edited input differs from the original, dilated as the model card says, else 0",
    EDITED: "1 where an edit computes the output, 0 where it keeps the recorded one",
}

_BEGINNINGS: Mapping[str, str] = {
    "recorded_": "Of the original, as `record` gives it and edits take it",
    "windows_": "Which pixels an edit reads for each tile: give an edit the first rows, as many as it takes",
    "pixels_": "Which pixels of a plane an edit has recomputed, and where they are",
    "images_": "Which image each tile belongs to: give an edit the first of them, as many as it takes",
    "tiles_": "Image, row and column of each tile, the active ones first",
    "count_": "So many tiles of the plane are active: an edit_N must have N at least",
}


def _of_feature(name: str, network: Pretrained) -> str:
    if name == input_name("x"):
        return {
            "denoising": "The noised picture, RGB from -1 to 1 before noise",
            "labels": "A plane for each class, 1 where its label is, and what else the network reads",
        }.get(network.task, "The picture")
    if name == OUTPUT:
        return (
            "The noise in the picture, or what the network predicts" if network.task == "denoising" else "The picture"
        )
    return _FEATURES.get(name) or next(text for start, text in _BEGINNINGS.items() if name.startswith(start))


def _shape(functions: Functions, name: str) -> tuple[int, ...]:
    graph = functions.lowered.graph
    index = graph.output if name == OUTPUT else next(i for n, i in graph.inputs.items() if input_name(n) == name)
    n, h, w, c = graph.nodes[index].shape
    return n, c, h, w


def _version() -> str:
    try:
        return version("sige-mlx")
    except PackageNotFoundError:  # a checkout that was never installed
        return "unknown"
