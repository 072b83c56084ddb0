"""The ResNet generator of CycleGAN and pix2pix: `*_net_G*.pth`, whose layers are numbered in the order they run."""

from __future__ import annotations

import itertools
import re

from sige_mlx.converters.families.family import (
    Family,
    Layout,
    Shape,
    Shapes,
    Source,
    Transposed,
    dimension,
    parameter_shapes,
    whole,
)
from sige_mlx.models.resnet_generator import ResnetGenerator, ResnetGeneratorConfig

BLOCKS = ("conv_block", "block")
"""What the layers of a residual block are called: in CycleGAN's own code, and in some that was written after it."""

_IN_A_BLOCK = re.compile(rf"model\.(\d{{1,4}})\.(?:{'|'.join(BLOCKS)})\.")
_FIRST_BLOCK = 10  # its number among the layers
_NORMS = (2, 5, 8)  # those before it
_TRANSPOSED = ("up.0.conv", "up.1.conv")  # of ours
_BUFFERS = ("running_mean", "running_var")
_COUNT = "num_batches_tracked"
_MAX_CHANNELS = 1 << 14


def infer(shapes: Shapes, image_size: int | None) -> tuple[ResnetGeneratorConfig, tuple[str, ...]] | None:
    """Configuration of the network with tensors `shapes`; None if they are not a network's of this family.

    No tensor tells the picture's size, and none depends on it: 256 x 256 unless `image_size` is given.
    """
    n_blocks = _count_blocks(shapes)
    last = f"model.{_FIRST_BLOCK + n_blocks + 7}"
    ngf = dimension(shapes, 0, (f"model.{i}.{leaf}" for i in (1, 2) for leaf in ("weight", "bias", *_BUFFERS)))
    input_nc = dimension(shapes, 1, ("model.1.weight",)) or 3
    output_nc = dimension(shapes, 0, (f"{last}.weight", f"{last}.bias")) or 3
    if not all(0 < n <= _MAX_CHANNELS for n in (ngf, input_nc, output_nc)):
        return None
    # One tensor promises a block; a file with too few for blocks of four each must not make us build them.
    if 4 * n_blocks > len(shapes):
        return None
    affine = any(f"model.{i}.weight" in shapes for i in _NORMS)
    # Statistics are kept by old instance normalisations, too, but without an affine map.
    batch = affine and any(f"model.{i}.{buffer}" in shapes for i in _NORMS for buffer in _BUFFERS)
    side = 256 if image_size is None else image_size
    norm = "batch" if batch else "instance"
    config = ResnetGeneratorConfig((side, side), input_nc, output_nc, ngf, n_blocks, norm, affine)
    remark = f"no tensor tells the picture's size: {side} x {side} assumed, and edits go by their pictures"
    return config, (() if image_size else (remark,))


def layouts(config: ResnetGeneratorConfig) -> tuple[Layout, ...]:
    """Our parameters from every layout: under either name of the blocks, with dropout in them or without, and with what
    is of no use: the count of batches, and the statistics that old versions of PyTorch kept for an instance
    normalisation and CycleGAN never used."""
    shapes = parameter_shapes(ResnetGenerator(config))
    kept: tuple[tuple[str, ...], ...] = ((),)
    if config.norm == "batch":
        kept = ((_COUNT,), ())
    elif not config.affine:
        kept = ((), _BUFFERS, (*_BUFFERS, _COUNT))
    ways = itertools.product(BLOCKS, (False, True), kept)
    return tuple(_layout(shapes, _layers(config.n_blocks, block, dropout), buffers) for block, dropout, buffers in ways)


def _count_blocks(shapes: Shapes) -> int:
    """Blocks from the first on, as far as they go."""
    numbers = {int(found[1]) for name in shapes if (found := _IN_A_BLOCK.match(name))}
    return next(count for count in itertools.count() if _FIRST_BLOCK + count not in numbers)


def _layers(n_blocks: int, block: str, dropout: bool) -> dict[str, str]:
    """What our layers are called in a checkpoint. A norm comes right after its convolution."""
    up = _FIRST_BLOCK + n_blocks
    layers: dict[str, str] = {}
    for stage, number in (("stem", 1), ("down.0", 4), ("down.1", 7), ("up.0", up), ("up.1", up + 3)):
        layers |= {f"{stage}.conv": f"model.{number}", f"{stage}.norm": f"model.{number + 1}"}
    for i in range(n_blocks):
        for half, number in ((1, 1), (2, 6 if dropout else 5)):
            inside = f"model.{_FIRST_BLOCK + i}.{block}"
            layers |= {
                f"blocks.{i}.conv{half}": f"{inside}.{number}",
                f"blocks.{i}.norm{half}": f"{inside}.{number + 1}",
            }
    return layers | {"conv_out": f"model.{up + 7}"}


def _layout(shapes: Shapes, layers: dict[str, str], buffers: tuple[str, ...]) -> Layout:
    sources = {}
    for name, shape in shapes.items():
        layer, _, leaf = name.rpartition(".")
        sources[name] = _source(f"{layers[layer]}.{leaf}", shape, layer in _TRANSPOSED)
    unused: dict[str, Shape] = {}
    for layer, theirs in layers.items():
        if "norm" in layer:
            width = shapes[f"{layer.replace('norm', 'conv')}.weight"][:1]
            unused |= {f"{theirs}.{buffer}": width if buffer in _BUFFERS else () for buffer in buffers}
    return Layout(sources, unused)


def _source(name: str, shape: Shape, transposed: bool) -> Source:
    if transposed and len(shape) == 4:
        o, i, h, w = shape
        return Transposed(whole(name, (i, o, h, w)).rows)
    return whole(name, shape)


FAMILY = Family("resnet_generator", infer, layouts)
