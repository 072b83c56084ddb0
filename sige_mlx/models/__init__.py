"""Networks, one file a family: a plain MLX module and one configuration dataclass each."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import mlx.nn

from sige_mlx.errors import SigeError
from sige_mlx.models.ddpm import DDPMConfig, DDPMUNet
from sige_mlx.models.pd import PDConfig, PDUNet
from sige_mlx.models.resnet_generator import ResnetGenerator, ResnetGeneratorConfig
from sige_mlx.models.spade import SPADEConfig, SPADEGenerator
from sige_mlx.models.sub_mobile_spade import SubMobileSPADEConfig, SubMobileSPADEGenerator
from sige_mlx.nn.module import parameters

FAMILIES: dict[str, tuple[type, Callable[[Any], mlx.nn.Module]]] = {
    "ddpm": (DDPMConfig, DDPMUNet),
    "pd": (PDConfig, PDUNet),
    "spade": (SPADEConfig, SPADEGenerator),
    "sub_mobile_spade": (SubMobileSPADEConfig, SubMobileSPADEGenerator),
    "resnet_generator": (ResnetGeneratorConfig, ResnetGenerator),
}
"""Configuration and module by the name that `config.json` gives."""

MAX_SIDE = 1 << 16
"""Of a picture, in pixels: more than any memory holds, and few enough to tell figures of."""


_KINDS = {bool: "true or false", int: "a whole number", float: "a number", str: "a word", tuple: "a list"}


def configured(config: Any, fields: Mapping[str, Any]) -> Any:
    """A configuration with some fields replaced, as JSON has them; raises `SigeError` for one that there is not, or of
    another type."""
    known = [field.name for field in dataclasses.fields(config)]
    named = {}
    for name, given in fields.items():
        if name not in known:
            raise SigeError(f"{name!r} is no setting of such a network: it must be one of {', '.join(known)}")
        value, usual = tuple(given) if isinstance(given, list) else given, getattr(config, name)
        if not _is_like(value, usual):
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
    if family not in list(FAMILIES):  # a list, for JSON may name anything here
        raise SigeError(f"the model family {family!r} is not known: it must be one of {', '.join(FAMILIES)}")
    if not isinstance(config, dict):
        raise SigeError(f"the configuration of family {family!r} does not fit: it is {config!r}, no object of fields")
    make_config, make_model = FAMILIES[family]
    try:
        described = configured(make_config(), config)
        model = make_model(described)
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
    made = next(make for kind, make in FAMILIES.values() if isinstance(config, kind))(config)
    shapes, others = ({name: tuple(p.shape) for name, p in parameters(m).items()} for m in (model, made))
    if shapes != others:
        given = ", ".join(f"{name}={value}" for name, value in settings.items())
        raise SigeError(f"the weights are those of another network than {given} asks for")
    return made
