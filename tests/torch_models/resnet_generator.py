"""CycleGAN's ResNet generator in PyTorch, NCHW, with the parameter names of the published `*_net_G*.pth`.

Zhu et al., "Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial Networks" (2017), appendix 7.2:
c7s1-64, d128, d256, R256 as often as wanted, u128, u64, c7s1-3.
"""

from __future__ import annotations

from torch import Tensor, nn


class Block(nn.Module):
    """R`width`: its layers are in a sequence called `name`, with dropout between the convolutions or without."""

    def __init__(self, width: int, affine: bool, dropout: bool, name: str) -> None:
        super().__init__()

        def half() -> list[nn.Module]:
            conv = nn.Conv2d(width, width, 3)
            return [nn.ReflectionPad2d(1), conv, nn.InstanceNorm2d(width, affine=affine)]

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
    ) -> None:
        super().__init__()

        def normed(conv: nn.Module, width: int) -> list[nn.Module]:
            return [conv, nn.InstanceNorm2d(width, affine=affine), nn.ReLU()]

        layers = [nn.ReflectionPad2d(3), *normed(nn.Conv2d(input_nc, ngf, 7), ngf)]
        for width in (2 * ngf, 4 * ngf):
            layers += normed(nn.Conv2d(width // 2, width, 3, stride=2, padding=1), width)
        layers += [Block(4 * ngf, affine, dropout, block_name) for _ in range(n_blocks)]
        for width in (2 * ngf, ngf):
            up = nn.ConvTranspose2d(2 * width, width, 3, stride=2, padding=1, output_padding=1)
            layers += normed(up, width)
        layers += [nn.ReflectionPad2d(3), nn.Conv2d(ngf, output_nc, 7), nn.Tanh()]
        self.model = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.model(x)
        return out
