"""The function `tiles` of a package: from a mask to the lists that edits take. The rule is that of `sige_mlx.masks`."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from coremltools.converters.mil import Builder as mb
from coremltools.converters.mil.mil import Function

from sige_mlx.converters.coreml.borders import EDITED, MASK, Border, count_name, images_name, rows_name
from sige_mlx.converters.coreml.windows import OUTSIDE, RECOMPUTED, RECORDED, Windows
from sige_mlx.graph.lowered import Lowered
from sige_mlx.graph.tiling import Size, halvings
from sige_mlx.masks.difference import COVERAGE, MARGIN


def tiles_function(lowered: Lowered, takes: Border, target: Any) -> Function:
    """Returns the function: it takes a mask [N, 1, H, W] of zeros and ones, dilated as its task asks."""
    (h, w), n, t = lowered.image_size, lowered.batch, lowered.tile
    planes = sorted({size for windows in takes.windows for size in (windows.grid, windows.tiles) if size}, reverse=True)
    output: Size = lowered.graph.nodes[lowered.graph.output].shape[1:3]  # type: ignore[assignment]
    with Function({MASK: mb.placeholder((n, 1, h, w))}, opset_version=target) as function:
        outputs: list[Any] = []
        grids: dict[Size, Any] = {}
        rows: dict[Size, Any] = {}
        for size, level in pyramid(function.inputs[MASK], halvings((h, w)), lowered.policy.dilation_per_level).items():
            if size not in (*planes, output):
                continue
            flags = _active(level, size, t)
            if size == output:
                outputs.append(_edited(flags, n, size, t, lowered.policy.output == "everywhere"))
            if size not in planes:
                continue
            count = flags.shape[0]
            grids[size] = mb.mul(x=mb.cumsum(x=flags, axis=0), y=flags)
            rows[size] = _rows(flags, n, (-(-size[0] // t), -(-size[1] // t)))
            outputs.append(mb.stack(values=[*rows[size]], axis=1, name=rows_name(size)))
            outputs.append(mb.reduce_sum(x=flags, axes=[0], keep_dims=True, name=count_name(size)))
            if size in takes.images:
                outputs.append(mb.reshape(x=rows[size][0], shape=[count], name=images_name(size)))
        for windows in takes.windows:
            outputs.append(_listed(windows, rows, grids))
        function.set_outputs(outputs)
    return function


def _edited(flags: Any, n: int, size: Size, tile: int, everywhere: bool) -> Any:
    """Returns the pixels of tiles, [N, 1, H, W] of zeros and ones."""
    down, across = (-(-side // tile) for side in size)
    x = mb.cast(x=mb.reshape(x=flags, shape=[n, 1, down, across]), dtype="fp32")
    x = mb.upsample_nearest_neighbor(x=x, scale_factor_height=tile, scale_factor_width=tile)
    x = mb.slice_by_size(x=x, begin=[0, 0, 0, 0], size=[n, 1, *size])
    if everywhere:
        x = mb.maximum(x=x, y=np.float32(1))
    return mb.identity(x=x, name=EDITED)


def pyramid(mask: Any, sizes: Sequence[Size], dilation: int) -> dict[Size, Any]:
    """Returns the masks of all resolutions, as `mask_pyramid` makes them, in zeros and ones."""
    share, levels = mask, {sizes[0]: _dilated(mask, dilation)}
    for size in sizes[1:]:
        for axis in (2, 3):
            if share.shape[axis] % 2:  # the last row or column counts twice
                begin = [0, 0, 0, 0]
                begin[axis] = share.shape[axis] - 1
                extent = [*share.shape]
                extent[axis] = 1
                share = mb.concat(values=[share, mb.slice_by_size(x=share, begin=begin, size=extent)], axis=axis)
        share = mb.avg_pool(x=share, kernel_sizes=[2, 2], strides=[2, 2], pad_type="valid")
        largest = mb.reduce_max(x=share, axes=[2, 3], keep_dims=True)
        limit = mb.minimum(x=mb.sub(x=largest, y=np.float32(MARGIN)), y=np.float32(COVERAGE))
        above = mb.greater(x=share, y=mb.maximum(x=limit, y=np.float32(0)))
        levels[size] = _dilated(mb.cast(x=above, dtype="fp32"), dilation)
    return levels


def _dilated(x: Any, radius: int) -> Any:
    """Returns a mask that has grown by a plus."""
    if not radius:
        return x
    down, across = (min(radius, side) for side in x.shape[2:])
    tall = mb.max_pool(x=x, kernel_sizes=[2 * down + 1, 1], strides=[1, 1], pad_type="custom", pad=[down, down, 0, 0])
    wide = mb.max_pool(
        x=x, kernel_sizes=[1, 2 * across + 1], strides=[1, 1], pad_type="custom", pad=[0, 0, across, across]
    )
    return mb.maximum(x=tall, y=wide)


def _active(mask: Any, size: Size, tile: int) -> Any:
    """Returns 1 for every tile from which a 3x3 convolution sees the mask: int32 [tiles]."""
    after = [(-(-side // tile)) * tile + 1 - side for side in size]
    pad = [0, 0, 0, 0, 1, after[0], 1, after[1]]
    x = mb.pad(x=mask, pad=pad, mode="constant", constant_val=0.0)
    x = mb.max_pool(x=x, kernel_sizes=[tile + 2] * 2, strides=[tile] * 2, pad_type="valid")
    return mb.cast(x=mb.reshape(x=x, shape=[int(np.prod(x.shape))]), dtype="int32")


def _rows(flags: Any, n: int, grid: Size) -> tuple[Any, Any, Any]:
    """Returns image, row and column of all tiles, the active ones first, in order."""
    count, (gh, gw) = flags.shape[0], grid
    order = mb.sub(x=mb.mul(x=flags, y=np.int32(count)), y=np.arange(count, dtype=np.int32))
    _, at = mb.topk(x=order, k=count, axis=0)
    row = mb.floor_div(x=at, y=np.int32(gw))
    image = mb.floor_div(x=row, y=np.int32(gh))
    return image, mb.mod(x=row, y=np.int32(gh)), mb.mod(x=at, y=np.int32(gw))


def _listed(windows: Windows, rows: Mapping[Size, Any], grids: Mapping[Size, Any]) -> Any:
    """Returns the list of some windows."""
    if windows.tiles is None:
        return _pixels(windows, grids)
    image, row, column = rows[windows.tiles]
    count, (h, w) = image.shape[0], windows.plane
    ys, ys_inside = _axis(windows, row, 0)
    xs, xs_inside = _axis(windows, column, 1)
    y, x = mb.expand_dims(x=ys, axes=[2]), mb.expand_dims(x=xs, axes=[1])
    inside = mb.logical_and(x=mb.expand_dims(x=ys_inside, axes=[2]), y=mb.expand_dims(x=xs_inside, axes=[1]))
    image = mb.reshape(x=image, shape=[count, 1, 1])
    line = mb.add(x=mb.mul(x=image, y=np.int32(h)), y=y)
    base = mb.add(x=mb.mul(x=line, y=np.int32(w)), y=x)
    shape = [count, windows.pixels]
    base = mb.reshape(x=base, shape=shape)
    state = mb.reshape(x=mb.cast(x=inside, dtype="int32"), shape=shape)  # OUTSIDE or RECORDED
    blocks = mb.mul(x=base, y=np.int32(0))
    if windows.grid is not None:
        t = np.int32(windows.tile)
        gh, gw = (np.int32(-(-side // windows.tile)) for side in windows.plane)
        line = mb.add(x=mb.mul(x=image, y=gh), y=mb.floor_div(x=y, y=t))
        tile = mb.add(x=mb.mul(x=line, y=gw), y=mb.floor_div(x=x, y=t))
        tile = mb.reshape(x=tile, shape=[count * windows.pixels])
        found = mb.reshape(x=mb.gather(x=grids[windows.grid], indices=tile, axis=0), shape=shape)
        within = mb.add(x=mb.mul(x=mb.mod(x=y, y=t), y=t), y=mb.mod(x=x, y=t))
        within = mb.reshape(x=mb.add(x=within, y=mb.mul(x=image, y=np.int32(0))), shape=shape)
        first = mb.mul(x=mb.maximum(x=mb.sub(x=found, y=np.int32(1)), y=np.int32(0)), y=t * t)
        blocks = mb.add(x=first, y=within)
        recomputed = mb.cast(x=mb.greater(x=found, y=np.int32(0)), dtype="int32")
        state = mb.mul(x=state, y=mb.add(x=recomputed, y=np.int32(1)))
    return mb.stack(values=[blocks, state, base], axis=1, name=windows.name)


assert (OUTSIDE, RECORDED, RECOMPUTED) == (0, 1, 2)  # _listed and _pixels multiply and add them


def _axis(windows: Windows, tile: Any, axis: int) -> tuple[Any, Any]:
    """Returns the coordinates of the pixels that windows read along an axis, [tiles, window], and which are in the
    image; the others are led back into it."""
    at = mb.expand_dims(x=mb.mul(x=tile, y=np.int32(windows.pitch)), axes=[1])
    at = mb.add(x=at, y=(np.arange(windows.window[axis], dtype=np.int32) - np.int32(windows.pad[axis]))[None])
    stored, by = windows.plane[axis], windows.resample
    size = np.int32(stored << by if by > 0 else stored >> -by)
    if windows.reflect:
        at = mb.maximum(x=at, y=mb.sub(x=np.int32(0), y=at))
        at = mb.minimum(x=at, y=mb.sub(x=np.int32(2 * (size - 1)), y=at))
    inside = mb.logical_and(x=mb.greater_equal(x=at, y=np.int32(0)), y=mb.less(x=at, y=size))
    at = mb.minimum(x=mb.maximum(x=at, y=np.int32(0)), y=np.int32(size - 1))
    if windows.zeros:
        inside = mb.logical_and(x=inside, y=mb.equal(x=mb.mod(x=at, y=np.int32(2)), y=np.int32(0)))
    if by > 0:
        at = mb.floor_div(x=at, y=np.int32(2))
    elif by < 0:
        at = mb.mul(x=at, y=np.int32(1 << -by))
    return at, inside


def _pixels(windows: Windows, grids: Mapping[Size, Any]) -> Any:
    """Returns the list of all pixels of a plane."""
    (h, w), t = windows.plane, windows.tile
    assert windows.grid is not None
    image, y, x = (a.reshape(-1).astype(np.int32) for a in np.indices((windows.n, h, w)))
    tile = (image * -(-h // t) + y // t) * -(-w // t) + x // t
    found = mb.gather(x=grids[windows.grid], indices=tile, axis=0)
    first = mb.mul(x=mb.maximum(x=mb.sub(x=found, y=np.int32(1)), y=np.int32(0)), y=np.int32(t * t))
    blocks = mb.add(x=first, y=(y % t) * np.int32(t) + x % t)
    state = mb.add(x=mb.cast(x=mb.greater(x=found, y=np.int32(0)), dtype="int32"), y=np.int32(1))
    both = mb.stack(values=[blocks, state], axis=0)
    return mb.expand_dims(x=both, axes=[0], name=windows.name)
