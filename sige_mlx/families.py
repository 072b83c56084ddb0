"""Families of networks, an entry each: its configuration and network, what it does to pictures, how its edits are
computed, and the files that were published."""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import mlx.nn

from sige_mlx.errors import SigeError
from sige_mlx.graph.policy import EditPolicy
from sige_mlx.models.adm import ADMConfig, ADMUNet
from sige_mlx.models.ddpm import DDPMConfig, DDPMUNet
from sige_mlx.models.kl_autoencoder import KLAutoencoder, KLAutoencoderConfig
from sige_mlx.models.pd import PDConfig, PDUNet
from sige_mlx.models.resnet_generator import ResnetGenerator, ResnetGeneratorConfig
from sige_mlx.models.spade import LabelToImageConfig, SPADEConfig, SPADEGenerator
from sige_mlx.models.sub_mobile_spade import SubMobileSPADEConfig, SubMobileSPADEGenerator
from sige_mlx.models.taesd import TinyAutoencoder, TinyAutoencoderConfig
from sige_mlx.nn.module import parameters
from sige_mlx.published import HUB, PublishedFile
from sige_mlx.samplers.denoising import DDPMDenoising, Denoising, PDDenoising

Task = Literal["denoising", "labels", "translation", "autoencoding"]
"""What a network does: it denoises pictures, makes pictures of label maps, translates a picture into another, or turns
pictures into latents and back, for networks that edit these."""


@dataclass(frozen=True)
class Published:
    """A network and the files with its weights, none where its authors describe the network alone; in several layouts
    or trainings, where there are several. `config` are the fields that differ from the family's own. Where others have
    trained such networks by the dozen, only the file says which it is: `by_file`."""

    files: tuple[PublishedFile, ...] = ()
    config: Mapping[str, Any] = field(default_factory=dict)
    by_file: bool = False

    def of(self, family: str) -> Any:
        """The configuration of the network, which is of this family."""
        return build(family, dict(self.config)).config


@dataclass(frozen=True)
class Family:
    """A family of networks. `policy` says how edits of one with a configuration are computed, `paper` how the paper's
    authors compute them, where that is another way; `denoising` by which steps pictures are, where that is the task.
    `published` are networks by the names they have here; `small` are the fields of one that is quick to try, and the
    side of the planes from which on it is to have tiles. How checkpoints lay out its parameters is in
    `converters/families`, in a module of the family's name."""

    config: type
    network: Callable[[Any], mlx.nn.Module]
    task: Task
    policy: Callable[[Any], EditPolicy]
    small: tuple[Mapping[str, Any], int]
    denoising: type[Denoising] | None = None
    published: Mapping[str, Published] = field(default_factory=dict)
    paper: Callable[[Any], EditPolicy] | None = None

    def released(self, config: Any) -> EditPolicy:
        """How the paper's authors compute edits of a network with a configuration."""
        return (self.paper or self.policy)(config)

    @property
    def steps(self) -> int:
        """Passes of the network that an edit takes where nothing is said."""
        return next(iter(self.denoising.STEPS.values())) if self.denoising else 1


def _sige(folder: str, name: str, md5: str) -> PublishedFile:
    return PublishedFile(name, f"https://www.cs.cmu.edu/~sige/resources/models/{folder}", md5)


def _spade(dataset: str) -> PublishedFile:
    """A network of SPADE's own release: one archive of folders."""
    place = "checkpoints.tar.gz, to which the README of https://github.com/NVlabs/SPADE links"
    return PublishedFile(f"{dataset}_pretrained/latest_net_G.pth", place)


def _one_of_many(*names: str, place: str, **config: Any) -> Published:
    """A network that differs from others of one place by what it has learnt alone."""
    return Published(tuple(PublishedFile(name, place) for name in names), config, by_file=True)


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


_SMALL_UNET = {"image_size": 32, "ch": 32, "ch_mult": (1, 2), "num_res_blocks": 1, "attn_resolutions": (16,)}
_SMALL_LABELS = {"crop_size": 64, "num_upsampling_layers": "normal"}

