"""These layers have the names and parameters of those of `mlx.nn`, and also accept symbolic tensors."""

import math

import mlx.core as mx
import mlx.nn

from sige_mlx.nn import functional as F
from sige_mlx.nn.functional import Tensor
from sige_mlx.nn.ops import Padding, PadMode


def _uniform(shape: tuple[int, ...], fan_in: int) -> mx.array:
    # The weights stay lazy, for most models load others. The generator's state does not: a chain of thousands of draws
    # that nobody evaluated overflows MLX's stack when a gradient is taken.
    mx.eval(mx.random.state)
    bound = 1 / math.sqrt(fan_in)
    return mx.random.uniform(-bound, bound, shape)


class Conv2d(mlx.nn.Module):
    """It convolves with weight `(O, k, k, I / groups)`, bias `(O,)`; `padding` is a number or ((top, bottom), (left,
    right)); `groups` is 1 or the channels."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        stride: int = 1,
        padding: int | Padding = 0,
        groups: int = 1,
        bias: bool = True,
        pad_mode: PadMode = "zero",
    ):
        super().__init__()
        fan_in = in_channels // groups * kernel_size**2
        self.weight = _uniform((out_channels, kernel_size, kernel_size, in_channels // groups), fan_in)
        if bias:
            self.bias = _uniform((out_channels,), fan_in)
        self.stride = stride
        self.padding = ((padding, padding), (padding, padding)) if isinstance(padding, int) else padding
        self.groups = groups
        self.pad_mode = pad_mode

    def __call__(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight, self.get("bias"), self.stride, self.padding, self.groups, self.pad_mode)


class ConvTranspose2d(mlx.nn.Module):
    """It convolves transposed, 3x3, to twice the size, with weight `(O, 3, 3, I)`, bias `(O,)`."""

    def __init__(self, in_channels: int, out_channels: int, bias: bool = True):
        super().__init__()
        self.weight = _uniform((out_channels, 3, 3, in_channels), 9 * in_channels)
        if bias:
            self.bias = _uniform((out_channels,), 9 * in_channels)

    def __call__(self, x: Tensor) -> Tensor:
        return F.conv_transpose2d(x, self.weight, self.get("bias"))


class Linear(mlx.nn.Module):
    """It computes `x @ weight.T + bias` with weight `(O, I)`, bias `(O,)`."""

    def __init__(self, input_dims: int, output_dims: int):
        super().__init__()
        self.weight = _uniform((output_dims, input_dims), input_dims)
        self.bias = _uniform((output_dims,), input_dims)

    def __call__(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight, self.bias)


class GroupNorm(mlx.nn.Module):
    """It normalises groups of neighbouring channels, as PyTorch does; weight and bias are `(C,)`."""

    def __init__(self, num_groups: int, dims: int, eps: float = 1e-5):
        super().__init__()
        self.weight = mx.ones((dims,))
        self.bias = mx.zeros((dims,))
        self.num_groups = num_groups
        self.eps = eps

    def __call__(self, x: Tensor) -> Tensor:
        return F.group_norm(x, self.num_groups, self.weight, self.bias, self.eps)


class InstanceNorm(mlx.nn.Module):
    """It normalises every channel of every image; it has weight and bias `(dims,)` if it is `affine`."""

    def __init__(self, dims: int, eps: float = 1e-5, affine: bool = False):
        super().__init__()
        if affine:
            self.weight = mx.ones((dims,))
            self.bias = mx.zeros((dims,))
        self.eps = eps

    def __call__(self, x: Tensor) -> Tensor:
        return F.instance_norm(x, self.eps, self.get("weight"), self.get("bias"))


class BatchNorm(mlx.nn.Module):
    """It normalises by its kept statistics, `running_mean` and `running_var` `(C,)`; it has weight and bias `(C,)` if
    it is `affine`."""

    def __init__(self, num_features: int, eps: float = 1e-5, affine: bool = False):
        super().__init__()
        if affine:
            self.weight = mx.ones((num_features,))
            self.bias = mx.zeros((num_features,))
        self.running_mean = mx.zeros((num_features,))
        self.running_var = mx.ones((num_features,))
        self.eps = eps

    def __call__(self, x: Tensor) -> Tensor:
        affine = self.get("weight"), self.get("bias")
        return F.batch_norm(x, self.running_mean, self.running_var, self.eps, *affine)
