"""Edits find pixels by lists of indices, which the function `tiles` of a package makes of a mask.

An edit itself does no arithmetic on indices: it gathers from a recorded plane and from the recomputed blocks, and
selects. A list has for each tile and each pixel of the window that an operation reads of it
  - the pixel's row among those of the blocks,
  - its state: `OUTSIDE`, `RECORDED` or `RECOMPUTED`,
  - its row among those of the recorded plane (a list of a whole plane has none: there it is the pixel itself).
Tiles come first, the active ones before the others, so the list of an edit in N tiles is the beginning of the list of
all: an app points at it and copies nothing. No index is negative or beyond its array, whatever the mask.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sige_mlx.graph import program as p
from sige_mlx.graph.program import NONE
from sige_mlx.graph.tiling import Size
from sige_mlx.nn.ops import PAD_MODES

OUTSIDE, RECORDED, RECOMPUTED = range(3)

REFLECT = PAD_MODES.index("reflect")


@dataclass(frozen=True)
class Windows:
    """It says what an operation reads of a plane for each tile that it computes."""

    n: int
    """There are so many images."""
    plane: Size
    """This is the plane that is read, as it is stored."""
    tile: int
    grid: Size | None
    """The blocks of the plane are those of the tiles of a plane of this size; None: nothing of it was recomputed."""
    tiles: Size | None = None
    """A window is read for every tile of a plane of this size; None: all of the plane is read, as it is stored."""
    window: Size = (0, 0)
    pitch: int = 0
    """Windows begin so many pixels apart."""
    pad: Size = (0, 0)
    reflect: bool = False
    resample: int = 0
    zeros: bool = False

    @property
    def name(self) -> str:
        """This is what an input or an output of a package is called."""
        name = f"pixels_{_by(self.plane)}"
        if self.tiles is None:
            return name if self.grid in (None, self.plane) else f"{name}_in_{_by(self.grid)}"
        name = f"windows_{_by(self.tiles)}_of_{_by(self.plane)}_{_by(self.window)}_every_{self.pitch}"
        name += f"_from_{self.pad[0]}_{self.pad[1]}" if any(self.pad) else ""
        name += "_reflected" * self.reflect + "_zeros" * self.zeros + "_recorded" * (self.grid is None)
        return name + (f"_resampled_{self.resample}".replace("-", "by_") if self.resample else "")

    @property
    def pixels(self) -> int:
        """A window, or the whole plane of all images, has so many pixels."""
        if self.tiles is None:
            return self.n * self.plane[0] * self.plane[1]
        return self.window[0] * self.window[1]

    def shape(self, tiles: int) -> tuple[int, int, int]:
        """Returns the shape of the list of so many tiles."""
        return (1, 2, self.pixels) if self.tiles is None else (tiles, 3, self.pixels)

    @staticmethod
    def of(domain: p.Domain, source: p.Source, grid: Size | None) -> "Windows | None":
        """Returns how a source is read by an operation that computes a domain; None where it is read as it is stored.
        `grid` is the plane of the source's grid."""
        x = source.x
        if domain.list == NONE:
            return None if x.blocks == NONE else Windows(x.n, (x.h, x.w), x.tile, grid)
        if x.blocks != NONE and x.base == NONE:
            return None
        pad, by = (source.pad_top, source.pad_left), (domain.tile - 1) * source.stride
        return Windows(
            x.n,
            (x.h, x.w),
            x.tile,
            grid,
            (domain.h, domain.w),
            (by + source.kh, by + source.kw),
            domain.tile * source.stride,
            pad,
            source.pad_mode == REFLECT and any(pad),
            source.resample,
            bool(source.zeros),
        )


def at_pixels(x: p.Tensor, resample: int = 0) -> p.Source:
    """Returns a source that is read at the very pixels that are computed."""
    return p.Source(x, 1, 1, 1, 0, 0, resample=resample)


def modulating(source: p.Source, x: p.Tensor) -> p.Source:
    """Returns how the gamma or beta of a source is read: at the pixels of the source as it looks resampled."""
    pad = source.pad_top, source.pad_left, source.pad_mode
    return p.Source(x, source.kh, source.kw, source.stride, *pad)


def reads(op: p.ProgramOp) -> Iterator[tuple[p.Domain, p.Source]]:
    """Yields everything that an operation reads of planes, with the pixels that it computes of it."""
    if isinstance(op, p.Paste):
        yield p.Domain(op.x.n, op.x.h, op.x.w, op.x.tile), at_pixels(op.x)
    if not isinstance(op, p.Convolution):
        return
    for source in op.sources:
        yield op.out, source
        if source.mod:
            yield from ((op.out, modulating(source, x)) for x in (source.mod.gamma, source.mod.beta))
    if op.residual:
        yield op.out, at_pixels(op.residual, op.residual_resample)
    for output in op.output:
        if output.mod:
            yield from ((op.out, at_pixels(x)) for x in (output.mod.gamma, output.mod.beta))


def windows_of(program: p.Program, op: p.ProgramOp, tile: int) -> Iterator[Windows]:
    """Yields the lists that an operation needs, of tiles of so many pixels a side."""
    for domain, source in reads(op):
        found = Windows.of(domain, source, grid_of(program, source.x))
        if found:
            yield found
    if isinstance(op, p.Convolution) and op.sums != NONE and op.out.list != NONE and partial(op.out):
        yield own_pixels(op.out)
    if isinstance(op, p.Norm) and op.recorded != NONE:
        yield own_pixels(normalised(program, op, tile))


def grid_of(program: p.Program, x: p.Tensor) -> Size | None:
    """Returns the plane of a value's grid."""
    key: Any = None if x.grid == NONE else program.buffers[x.grid].key
    return key


def partial(domain: p.Domain) -> bool:
    """Says whether tiles of the plane end beyond it."""
    return bool(domain.h % domain.tile or domain.w % domain.tile)


def normalised(program: p.Program, op: p.Norm, tile: int) -> p.Domain:
    """Returns the tiles of which a norm takes the statistics, where these follow the recorded ones."""
    h, w = program.buffers[op.grid].key
    return p.Domain(op.n, h, w, tile)


def own_pixels(domain: p.Domain) -> Windows:
    """Returns the list that says which pixels of the tiles of a domain are in the image."""
    size, tile = (domain.h, domain.w), domain.tile
    return Windows(domain.n, size, tile, size, size, (tile, tile), tile)


def _by(size: Size) -> str:
    return f"{size[0]}x{size[1]}"