_ADM = "https://openaipublic.blob.core.windows.net/diffusion/jul-2021"
_CYCLEGAN = "http://efrosgans.eecs.berkeley.edu/cyclegan/pretrained_models"
_SQUARE = {"crop_size": 256, "aspect_ratio": 1.0, "num_upsampling_layers": "normal"}


# `benchmarks.fidelity` draws the frontiers of time and fidelity that chose how edits are computed; they are in
# docs/pages/quality.md.

EVERYWHERE = 8
"""Planes of so many pixels a side have tiles, of which two make a side; smaller ones would save nothing."""


def _denoised(eps: float, dilation: int) -> EditPolicy:
    """That of a U-Net. Statistics of small edits are the original's, which take less time and cost two decibels of
    nearly sixty. Those of large edits follow."""
    return EditPolicy(EVERYWHERE, "fresh head", eps=eps, dilation=dilation, large="followed", large_from=0.03)


def _of_blocks(count: int) -> Callable[[LabelToImageConfig], EditPolicy]:
    """That of a network of label maps whose last `count` residual blocks are computed in part."""

    def policy(config: LabelToImageConfig) -> EditPolicy:
        return EditPolicy(config.side_of_last(count), "fresh head", eps=1e-3, dilation=1, dilation_per_level=2)

    return policy


def _decoded(config: Any) -> EditPolicy:
    """That of an autoencoder: what an edit leaves alone stays, so what it computes is normalised as that was."""
    return EditPolicy(1, "recorded", eps=0.01, dilation=1, dilation_per_level=2, large="estimated", large_from=0.03)


