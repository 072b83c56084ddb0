"""The U-Net of DDPM (Ho et al. 2020) and DDIM (Song et al. 2021), with the published checkpoints' parameter names."""

from dataclasses import dataclass

import mlx.nn

from sige_mlx import nn
from sige_mlx.errors import SigeError
from sige_mlx.models.unet import AttnBlock, Blocks, Downsample, UNet, UNetConfig, Upsample, group_norm
from sige_mlx.nn import Tensor


@dataclass(frozen=True)
class DDPMConfig(UNetConfig):
    """The defaults are LSUN church, 256 x 256."""

    family = "DDPM"

    image_size: int = 256
    ch: int = 128
    ch_mult: tuple[int, ...] = (1, 1, 2, 2, 4, 4)
    num_res_blocks: int = 2
    attn_resolutions: tuple[int, ...] = (16,)
    in_ch: int = 3
    out_ch: int = 3
    resamp_with_conv: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.resamp_with_conv:
            raise SigeError(
                "DDPM: resamp_with_conv is false; only networks that resample with convolutions were published"
            )


class ResnetBlock(mlx.nn.Module):
    """Two 3x3 convolutions with the time embedding between them, and a 1x1 shortcut where the width changes."""

    def __init__(self, in_channels: int, out_channels: int, temb_channels: int):
        super().__init__()
        self.norm1 = group_norm(in_channels)
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, padding=1)
        self.temb_proj = nn.Linear(temb_channels, out_channels)
        self.norm2 = group_norm(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1)
        if in_channels != out_channels:
            self.nin_shortcut = nn.Conv2d(in_channels, out_channels, 1)

    def __call__(self, x: Tensor, temb: Tensor) -> Tensor:
        h = self.conv1(nn.silu(self.norm1(x))) + self.temb_proj(nn.silu(temb))
        h = self.conv2(nn.silu(self.norm2(h)))
        return h + (self.nin_shortcut(x) if "nin_shortcut" in self else x)


class TimeEmbedding(mlx.nn.Module):
    """The sinusoidal embedding and two dense layers."""

    def __init__(self, ch: int):
        super().__init__()
        self.dense = [nn.Linear(ch, 4 * ch), nn.Linear(4 * ch, 4 * ch)]
        self.ch = ch

    def __call__(self, t: Tensor) -> Tensor:
        return self.dense[1](nn.silu(self.dense[0](nn.timestep_embedding(t, self.ch))))


class DDPMUNet(UNet):
    """Predicts the noise of `x` `(B, H, W, in_ch)` at time steps `t` `(B,)`, as `(B, H, W, out_ch)`."""

    def __init__(self, config: DDPMConfig):
        super().__init__(config, Blocks(lambda i, o: ResnetBlock(i, o, 4 * config.ch), AttnBlock, Downsample, Upsample))
        self.temb = TimeEmbedding(config.ch)

    def inputs(self, batch: int = 1) -> dict[str, tuple[int, ...]]:
        """Names and shapes of the arguments of a call, in order."""
        size = self.config.image_size
        return {"x": (batch, size, size, self.config.in_ch), "t": (batch,)}

    def __call__(self, x: Tensor, t: Tensor) -> Tensor:
        return self.run(x, self.temb(t))
