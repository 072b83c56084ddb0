"""Published weights of measures, such as LPIPS, into the files that `sige_mlx.metrics` loads."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from sige_mlx.converters import checkpoint, safetensors_file
from sige_mlx.converters.checkpoint import CheckpointError, Tensor, sniff
from sige_mlx.converters.checkpoint.reader import map_file
from sige_mlx.converters.checkpoint.state_dict import RAW
from sige_mlx.converters.families.family import Shape, Source, whole
from sige_mlx.converters.folder import staged_folder
from sige_mlx.converters.source import Weights
from sige_mlx.metrics import weights as of_measures
from sige_mlx.metrics.backbones import Backbone
from sige_mlx.metrics.perceptual import PerceptualNetwork


@dataclass(frozen=True)
class Recognised:
    """A checkpoint with the tensors of the published file that goes by `name` in `metrics.weights.PUBLISHED`."""

    name: str
    path: Path
    tensors: Mapping[str, Tensor]

    @property
    def published(self) -> of_measures.PublishedWeights:
        return of_measures.PUBLISHED[self.name]

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
        sources = layout(self.name)
        shapes = {name: source.built_shape for name, source in sources.items()}
        count = sum(int(np.prod(shape)) for shape in shapes.values())
        folder = of_measures.folder(self.name)
        files = (of_measures.WEIGHTS_FILE, of_measures.SOURCE_FILE)
        with staged_folder(folder, files, 4 * count, force=True) as made:
            done = 0
            metadata = {"format": "mlx", "source_file": self.published.file, "source_sha256": sha256}
            path = made / of_measures.WEIGHTS_FILE
            for written in safetensors_file.write(path, shapes, "float32", self._build, metadata):
                done += written
                tell(done, 4 * count)
            of_measures.write_source(made, self.name, sha256)
        return folder, count

    def _build(self, name: str) -> np.ndarray:
        return layout(self.name)[name].build(lambda tensor: self.tensors[tensor].numpy())


def recognised(weights: Weights) -> Recognised | None:
    """The published weights of a measure that a PyTorch checkpoint seems to be; None for any other file."""
    if len(weights.files) != 1 or sniff.is_safetensors(map_file(weights.path)[: sniff.HEAD]):
        return None
    try:
        tensors = checkpoint.state_dict(checkpoint.read(weights.path), RAW).tensors
    except CheckpointError:
        return None  # those who read it as a model say what is wrong with it
    fitting = [name for name in of_measures.PUBLISHED if _fits(layout(name), tensors)]
    largest = max(fitting, key=lambda name: len(layout(name)), default=None)  # ST-LPIPS has heads as LPIPS has
    return Recognised(largest, weights.path, tensors) if largest else None


def _fits(sources: Mapping[str, Source], tensors: Mapping[str, Tensor]) -> bool:
    wanted = {name: shape for source in sources.values() for name, shape in source.tensors.items()}
    return all(name in tensors and tensors[name].shape == shape for name, shape in wanted.items())


@cache
def layout(name: str) -> Mapping[str, Source]:
    """Where in a published file the parameters of its network are. What else is in it is of no use to the measure."""
    network = of_measures.PUBLISHED[name].network()
    backbone = network.backbone if isinstance(network, PerceptualNetwork) else None
    shapes = of_measures.shapes(name)
    return {ours: whole(_theirs(name, ours, backbone), _as_pytorch(shape)) for ours, shape in shapes.items()}


def _as_pytorch(shape: Shape) -> Shape:
    return (shape[0], shape[3], shape[1], shape[2]) if len(shape) == 4 else shape


def _theirs(name: str, ours: str, backbone: Backbone | None) -> str:
    """What the published file calls a parameter."""
    first, _, rest = ours.partition(".")
    match first:
        case "heads":
            return _head(rest)
        case "weights":
            return _head(ours)
        case "backbone" if backbone is not None:
            _, layer, leaf = rest.split(".")
            return f"net.slice{backbone.stage(int(layer)) + 1}.{layer}.{leaf}"
        case "stem" | "levels":
            return _of_drn(ours)
    return ours


def _head(ours: str) -> str:
    return f"lin{ours.removeprefix('weights.')}.model.1.weight"


def _of_drn(ours: str) -> str:
    """Levels are numbered from the stem on, and in those of plain convolutions every third layer is one."""
    *place, part, leaf = ours.split(".")
    if place == ["stem"]:
        return f"base.0.{0 if part == 'conv' else 1}.{leaf}"
    _, level, layer, *inside = place
    base = f"base.{int(level) + 1}"
    if not inside:
        return f"{base}.{3 * int(layer) + (part == 'norm')}.{leaf}"
    if inside == ["downsample"]:
        return f"{base}.{layer}.downsample.{0 if part == 'conv' else 1}.{leaf}"
    number = inside[0].removeprefix("conv")
    return f"{base}.{layer}.{'conv' if part == 'conv' else 'bn'}{number}.{leaf}"