FAMILIES: Mapping[str, Family] = {
    "ddpm": Family(
        DDPMConfig,
        DDPMUNet,
        "denoising",
        lambda config: _denoised(eps=0.01, dilation=5),
        small=(_SMALL_UNET, 32),
        denoising=DDPMDenoising,
        paper=lambda config: EditPolicy(64, "fresh head", eps=0.01, dilation=5),
        published={
            "ddpm-church-256": Published(
                (
                    _sige("diffusion", "church256-ddpm-unet.pth", "8fbd43a27e98e64b56453faca9be619e"),
                    _sige("diffusion", "church256-ddpm-fused_unet.pth", "fb3e26e5e6be812d6bed5c48e5265506"),
                    *_lsun("church", 4432000, "eb619b8a5ab95ef80f94ce8a5488dae3", "fdc68a23938c2397caba4a260bc2445f"),
                ),
                by_file=True,
            ),
            "ddpm-bedroom-256": Published(
                _lsun("bedroom", 2388000, "f70280ac0e08b8e696f42cb8e948ff1c", "1921fa46b66a3665e450e42f36c2720f"),
                by_file=True,
            ),
            "ddpm-cat-256": Published(
                _lsun("cat", 1761000, "bbee0e7c3d7abfb6e2539eaf2fb9987b", "646f23f4821f2459b8bafc57fd824558"),
                by_file=True,
            ),
        },
    ),
    "pd": Family(
        PDConfig,
        PDUNet,
        "denoising",
        lambda config: _denoised(eps=0.02, dilation=2),
        small=({**_SMALL_UNET, "head_dim": 32, "temb_ch": 48}, 16),
        denoising=PDDenoising,
        paper=lambda config: EditPolicy(64, "fresh head", eps=0.02, dilation=2),
        published={
            "pd-church-128": Published(
                (_sige("diffusion", "church128-pd-unet.pth", "8a2690eb25d1e2b5367e9574d7b73822"),)
            ),
            "pd-church-256": Published(config={"image_size": 256, "ch_mult": (1, 1, 2, 4, 6, 8)}),
        },
    ),
    "adm": Family(
        ADMConfig,
        ADMUNet,
        "denoising",
        lambda config: _denoised(eps=0.01, dilation=5),
        small=({**_SMALL_UNET, "head_dim": 32}, 16),
        denoising=DDPMDenoising,
        published={
            "adm-bedroom-256": _one_of_many("lsun_bedroom.pt", place=_ADM),
            "adm-cat-256": _one_of_many("lsun_cat.pt", place=_ADM),
            "adm-horse-256": _one_of_many("lsun_horse.pt", "lsun_horse_nodropout.pt", place=_ADM),
            "adm-imagenet-256": _one_of_many("256x256_diffusion_uncond.pt", place=_ADM),
        },
    ),
    "spade": Family(
        SPADEConfig,
        SPADEGenerator,
        "labels",
        lambda config: replace(_of_blocks(0)(config), tiles_from=EVERYWHERE),
        paper=_of_blocks(5),
        small=({**_SMALL_LABELS, "ngf": 4, "nhidden": 8}, 16),
        published={
            "gaugan-cityscapes": Published(
                (
                    _sige("gaugan", "spade.pth", "21b8b5b29295b7208ba5cb48d818a367"),
                    _sige("gaugan", "fused_spade.pth", "216677f8fe9e0c6564e3f17cbe55c695"),
                    _spade("cityscapes"),
                ),
            ),
            # That with which the paper compares: trained with 19 % of the channels of every layer, never published.
            "gaugan-cityscapes-0.19": Published(config={"ngf": 12, "nhidden": 24}),
            "gaugan-coco": Published((_spade("coco"),), {"input_nc": 183, **_SQUARE}),
            "gaugan-ade20k": Published((_spade("ade20k"),), {"input_nc": 151, "no_instance": True, **_SQUARE}),
        },
    ),
    "sub_mobile_spade": Family(
        SubMobileSPADEConfig,
        SubMobileSPADEGenerator,
        "labels",
        # Norms over the whole picture are all that reaches beyond an edit. They cost as much as a tenth of it.
        lambda config: replace(_of_blocks(4)(config), tiles_from=EVERYWHERE, statistics="followed"),
        paper=_of_blocks(4),
        small=({**_SMALL_LABELS, "config_str": "8_8_8_8_8_8_8_8"}, 16),
        published={
            "gan-compression-cityscapes": Published(
                (
                    _sige("gaugan", "sub_mobile_spade-32_32_32_48_32_24_24_32.pth", "2f8373ff0433badbea664da90709ca3c"),
                    _sige(
                        "gaugan",
                        "fused_sub_mobile_spade-32_32_32_48_32_24_24_32.pth",
                        "530ff557d614df1378d0613f7a0865dc",
                    ),
                ),
            ),
            "gan-compression-cityscapes-small": Published(
                (_sige("gaugan", "sub_mobile_spade-16_40_16_8_16_16_8_16.pth", "2f3dd95928a2902d70d641ae74a9c563"),),
                {"config_str": "16_40_16_8_16_16_8_16"},
            ),
        },
    ),
    "resnet_generator": Family(
        ResnetGeneratorConfig,
        ResnetGenerator,
        "translation",
        # What an edit leaves alone of the output is the kept picture, so what it computes is normalised as that was,
        # unless it is so large that the dense pass gives it another cast. Of small ones estimates may be worse.
        lambda config: EditPolicy(
            1,
            "recorded",
            eps=0.01,
            dilation=1,
            dilation_per_level=2,
            dense_from=0.8,
            large="estimated",
            large_from=0.03,
        ),
        small=({"image_size": (32, 48), "ngf": 8, "n_blocks": 1}, 1),
        published={
            "cyclegan-horse2zebra": _one_of_many("horse2zebra.pth", place=_CYCLEGAN),
            "cyclegan-monet": _one_of_many("style_monet.pth", place=_CYCLEGAN),
            "cyclegan-vangogh": _one_of_many("style_vangogh.pth", place=_CYCLEGAN),
            "vintagify": _one_of_many("G_A2B_epoch33.pth", place="the package vintagify 0.1.2 of PyPI", affine=True),
        },
    ),
    "kl_autoencoder": Family(
        KLAutoencoderConfig,
        KLAutoencoder,
        "autoencoding",
        _decoded,
        small=({"image_size": (32, 48), "ch": 32, "ch_mult": (1, 2), "num_res_blocks": 1, "latent_channels": 4}, 1),
    ),
    "taesd": Family(
        TinyAutoencoderConfig,
        TinyAutoencoder,
        "autoencoding",
        _decoded,
        small=({"image_size": (32, 48), "width": 8, "latent_channels": 4}, 1),
    ),
}
"""By the names that `config.json` gives."""

