"""Published weights of measures, such as LPIPS, into the files that `sige_mlx.metrics` loads."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import mlx.nn
import numpy as np

from sige_mlx.converters import checkpoint, safetensors_file
from sige_mlx.converters.checkpoint import CheckpointError, Tensor, sniff
from sige_mlx.converters.checkpoint.reader import map_file
from sige_mlx.converters.checkpoint.state_dict import RAW
from sige_mlx.converters.families.family import Source, parameter_shapes, whole
from sige_mlx.converters.folder import staged_folder
from sige_mlx.converters.source import Weights
from sige_mlx.metrics.backbones import Backbone
from sige_mlx.metrics.drn import DRN
from sige_mlx.metrics.perceptual import Heads, PerceptualNetwork
from sige_mlx.metrics.weights import PUBLISHED, SOURCE_FILE, WEIGHTS_FILE, PublishedWeights, folder, write_source


@dataclass(frozen=True)
class Recognised:
    """A checkpoint with the tensors of a published file, which goes by `name`."""

    name: str
    published: PublishedWeights
    path: Path
    tensors: Mapping[str, Tensor]

    def check_digest(self, sha256: str, md5: str) -> None:
        """Raises `CheckpointError` unless it is the published file itself, whose numbers bear the measure's name."""
        published = self.published
        if not published.is_digest(sha256, md5):
            found = {"MD5": md5, "SHA-256": sha256}[published.algorithm]
            raise CheckpointError(
                f"{self.path}: its tensors are named as those of {published.file}, by which {published.measure} is"
                f" defined, but its {published.algorithm} begins with {found[:8]}, not {published.digest[:8]}: get that"
                f" file from {published.place}"
            )

    def write(self, sha256: str, tell: Callable[[int, int], object]) -> tuple[Path, int]:
        """Write the weights where the measure looks for them, in the place of older ones, which were the same; the
        folder, and how many numbers they are. `tell` is told of the bytes written, and their sum. Raises `SigeError` as
        `staged_folder` does."""
        sources = layout(self.published)
        shapes = {name: source.built_shape for name, source in sources.items()}
        count = sum(int(np.prod(shape)) for shape in shapes.values())
        destination = folder(self.name)
        with staged_folder(destination, (WEIGHTS_FILE, SOURCE_FILE), 4 * count, force=True) as made:
            done = 0
            metadata = {"format": "mlx", "source_file": self.published.file, "source_sha256": sha256}
            for written in safetensors_file.write(made / WEIGHTS_FILE, shapes, "float32", self._build, metadata):
                done += written
                tell(done, 4 * count)
            write_source(made, self.published, sha256)
        return destination, count

    def _build(self, name: str) -> np.ndarray:
        return layout(self.published)[name].build(lambda tensor: self.tensors[tensor].numpy())


def recognised(weights: Weights) -> Recognised | None:
    """The published weights of a measure that a PyTorch checkpoint seems to be; None for any other file."""
    if len(weights.files) != 1 or sniff.is_safetensors(map_file(weights.path)[: sniff.HEAD]):
        return None
    try:
        tensors = checkpoint.state_dict(checkpoint.read(weights.path), RAW).tensors
    except CheckpointError:
        return None  # those who read it as a model say what is wrong with it
    fitting = [Recognised(name, published, weights.path, tensors) for name, published in PUBLISHED.items()]
    fitting = [found for found in fitting if _fits(layout(found.published), tensors)]
    return max(fitting, key=lambda found: len(layout(found.published)), default=None)  # ST-LPIPS has heads as LPIPS has


def _fits(sources: Mapping[str, Source], tensors: Mapping[str, Tensor]) -> bool:
    wanted = {name: shape for source in sources.values() for name, shape in source.tensors.items()}
    return all(name in tensors and tensors[name].shape == shape for name, shape in wanted.items())


@cache
def layout(published: PublishedWeights) -> Mapping[str, Source]:
    """Where in a published file the parameters of its network are. What else is in it is of no use to the measure."""
    network = published.network()
    theirs = _names(network)
    return {ours: whole(theirs(ours), shape) for ours, shape in parameter_shapes(network).items()}


def _names(network: mlx.nn.Module) -> Callable[[str], str]:
    """What a published file calls the parameters of a network."""
    match network:
        case Heads():
            return _of_heads
        case PerceptualNetwork():
            return partial(_of_st_lpips, network.backbone)
        case DRN():
            return _of_drn
    return str  # as we do


def _of_heads(ours: str) -> str:
    return f"lin{ours.removeprefix('weights.')}.model.1.weight"


def _of_st_lpips(backbone: Backbone, ours: str) -> str:
    """Layers are numbered throughout, and are in the slice of the features that they lead to."""
    part, _, rest = ours.partition(".")
    if part == "heads":
        return _of_heads(rest)
    _, layer, leaf = rest.split(".")
    return f"net.slice{backbone.stage(int(layer)) + 1}.{layer}.{leaf}"


def _of_drn(ours: str) -> str:
    """Levels are numbered from the stem on, and in those of plain convolutions every third layer is one."""
    *place, part, leaf = ours.split(".")
    match place:
        case []:  # the head
            return ours
        case ["stem"]:
            return f"base.0.{0 if part == 'conv' else 1}.{leaf}"
    _, level, layer, *inside = place
    base = f"base.{int(level) + 1}"
    if not inside:
        return f"{base}.{3 * int(layer) + (part == 'norm')}.{leaf}"
    if inside == ["downsample"]:
        return f"{base}.{layer}.downsample.{0 if part == 'conv' else 1}.{leaf}"
    return f"{base}.{layer}.{'conv' if part == 'conv' else 'bn'}{inside[0].removeprefix('conv')}.{leaf}"
