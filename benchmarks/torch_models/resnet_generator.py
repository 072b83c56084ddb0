"""CycleGAN's ResNet generator in PyTorch, NCHW, with the parameter names of the published `*_net_G*.pth`.

Zhu et al., "Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial Networks" (2017), appendix 7.2:
c7s1-64, d128, d256, R256 as often as wanted, u128, u64, c7s1-3. pix2pix has the same with batch normalisation, before
which a convolution needs no bias.
"""

from __future__ import annotations

from torch import Tensor, nn

NORMS = {"instance": nn.InstanceNorm2d, "batch": nn.BatchNorm2d}


class Block(nn.Module):
    """R`width`: its layers are in a sequence called `name`, with dropout between the convolutions or without."""

    def __init__(self, width: int, norm: str, affine: bool, dropout: bool, name: str) -> None:
        super().__init__()

        def half() -> list[nn.Module]:
            conv = nn.Conv2d(width, width, 3, bias=norm == "instance")
            return [nn.ReflectionPad2d(1), conv, NORMS[norm](width, affine=affine)]

        between = [nn.ReLU(), nn.Dropout(0.5)] if dropout else [nn.ReLU()]
        self.name = name
        self.add_module(name, nn.Sequential(*half(), *between, *half()))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.get_submodule(self.name)(x)
        return out


class ResnetGenerator(nn.Module):
    """`[N, input_nc, H, W]` → `[N, output_nc, H, W]` in [-1, 1]."""

    def __init__(
        self,
        input_nc: int = 3,
        output_nc: int = 3,
        ngf: int = 64,
        n_blocks: int = 9,
        affine: bool = False,
        dropout: bool = False,
        block_name: str = "conv_block",
        norm: str = "instance",
    ) -> None:
        super().__init__()
        bias = norm == "instance"

        def normed(conv: nn.Module, width: int) -> list[nn.Module]:
            return [conv, NORMS[norm](width, affine=affine), nn.ReLU()]

        layers = [nn.ReflectionPad2d(3), *normed(nn.Conv2d(input_nc, ngf, 7, bias=bias), ngf)]
        for width in (2 * ngf, 4 * ngf):
            layers += normed(nn.Conv2d(width // 2, width, 3, stride=2, padding=1, bias=bias), width)
        layers += [Block(4 * ngf, norm, affine, dropout, block_name) for _ in range(n_blocks)]
        for width in (2 * ngf, ngf):
            up = nn.ConvTranspose2d(2 * width, width, 3, stride=2, padding=1, output_padding=1, bias=bias)
            layers += normed(up, width)
        layers += [nn.ReflectionPad2d(3), nn.Conv2d(ngf, output_nc, 7), nn.Tanh()]
        self.model = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.model(x)
        return out