MAX_SIDE = 1 << 16
"""Of a picture, in pixels: more than any memory holds, and few enough to tell figures of."""


KNOWN: Mapping[str, tuple[str, Published]] = {
    name: (family, published) for family, of in FAMILIES.items() for name, published in of.published.items()
}
"""The published networks by the names they have here, and their families; their weights are converted into the cache by
the user."""


def named(family: str) -> Family:
    """The family of a name. Raises `SigeError` for none."""
    if family not in list(FAMILIES):  # a list, for JSON may name anything here
        raise SigeError(f"the model family {family!r} is not known: it must be one of {', '.join(FAMILIES)}")
    return FAMILIES[family]


def of(config: Any) -> Family:
    """The family of networks with such a configuration. Raises `SigeError` for another's."""
    for family in FAMILIES.values():
        if type(config) is family.config:
            return family
    raise SigeError(f"{type(config).__name__} is no configuration of a known family: {', '.join(FAMILIES)}")


_KINDS = {bool: "true or false", int: "a whole number", float: "a number", str: "a word", tuple: "a list"}


def configured(config: Any, fields: Mapping[str, Any]) -> Any:
    """A configuration with some fields replaced, as JSON has them; raises `SigeError` for one that there is not, or of
    another type."""
    if not isinstance(fields, Mapping):
        raise SigeError(f"its settings are {fields!r}, no object of fields")
    known = {field.name: field.default for field in dataclasses.fields(config)}
    named = {}
    for name, given in fields.items():
        if name not in known:
            raise SigeError(f"{name!r} is no setting of such a network: it must be one of {', '.join(known)}")
        or_none = known[name] is None  # then it is a word, or null
        value, usual = tuple(given) if isinstance(given, list) else given, "" if or_none else getattr(config, name)
        if not (_is_like(value, usual) or (or_none and value is None)):
            kind = _KINDS[type(usual)]
            if isinstance(usual, tuple):
                kind += f", such as {list(usual) if isinstance(value, tuple) else [given]}"
            raise SigeError(f"{name} is {given!r}: it should be {kind}")
        named[name] = value
    return dataclasses.replace(config, **named)


def _is_like(value: Any, usual: Any) -> bool:
    """Whether a value is of the type of another, and its parts of that of the other's parts."""
    if isinstance(usual, tuple):
        return isinstance(value, tuple) and all(type(part) is type(usual[0]) for part in value)
    return type(value) is type(usual) or (type(usual) is float and type(value) is int)


def build(family: str, config: dict[str, Any]) -> mlx.nn.Module:
    """The network of a family with the fields of its configuration as JSON has them; its weights are MLX's lazy initial
    ones. Raises `SigeError` for an unknown family or field."""
    known = named(family)
    try:
        described = configured(known.config(), config)
        model = known.network(described)
        sides = model.inputs()["x"][1:3]
        if max(sides) > MAX_SIDE:
            raise SigeError(f"its pictures would have more than {MAX_SIDE} pixels a side")
        return model
    except SigeError:
        raise
    except (TypeError, ValueError, ArithmeticError, LookupError, RuntimeError) as error:  # such as a width of 0
        raise SigeError(f"the configuration of family {family!r} does not fit: {error}") from error


def reconfigured(model: mlx.nn.Module, **settings: Any) -> mlx.nn.Module:
    """The network with other settings, such as the size of a picture, and without its weights. Raises `SigeError` when
    its parameters would be others."""
    config = configured(model.config, settings)
    made = of(config).network(config)
    shapes, others = ({name: tuple(p.shape) for name, p in parameters(m).items()} for m in (model, made))
    if shapes != others:
        given = ", ".join(f"{name}={value}" for name, value in settings.items())
        raise SigeError(f"the weights are those of another network than {given} asks for")
    return made
