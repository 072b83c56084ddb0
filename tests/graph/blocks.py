"""The blocks that the paper's networks are made of, of any widths."""

from __future__ import annotations

import mlx.nn

from sige_mlx import nn
from sige_mlx.nn import Tensor


def conv(i: int, o: int, kernel: int = 3, stride: int = 1) -> nn.Conv2d:
    """A convolution that keeps the size, or divides it by `stride`, padding as little before as after it."""
    total = kernel - stride if kernel > stride else 0
    before = total // 2
    return nn.Conv2d(i, o, kernel, stride, ((before, total - before), (before, total - before)))


def groups_of(channels: int) -> int:
    return next(g for g in (4, 3, 2, 1) if channels % g == 0)


class Block(mlx.nn.Module):
    """A residual block of DDPM, or with `film` and `resample` of progressive distillation; `vector` is the width of the
    time embedding, 0 for none."""

    def __init__(self, i: int, o: int, vector: int, film: bool = False, resample: str = "none"):
        super().__init__()
        self.norm1, self.conv1 = nn.GroupNorm(groups_of(i), i), conv(i, o)
        self.norm2, self.conv2 = nn.GroupNorm(groups_of(o), o), conv(o, o)
        if vector:
            self.temb_proj = nn.Linear(vector, 2 * o if film else o)
        if i != o:
            self.shortcut = conv(i, o, 1)
        resamplings = {"none": lambda x: x, "down": nn.avg_pool2d, "up": nn.upsample_nearest}
        self.film, self.resample = film, resamplings[resample]

    def __call__(self, x: Tensor, temb: Tensor | None) -> Tensor:
        h = self.conv1(self.resample(nn.silu(self.norm1(x))))
        vector = None if temb is None else self.temb_proj(nn.silu(temb))
        if vector is not None and not self.film:
            h = h + vector
        h = self.norm2(h)
        if vector is not None and self.film:
            h = nn.modulate(h, vector)
        h = self.conv2(nn.silu(h))
        x = self.resample(x)
        return h + (self.shortcut(x) if "shortcut" in self else x)


class SelfAttention(mlx.nn.Module):
    def __init__(self, c: int, heads: int = 1):
        super().__init__()
        self.norm, self.heads = nn.GroupNorm(groups_of(c), c), heads
        self.q, self.k, self.v, self.out = (conv(c, c, 1) for _ in range(4))

    def __call__(self, x: Tensor) -> Tensor:
        h = self.norm(x)
        return self.out(nn.attention(self.q(h), self.k(h), self.v(h), self.heads)) + x


class Up(mlx.nn.Module):
    """Upsampling, and a block over the concatenation with what came from above."""

    def __init__(self, i: int, skip: int, o: int, vector: int):
        super().__init__()
        self.conv, self.block = conv(i, o), Block(o + skip, o, vector)

    def __call__(self, x: Tensor, skip: Tensor, temb: Tensor | None) -> Tensor:
        return self.block(nn.concat([self.conv(nn.upsample_nearest(x)), skip]), temb)


class ReflectedBlock(mlx.nn.Module):
    """CycleGAN's residual block: the norm comes last, so no convolution absorbs the addition."""

    def __init__(self, c: int):
        super().__init__()
        self.conv1, self.conv2 = (nn.Conv2d(c, c, 3, padding=1, pad_mode="reflect") for _ in range(2))
        self.norm1, self.norm2 = nn.InstanceNorm(c), nn.InstanceNorm(c, affine=True)

    def __call__(self, x: Tensor) -> Tensor:
        return x + self.norm2(self.conv2(nn.relu(self.norm1(self.conv1(x)))))


class Transposed(mlx.nn.Module):
    """A transposed convolution, normalised by its own statistics."""

    def __init__(self, i: int, o: int):
        super().__init__()
        self.conv, self.norm, self.then = nn.ConvTranspose2d(i, o), nn.InstanceNorm(o), conv(o, o, 1)

    def __call__(self, x: Tensor) -> Tensor:
        return self.then(nn.relu(self.norm(self.conv(x))))


class Separable(mlx.nn.Module):
    """Depthwise, normalised by its own statistics, then pixelwise."""

    def __init__(self, i: int, o: int):
        super().__init__()
        self.depthwise = nn.Conv2d(i, i, 3, padding=1, groups=i)
        self.norm, self.pointwise = nn.InstanceNorm(i), conv(i, o, 1)

    def __call__(self, x: Tensor) -> Tensor:
        return self.pointwise(self.norm(self.depthwise(x)))


class Spade(mlx.nn.Module):
    """GauGAN's modulation by label maps, or with `separable` GAN Compression's."""

    def __init__(self, c: int, labels: int, hidden: int, separable: bool):
        super().__init__()
        self.norm, self.shared = nn.BatchNorm(c), conv(labels, hidden)
        if separable:
            self.gamma, self.beta = Separable(hidden, c), Separable(hidden, c)
        else:
            self.gamma_beta = conv(hidden, 2 * c)

    def __call__(self, x: Tensor, labels: Tensor) -> Tensor:
        hidden = nn.relu(self.shared(labels))
        if "gamma_beta" in self:
            return nn.modulate(self.norm(x), self.gamma_beta(hidden))
        return nn.modulate(self.norm(x), nn.concat([self.gamma(hidden), self.beta(hidden)]))


class SpadeBlock(mlx.nn.Module):
    """GauGAN's residual block."""

    def __init__(self, i: int, o: int, labels: int, separable: bool):
        super().__init__()
        middle = min(i, o)
        self.norm_0, self.conv_0 = Spade(i, labels, 6, separable), conv(i, middle)
        self.norm_1, self.conv_1 = Spade(middle, labels, 5, separable), conv(middle, o)
        if i != o:
            self.norm_s, self.conv_s = Spade(i, labels, 4, separable), nn.Conv2d(i, o, 1, bias=False)

    def __call__(self, x: Tensor, labels: Tensor) -> Tensor:
        shortcut = self.conv_s(self.norm_s(x, labels)) if "norm_s" in self else x
        h = self.conv_0(nn.leaky_relu(self.norm_0(x, labels)))
        return shortcut + self.conv_1(nn.leaky_relu(self.norm_1(h, labels)))
