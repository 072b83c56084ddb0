"""What diffusers' files beside a UNet2DModel's weights say: settings that no tensor tells, and the noise schedule."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sige_mlx.errors import SigeError, printable
from sige_mlx.models.ddpm import DDPMConfig
from sige_mlx.models.unet import GROUPS

CLASS = "_class_name"
NETWORK = "UNet2DModel"

# Settings of a UNet2DModel that change what it computes -> what it takes where config.json is silent, and the values
# with which it computes what DDPM's own code does.
_SETTINGS: Mapping[str, tuple[Any, tuple[Any, ...]]] = {
    "center_input_sample": (False, (False,)),
    "time_embedding_type": ("positional", ("positional",)),
    "flip_sin_to_cos": (True, (False,)),
    "freq_shift": (0, (1,)),
    "class_embed_type": (None, (None,)),
    "num_class_embeds": (None, (None,)),
    "mid_block_type": ("UNetMidBlock2D", ("UNetMidBlock2D",)),
    "mid_block_scale_factor": (1, (1,)),
    "add_attention": (True, (True,)),
    "downsample_padding": (1, (0,)),
    "downsample_type": ("conv", ("conv",)),
    "upsample_type": ("conv", ("conv",)),
    "resnet_time_scale_shift": ("default", ("default",)),
    "act_fn": ("silu", ("silu", "swish")),
    "norm_num_groups": (GROUPS, (GROUPS,)),
    "attn_norm_num_groups": (None, (None, GROUPS)),
    "norm_eps": (1e-5, (1e-6,)),
}
# Those that say which network it is, or change nothing when it is run.
_OTHERS = frozenset(
    {
        *("sample_size", "in_channels", "out_channels", "block_out_channels", "layers_per_block", "down_block_types"),
        *("up_block_types", "attention_head_dim", "time_embedding_dim", "dropout", "num_train_timesteps"),
    }
)
_BLOCKS = {"down_block_types": ("DownBlock2D", "AttnDownBlock2D"), "up_block_types": ("UpBlock2D", "AttnUpBlock2D")}

# Settings of a scheduler -> what the samplers here assume, which is also what it takes where its file is silent.
_SCHEDULE: Mapping[str, Any] = {
    "prediction_type": "epsilon",
    "num_train_timesteps": 1000,
    "beta_schedule": "linear",
    "beta_start": 0.0001,
    "beta_end": 0.02,
    "trained_betas": None,
    "rescale_betas_zero_snr": False,
}


@dataclass(frozen=True)
class Described:
    """What the file `path` says of a network. Its methods raise `SigeError` for the first setting that is not as our
    network has it, with its name, its value and what would be right."""

    settings: Mapping[str, Any]
    path: Path

    def image_size(self) -> int | None:
        """Height and width of its pictures; None where the file is silent, or is of another class."""
        size = self.settings.get("sample_size") if self.settings[CLASS] == NETWORK else None
        side = size[0] if isinstance(size, list) and len(size) == 2 and size[0] == size[1] else size
        if side is not None and type(side) is not int:
            raise self._wrong("sample_size", ["one whole number, the side of a square"])
        return side

    def check_settings(self) -> tuple[str, ...]:
        """Checks what makes a network compute something else than ours; gives remarks on what nobody here knows."""
        if self.settings[CLASS] != NETWORK:
            kind = printable(str(self.settings[CLASS]))
            raise SigeError(
                f"{self.path}: describes a {kind}; of diffusers' networks {NETWORK} is the one that is taken"
            )
        for name, (default, right) in _SETTINGS.items():
            self.check(name, default, right)
        for name, known in _BLOCKS.items():
            if not all(block in known for block in self._list(name)):
                raise self._wrong(name, [f"blocks {known[0]} and {known[1]} alone"])
        down, up = ([block.startswith("Attn") for block in self._list(name)] for name in _BLOCKS)
        if up and down and up != down[::-1]:
            raise self._wrong("up_block_types", ["attention on the levels where down_block_types has it"])
        if widths := self._list("block_out_channels"):
            if not all(type(width) is int and width > 0 for width in widths) or widths[0] % GROUPS:
                raise self._wrong("block_out_channels", [f"multiples of {GROUPS}"])
            if any(width % widths[0] for width in widths):
                raise self._wrong("block_out_channels", ["multiples of the first"])
            self.check("time_embedding_dim", None, (None, 4 * widths[0]))
        known_names = {*_SETTINGS, *_OTHERS}
        unknown = [
            name
            for name, value in self.settings.items()
            if name not in known_names and not name.startswith("_") and value not in (None, False)
        ]
        return tuple(f"{self.path.name}: its setting {printable(name)} is not known here" for name in unknown[:3])

    def check_network(self, config: DDPMConfig) -> None:
        """Checks that it is the network `config`, which the tensors tell."""
        widths = [config.ch * m for m in config.ch_mult]
        attention = [config.image_size >> level in config.attn_resolutions for level in range(len(widths))]
        wanted = {
            "in_channels": config.in_ch,
            "out_channels": config.out_ch,
            "block_out_channels": widths,
            "layers_per_block": config.num_res_blocks,
            "down_block_types": [_BLOCKS["down_block_types"][attends] for attends in attention],
        }
        for name, value in wanted.items():
            self.check(name, value, (value,))
        attending = {width for width, attends in zip(widths, attention, strict=True) if attends} | {widths[-1]}
        one_head = tuple(attending) if len(attending) == 1 else ()
        self.check("attention_head_dim", 8, (None, *one_head))

    def _list(self, name: str) -> list[Any]:
        value = self.settings.get(name, [])
        if not isinstance(value, list):
            raise self._wrong(name, ["a list"])
        return value

    def check(self, name: str, default: Any, right: tuple[Any, ...]) -> None:
        """Raises `SigeError` unless a setting, which is the `default` where the file is silent, is one of the `right`
        ones."""
        if self.settings.get(name, default) not in right:
            raise self._wrong(name, map(_said, right), default)

    def _wrong(self, name: str, right: Iterable[str], default: Any = None) -> SigeError:
        value = _said(self.settings.get(name, default)) + ("" if name in self.settings else " unless it is set")
        return SigeError(
            f"{self.path}: its setting {name} is {value}; {' or '.join(right)} would be right, as in DDPM's own network"
        )


def schedule_remarks(described: Mapping[str, Any], path: Path) -> tuple[str, ...]:
    """What a scheduler says otherwise than the samplers here do."""
    return tuple(
        f"{path.name}: its {name} is {_said(described[name])}, and the samplers here take {_said(ours)}: pictures will"
        " not be what its authors made"
        for name, ours in _SCHEDULE.items()
        if described.get(name, ours) != ours
    )


def _said(value: Any) -> str:
    return printable(json.dumps(value))
