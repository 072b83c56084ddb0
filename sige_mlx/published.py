"""The networks whose weights their authors published, and the files they are in."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import mlx.nn

from sige_mlx.models import build

HUB = "hf:"
"""What a repository of the Hugging Face hub begins with where a file is asked for."""


@dataclass(frozen=True)
class PublishedFile:
    """A checkpoint: its name, after that of its folder where many are called alike, the page, folder or archive it is
    in, and its MD5 as the authors give it. Of a repository of the hub, `name` is "hf:OWNER/NAME"."""

    name: str
    place: str
    md5: str | None = None

    @property
    def on_hub(self) -> bool:
        return self.name.startswith(HUB)

    def called(self, path: Path) -> bool:
        """Whether `path` has its name, or is in the repository's folder in the hub's cache."""
        if self.on_hub:
            return self.name in map(repository, path.absolute().parts)
        parts = Path(self.name).parts
        return path.absolute().parts[-len(parts) :] == parts


def repository(folder: str) -> str | None:
    """The repository, as "hf:OWNER/NAME", that is in the folder of this name in the hub's cache; None for others."""
    kind, *rest = folder.split("--")
    return HUB + "/".join(rest) if kind == "models" and len(rest) == 2 and all(rest) else None


_NET_G = re.compile(r"(?:latest|\d+)_net_G(_A|_B)?")
"""What CycleGAN's and SPADE's training calls every generator."""

_WORDS = frozenset(
    [
        "best",
        "bin",
        "checkpoint",
        "checkpoints",
        "ckpt",
        "ckpts",
        "dict",
        "diffusion",
        "epoch",
        "final",
        "fp16",
        "fp32",
        "index",
        "iter",
        "iteration",
        "last",
        "latest",
        "lightning",
        "log",
        "logs",
        "model",
        "models",
        "of",
        "pytorch",
        "run",
        "runs",
        "safetensors",
        "snapshots",
        "state",
        "step",
        "steps",
        "unet",
        "version",
        "weights",
        "global",
    ]
)
_HASH = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_MAX_PARENTS = 6


def telling_name(source: Path) -> str:
    """The file's name without its extension; where many files are called so, that of the nearest folder that tells
    more, or of the repository of the hub whose folder it is in."""
    generator = _NET_G.fullmatch(source.stem)
    names = [source.parent.name if generator else source.stem]
    names += [folder.name for folder in islice(source.absolute().parents, _MAX_PARENTS)]
    for name in names:
        if repo := repository(name):
            return repo.rpartition("/")[2]
        if name and not _tells_nothing(name):
            return name + ((generator[1] or "") if generator else "")
    return source.stem


def _tells_nothing(name: str) -> bool:
    """Whether it is made of words and numbers that training scripts put into any name, or is a checksum."""
    parts = [part for part in re.split(r"[\W_]+", name.lower()) if part]
    return _HASH.fullmatch(name) is not None or all(part in _WORDS or part.isdigit() for part in parts)


@dataclass(frozen=True)
class Published:
    """A network and the files with its weights, none where its authors describe the network alone; in several layouts
    or trainings, where there are several. `config` are the fields that differ from the family's own. Where others have
    trained such networks by the dozen, only the file says which it is: `by_file`."""

    family: str
    files: tuple[PublishedFile, ...] = ()
    config: Mapping[str, Any] = field(default_factory=dict)
    by_file: bool = False

    def network(self) -> mlx.nn.Module:
        """The network, without weights."""
        return build(self.family, dict(self.config))


def _sige(folder: str, name: str, md5: str) -> PublishedFile:
    return PublishedFile(name, f"https://www.cs.cmu.edu/~sige/resources/models/{folder}", md5)


def _spade(dataset: str) -> PublishedFile:
    """A network of SPADE's own release: one archive of folders."""
    place = "checkpoints.tar.gz, to which the README of https://github.com/NVlabs/SPADE links"
    return PublishedFile(f"{dataset}_pretrained/latest_net_G.pth", place)


def _generator(name: str, place: str, **config: Any) -> Published:
    return Published("resnet_generator", (PublishedFile(name, place),), config, by_file=True)


