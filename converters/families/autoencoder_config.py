"""What diffusers' config.json beside an autoencoder's weights says that no tensor tells."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sige_mlx.arguments import real
from sige_mlx.converters.families.diffusers_config import CLASS, Described
from sige_mlx.errors import SigeError, printable
from sige_mlx.models.kl_autoencoder import NORM_EPS, PATCH
from sige_mlx.models.unet import GROUPS

# Settings of an AutoencoderKL that change what it computes -> what it takes where config.json is silent, and the
# values with which it computes what ours does.
_SETTINGS: Mapping[str, tuple[Any, tuple[Any, ...]]] = {
    "act_fn": ("silu", ("silu", "swish")),
    "norm_num_groups": (GROUPS, (GROUPS,)),
    "mid_block_add_attention": (True, (True,)),
    "latents_mean": (None, (None,)),
    "latents_std": (None, (None,)),
    "decoder_block_out_channels": (None, (None,)),
}
_OF_PATCHES: Mapping[str, tuple[Any, tuple[Any, ...]]] = {
    "batch_norm_eps": (NORM_EPS, (NORM_EPS,)),
    "patch_size": ([PATCH, PATCH], ([PATCH, PATCH],)),
}
_SCALING = 0.18215  # where the file is silent

_NO_FILE = "no config.json of diffusers lies beside it: its latents are scaled as Stable Diffusion's"


def settings(described: Described | None, patched: bool) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Fields of a `KLAutoencoderConfig`, and remarks; `patched` latents are as tensors say. Raises `SigeError` for the
    first setting with which the network computes something else than ours."""
    if described is None:
        return ({}, ()) if patched else ({"scaling": _SCALING}, (_NO_FILE,))
    kind = "AutoencoderKLFlux2" if patched else "AutoencoderKL"
    if described.settings[CLASS] != kind:
        other = printable(str(described.settings[CLASS]))
        raise SigeError(f"{described.path}: describes a {other}, and the tensors are those of {kind}")
    for name, (default, right) in {**_SETTINGS, **(_OF_PATCHES if patched else {})}.items():
        described.check(name, default, right)
    if patched:
        return {}, ()
    given = {"scaling": ("scaling_factor", _SCALING), "shift": ("shift_factor", 0.0)}
    told = {}
    for field, (name, default) in given.items():
        value = described.settings.get(name)
        told[field] = real(default if value is None else value, f"{described.path}: its setting {name}", -1e6, 1e6)
    return told, ()
