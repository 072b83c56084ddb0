"""The U-Net of Progressive Distillation (Salimans & Ho 2022), with the published checkpoints' parameter names; only the
attention's joined `qkv` is `q`, `k` and `v` here."""

from collections.abc import Callable
from dataclasses import dataclass

import mlx.nn

from sige_mlx import nn
from sige_mlx.errors import SigeError
from sige_mlx.models.unet import AttnBlock, Blocks, Norm, UNet, UNetConfig, group_norm
from sige_mlx.nn import Tensor


@dataclass(frozen=True)
class PDConfig(UNetConfig):
    """The defaults are LSUN church, 128 x 128."""

    family = "PD"

    image_size: int = 128
    ch: int = 64
    ch_mult: tuple[int, ...] = (1, 2, 4, 6, 8)
    num_res_blocks: int = 3
    attn_resolutions: tuple[int, ...] = (8, 16, 32)
    in_ch: int = 3
    out_ch: int = 6
    head_dim: int = 64
    temb_ch: int = 768

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.out_ch != 2 * self.in_ch:
            raise SigeError(
                f"PD: out_ch is {self.out_ch}; an image and noise of {self.in_ch} channels take {2 * self.in_ch}"
            )
        self.check_heads(self.head_dim)


class ResnetBlock(mlx.nn.Module):
    """Two 3x3 convolutions, the second normalisation modulated by the time embedding, and a 1x1 shortcut where the
    width changes. `resample` is applied to both branches: after the first activation, and to the shortcut."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        temb_channels: int,
        resample: Callable[[Tensor], Tensor] | None = None,
        norm: Norm = group_norm,
    ):
        super().__init__()
        self.norm1 = norm(in_channels)
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, padding=1)
        self.temb_proj = nn.Linear(temb_channels, 2 * out_channels)
        self.norm2 = norm(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1)
        if in_channels != out_channels:
            self.nin_shortcut = nn.Conv2d(in_channels, out_channels, 1)
        self.resample = resample

    def __call__(self, x: Tensor, temb: Tensor) -> Tensor:
        h = nn.silu(self.norm1(x))
        if self.resample:
            h, x = self.resample(h), self.resample(x)
        h = nn.modulate(self.norm2(self.conv1(h)), self.temb_proj(nn.silu(temb)))
        h = self.conv2(nn.silu(h))
        return h + (self.nin_shortcut(x) if "nin_shortcut" in self else x)


class TimeEmbedding(mlx.nn.Module):
    """The sinusoidal embedding of log signal-to-noise ratios and two dense layers."""

    def __init__(self, ch: int, temb_ch: int):
        super().__init__()
        self.dense = [nn.Linear(ch, temb_ch), nn.Linear(temb_ch, temb_ch)]
        self.ch = ch

    def __call__(self, log_snr: Tensor) -> Tensor:
        return self.dense[1](nn.silu(self.dense[0](nn.log_snr_embedding(log_snr, self.ch))))


class PDUNet(UNet):
    """Predicts, of `x` `(B, H, W, in_ch)` at log signal-to-noise ratios `(B,)`, the clean image in the first half of
    `out_ch` channels and the noise in the second (see `samplers.pd`)."""

    def __init__(self, config: PDConfig):
        temb = config.temb_ch
        super().__init__(
            config,
            Blocks(
                residual=lambda i, o: ResnetBlock(i, o, temb),
                attention=lambda c: AttnBlock(c, config.head_dim),
                downsample=lambda c: ResnetBlock(c, c, temb, nn.avg_pool2d),
                upsample=lambda c: ResnetBlock(c, c, temb, nn.upsample_nearest),
            ),
        )
        self.temb = TimeEmbedding(config.ch, temb)

    def inputs(self, batch: int = 1) -> dict[str, tuple[int, ...]]:
        """Names and shapes of the arguments of a call, in order."""
        size = self.config.image_size
        return {"x": (batch, size, size, self.config.in_ch), "log_snr": (batch,)}

    def __call__(self, x: Tensor, log_snr: Tensor) -> Tensor:
        return self.run(x, self.temb(log_snr))
