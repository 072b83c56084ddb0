"""Networks, one file a family: a plain MLX module and one configuration dataclass each."""

from collections.abc import Callable
from typing import Any

import mlx.nn

from sige_mlx.errors import SigeError
from sige_mlx.models.ddpm import DDPMConfig, DDPMUNet
from sige_mlx.models.pd import PDConfig, PDUNet
from sige_mlx.models.resnet_generator import ResnetGenerator, ResnetGeneratorConfig
from sige_mlx.models.spade import SPADEConfig, SPADEGenerator
from sige_mlx.models.sub_mobile_spade import SubMobileSPADEConfig, SubMobileSPADEGenerator

FAMILIES: dict[str, tuple[type, Callable[[Any], mlx.nn.Module]]] = {
    "ddpm": (DDPMConfig, DDPMUNet),
    "pd": (PDConfig, PDUNet),
    "spade": (SPADEConfig, SPADEGenerator),
    "sub_mobile_spade": (SubMobileSPADEConfig, SubMobileSPADEGenerator),
    "resnet_generator": (ResnetGeneratorConfig, ResnetGenerator),
}
"""Configuration and module by the name that `config.json` gives."""


def build(family: str, config: dict[str, Any]) -> mlx.nn.Module:
    """The network of a family with the fields of its configuration as JSON has them; its weights are MLX's lazy initial
    ones. Raises `SigeError` for an unknown family or field."""
    if family not in list(FAMILIES):  # a list, for JSON may name anything here
        raise SigeError(f"the model family {family!r} is not known: it must be one of {', '.join(FAMILIES)}")
    if not isinstance(config, dict):
        raise SigeError(f"the configuration of family {family!r} does not fit: it is {config!r}, no object of fields")
    make_config, make_model = FAMILIES[family]
    try:
        return make_model(make_config(**{k: tuple(v) if isinstance(v, list) else v for k, v in config.items()}))
    except TypeError as error:
        raise SigeError(f"the configuration of family {family!r} does not fit: {error}") from error
