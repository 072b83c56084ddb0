"""The U-Net of the "ablated diffusion model" (Dhariwal & Nichol 2021), without classes: attention in heads at several
resolutions, resampling inside residual blocks, normalisation that the time step modulates."""

from dataclasses import dataclass

import mlx.nn

from sige_mlx import nn
from sige_mlx.models.pd import ResnetBlock
from sige_mlx.models.unet import GROUPS, AttnBlock, Blocks, UNet, UNetConfig
from sige_mlx.nn import Tensor


@dataclass(frozen=True)
class ADMConfig(UNetConfig):
    """The defaults are the published networks of LSUN and of ImageNet without classes, 256 x 256. Attention is in heads
    of `head_dim` channels."""

    family = "ADM"

    image_size: int = 256
    ch: int = 256
    ch_mult: tuple[int, ...] = (1, 1, 2, 2, 4, 4)
    num_res_blocks: int = 2
    attn_resolutions: tuple[int, ...] = (8, 16, 32)
    in_ch: int = 3
    out_ch: int = 3
    head_dim: int = 64

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_heads(self.head_dim)


def group_norm(channels: int) -> nn.GroupNorm:
    """The normalisation of this network, with PyTorch's epsilon."""
    return nn.GroupNorm(GROUPS, channels, eps=1e-5)


class TimeEmbedding(mlx.nn.Module):
    """The sinusoidal embedding of time steps and two dense layers. From one of its n frequencies to the next it is the
    n-th root of 10000, so that the last one comes short of 1/10000, which it is in Ho et al. 2020."""

    def __init__(self, ch: int):
        super().__init__()
        self.dense = [nn.Linear(ch, 4 * ch), nn.Linear(4 * ch, 4 * ch)]
        self.ch = ch

    def __call__(self, t: Tensor) -> Tensor:
        frequencies = self.ch // 2
        longest = 10000.0 ** ((frequencies - 1) / frequencies)
        return self.dense[1](nn.silu(self.dense[0](nn.timestep_embedding(t, self.ch, longest))))


class ADMUNet(UNet):
    """Predicts the noise in `x` `(B, H, W, in_ch)` at time steps `t` `(B,)`. The variances that the published networks
    predict, too, are not computed: no sampler here takes them."""

    def __init__(self, config: ADMConfig):
        temb = 4 * config.ch
        super().__init__(
            config,
            Blocks(
                residual=lambda i, o: ResnetBlock(i, o, temb, norm=group_norm),
                attention=lambda c: AttnBlock(c, config.head_dim, group_norm),
                downsample=lambda c: ResnetBlock(c, c, temb, nn.avg_pool2d, group_norm),
                upsample=lambda c: ResnetBlock(c, c, temb, nn.upsample_nearest, group_norm),
                norm=group_norm,
            ),
        )
        self.temb = TimeEmbedding(config.ch)

    def inputs(self, batch: int = 1) -> dict[str, tuple[int, ...]]:
        """Names and shapes of the arguments of a call, in order."""
        size = self.config.image_size
        return {"x": (batch, size, size, self.config.in_ch), "t": (batch,)}

    def __call__(self, x: Tensor, t: Tensor) -> Tensor:
        return self.run(x, self.temb(t))