def _lsun(dataset: str, step: int, md5: str, ema_md5: str) -> tuple[PublishedFile, ...]:
    """What Ho et al. trained on a dataset of LSUN, raw and averaged: in diffusers' layout on the hub, and in DDIM's,
    which its code keeps in `~/.cache/diffusion_models_converted`."""
    place = "the addresses in functions/ckpt_util.py of https://github.com/ermongroup/ddim"
    hub = [f"google/ddpm-{ema}{dataset}-256" for ema in ("ema-", "")]
    return (
        *(PublishedFile(HUB + repo, f"https://huggingface.co/{repo}") for repo in hub),
        PublishedFile(f"ema_diffusion_lsun_{dataset}_model/model-{step}.ckpt", place, ema_md5),
        PublishedFile(f"diffusion_lsun_{dataset}_model/model-{step}.ckpt", place, md5),
    )


_CYCLEGAN = "http://efrosgans.eecs.berkeley.edu/cyclegan/pretrained_models"
_SQUARE = {"crop_size": 256, "aspect_ratio": 1.0, "num_upsampling_layers": "normal"}

KNOWN: Mapping[str, Published] = {
    "ddpm-church-256": Published(
        "ddpm",
        (
            _sige("diffusion", "church256-ddpm-unet.pth", "8fbd43a27e98e64b56453faca9be619e"),
            _sige("diffusion", "church256-ddpm-fused_unet.pth", "fb3e26e5e6be812d6bed5c48e5265506"),
            *_lsun("church", 4432000, "eb619b8a5ab95ef80f94ce8a5488dae3", "fdc68a23938c2397caba4a260bc2445f"),
        ),
        by_file=True,
    ),
    "ddpm-bedroom-256": Published(
        "ddpm",
        _lsun("bedroom", 2388000, "f70280ac0e08b8e696f42cb8e948ff1c", "1921fa46b66a3665e450e42f36c2720f"),
        by_file=True,
    ),
    "ddpm-cat-256": Published(
        "ddpm",
        _lsun("cat", 1761000, "bbee0e7c3d7abfb6e2539eaf2fb9987b", "646f23f4821f2459b8bafc57fd824558"),
        by_file=True,
    ),
    "pd-church-128": Published(
        "pd", (_sige("diffusion", "church128-pd-unet.pth", "8a2690eb25d1e2b5367e9574d7b73822"),)
    ),
    "pd-church-256": Published("pd", config={"image_size": 256, "ch_mult": (1, 1, 2, 4, 6, 8)}),
    "gaugan-cityscapes": Published(
        "spade",
        (
            _sige("gaugan", "spade.pth", "21b8b5b29295b7208ba5cb48d818a367"),
            _sige("gaugan", "fused_spade.pth", "216677f8fe9e0c6564e3f17cbe55c695"),
            _spade("cityscapes"),
        ),
    ),
    "gaugan-coco": Published("spade", (_spade("coco"),), {"input_nc": 183, **_SQUARE}),
    "gaugan-ade20k": Published("spade", (_spade("ade20k"),), {"input_nc": 151, "no_instance": True, **_SQUARE}),
    "gan-compression-cityscapes": Published(
        "sub_mobile_spade",
        (
            _sige("gaugan", "sub_mobile_spade-32_32_32_48_32_24_24_32.pth", "2f8373ff0433badbea664da90709ca3c"),
            _sige("gaugan", "fused_sub_mobile_spade-32_32_32_48_32_24_24_32.pth", "530ff557d614df1378d0613f7a0865dc"),
        ),
    ),
    "gan-compression-cityscapes-small": Published(
        "sub_mobile_spade",
        (_sige("gaugan", "sub_mobile_spade-16_40_16_8_16_16_8_16.pth", "2f3dd95928a2902d70d641ae74a9c563"),),
        {"config_str": "16_40_16_8_16_16_8_16"},
    ),
    "cyclegan-horse2zebra": _generator("horse2zebra.pth", _CYCLEGAN),
    "cyclegan-monet": _generator("style_monet.pth", _CYCLEGAN),
    "cyclegan-vangogh": _generator("style_vangogh.pth", _CYCLEGAN),
    "vintagify": _generator("G_A2B_epoch33.pth", "the package vintagify 0.1.2 of PyPI", affine=True),
}
"""The published models by the names they have here; their weights are converted into the cache by the user."""
