"""A network's parameters in plain arrays, as every executor of programs takes them before it packs them its own way."""

from collections.abc import Callable, Iterator

import mlx.core as mx
import numpy as np
import numpy.typing as npt

from sige_mlx.graph.fusion import FusedConv
from sige_mlx.graph.program import Buffer

Floats = npt.NDArray[np.float32]
Loader = Callable[[str], npt.NDArray[np.generic]]
"""Gives a parameter by name, in MLX's layout; asked for each name about once, so that it may read a file lazily."""


def floats(load: Loader, name: str) -> Floats:
    """A parameter in float32."""
    return np.ascontiguousarray(load(name), np.float32)


def kernels(conv: FusedConv, load: Loader) -> Iterator[Floats]:
    """The weights of each source of a convolution, (O, kH, kW, I): those of all its parts, one after the other, and as
    its kernel meets the pixels. A transposed convolution, as one of pixels and zeros, reads its kernel backwards."""
    for at, source in enumerate(conv.terms):
        array = np.concatenate([floats(load, name) for name in conv.weights(at)])
        array = array.reshape(-1, *source.weight_shape[1:])
        yield np.ascontiguousarray(array[:, ::-1, ::-1]) if source.transposed else array


def kernel_by_channel(conv: FusedConv, load: Loader) -> Floats:
    """The weight of a convolution that is one of each channel by itself, (kH · kW, C)."""
    by_channel = floats(load, *conv.weights(0))
    return np.ascontiguousarray(by_channel.reshape(len(by_channel), -1).T)


def bias(buffer: Buffer, load: Loader) -> Floats:
    """What a BIAS slot holds, (O,): the biases that are added to each part of a convolution, part by part."""
    return np.concatenate([np.sum([floats(load, name) for name in names], axis=0) for names in buffer.key])


def folded(buffer: Buffer, load: Loader) -> Floats:
    """The scale or the shift of a FOLDED slot, (C,): of a norm that is the same every time."""
    what, norm, names = buffer.key
    params = {name: mx.array(floats(load, path)) for name, path in names}
    scale, shift = norm.affine(mx.zeros((1, 1, 1, *buffer.shape)), params)
    return np.ascontiguousarray(np.asarray(scale if what == "scale" else shift).reshape(-1), np.float32)
