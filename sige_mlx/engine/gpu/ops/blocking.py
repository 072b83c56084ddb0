"""How a threadgroup divides a convolution's work: the divisions that there are. `cost.py` says which is fastest."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from sige_mlx.engine.gpu.chip import SIMD
from sige_mlx.engine.gpu.launch import THREADGROUP_MEMORY
from sige_mlx.engine.gpu.ops.convolution import Convolution
from sige_mlx.engine.gpu.ops.operands import Source
from sige_mlx.engine.gpu.ops.weights import PANEL
from sige_mlx.engine.gpu.ops.winograd import POINTS, TILE

NARROW = 8
"""The most output channels of `metal/conv/narrow.h`."""
NARROW_THREADS = 128
LARGE_TILE = 16
"""Of a plane that is computed whole: larger tiles share more of what they see."""

MAX_TAPS = 49
STAGED = (32, 16, 8)
"""Channels that can be staged at a time."""
WINDOW_MEMORY = 14336
"""Bytes of windows beyond which fewer channels are staged at a time: several threadgroups should fit on a core."""

ADDRESSES = 40
"""Registers of a thread for what is neither sums nor fetched ahead: assumed, no compiler here tells."""
MATRIX_FMAS = 8 * 8 * 8
AHEAD = 2
"""Steps that weights are fetched ahead of (`metal/conv/mma.h`)."""


@dataclass(frozen=True)
class Blocking:
    """A threadgroup's simdgroups for pixels, output channels and taps, for `metal/conv/conv.h`."""

    wm: int
    wn: int
    wk: int
    bk: int
    pixels: int
    """Of the windows of all tiles."""
    tile: int
    tiles: int
    """Of a threadgroup."""
    tm: int = 4
    tn: int = 4
    """Matrices of a simdgroup, of 8 pixels by 8 output channels: rows and columns of them."""

    @property
    def registers(self) -> int:
        """Of a thread: sums, weights and pixels fetched ahead, and others."""
        return 2 * self.tm * self.tn + AHEAD * self.tn + 24 + ADDRESSES

    @property
    def fmas_a_wait(self) -> int:
        """Of a simdgroup, between loads that it waits for."""
        return AHEAD * self.tm * self.tn * MATRIX_FMAS

    @property
    def threads(self) -> int:
        return SIMD * self.wm * self.wn * self.wk

    @property
    def rows(self) -> int:
        """Pixels."""
        return 8 * self.tm * self.wm

    @property
    def columns(self) -> int:
        """Output channels."""
        return 8 * self.tn * self.wn

    @property
    def template(self) -> tuple[tuple[str, int], ...]:
        names = ("wm", "wn", "wk", "tm", "tn", "bk", "pixels")
        return tuple((name.upper(), getattr(self, name)) for name in names)

    def windows(self, itemsize: int) -> int:
        """Bytes of the windows in threadgroup memory."""
        return self.pixels * (self.bk + 16 // itemsize) * itemsize

    def memory(self, itemsize: int) -> int:
        """Bytes of threadgroup memory."""
        values = self.rows * (self.columns + 4) * 4
        return max(self.windows(itemsize), values) + 16 * self.pixels + 16 * self.rows + 4 * MAX_TAPS


@dataclass(frozen=True)
class NarrowBlocking:
    """For `metal/conv/narrow.h`, where threads have all `columns` output channels of their pixels."""

    columns: int
    own: int
    """Pixels of a thread."""
    bk: int
    pixels: int
    tile: int
    tiles: int

    threads = NARROW_THREADS

    @property
    def width(self) -> int:
        """Output channels that the epilogue has room for."""
        return -(-self.columns // 4) * 4

    @property
    def registers(self) -> int:
        """Of a thread: sums, pixels, weights of 8 channels, and others."""
        return self.own * (self.columns + 4) + 4 * self.width + ADDRESSES

    @property
    def fmas_a_wait(self) -> int:
        """Of a simdgroup, between loads that it waits for: 8 channels of one tap."""
        return SIMD * 8 * self.own * self.columns

    @property
    def template(self) -> tuple[tuple[str, int], ...]:
        return (("OWN", self.own), ("BK", self.bk), ("PIXELS", self.pixels))

    def windows(self, itemsize: int) -> int:
        """Bytes of the windows in threadgroup memory."""
        return self.pixels * (self.bk + 4) * itemsize

    def memory(self, itemsize: int) -> int:
        """Bytes of threadgroup memory."""
        rows = NARROW_THREADS * self.own
        return max(self.windows(itemsize), rows * (self.width + 4) * 4) + 16 * self.pixels + 16 * rows + 4 * MAX_TAPS


@dataclass(frozen=True)
class WinogradBlocking:
    """For `metal/conv/winograd.h`, where a threadgroup has 8 or 16 tiles."""

    tiles: int = 16

    threads = 256
    columns = PANEL
    tile = TILE

    @property
    def pixels(self) -> int:
        """Of the windows of all tiles."""
        return self.tiles * POINTS

    @property
    def registers(self) -> int:
        """Of a thread: sums, weights fetched ahead, and others."""
        return POINTS // 4 * (2 * self.tiles // 8 * 2 + 2) + ADDRESSES

    @property
    def fmas_a_wait(self) -> int:
        """Of a simdgroup, between loads that it waits for: 8 channels."""
        return POINTS // 4 * 2 * self.tiles // 8 * MATRIX_FMAS

    @property
    def template(self) -> tuple[tuple[str, int], ...]:
        return (("TILES", self.tiles), ("PIXELS", self.pixels))

    def memory(self, itemsize: int) -> int:
        """Bytes of threadgroup memory."""
        return self.pixels * 8 * 4 + 16 * self.pixels + 16 * self.tiles * TILE**2 + 4 * MAX_TAPS


AnyBlocking = Blocking | NarrowBlocking | WinogradBlocking
_S = TypeVar("_S", Blocking, NarrowBlocking)


def blockings_of(call: Convolution) -> list[AnyBlocking]:
    """The blockings that a call can be computed in; with transformed weights they are those that need them."""
    if call.transformed is not None:
        return [WinogradBlocking(8), WinogradBlocking(16)]
    blockings: list[AnyBlocking | None] = [divided(call, division) for division in _divisions(call)]
    blockings += [narrowed(call, tile, own) for tile in _narrow_tiles(call) for own in (1, 2)]
    return [s for s in blockings if s is not None]


def _divisions(call: Convolution) -> list[tuple[int, ...]]:
    """Ways to divide a threadgroup's simdgroups between pixels, output channels and taps, and where these have fewer
    matrices than usual, how many. Small threadgroups are for few tiles and channels."""
    if call.phase_shift is not None:
        return [(4, 1, 1), (4, 1, 2), (4, 2, 1), (4, 1, 2, 2, 2)]
    usual: list[tuple[int, ...]] = [(2, 2, 1), (1, 4, 1), (1, 2, 2), (2, 1, 2), (1, 1, 4)]
    return [*usual, (1, 1, 4, 2, 4), (1, 1, 4, 4, 2), (1, 1, 4, 2, 2)]


def _narrow_tiles(call: Convolution) -> Iterator[int]:
    """Sides of tiles that a narrow convolution can be computed by. How a whole plane is cut shows in its sums only."""
    e = call.epilogue
    if e.c_out <= NARROW and call.phase_shift is None and call.shares is None:
        yield e.out.tile
        if e.out.list is None and not e.sums:
            yield LARGE_TILE


def divided(call: Convolution, division: tuple[int, ...], staged: Sequence[int] = STAGED) -> Blocking | None:
    """The blocking of a division with the first number of channels staged at a time that leaves room for other
    threadgroups, else the last; None when that is too much."""
    wm, wn, wk, *matrices = division
    tm, tn = matrices or (4, 4)
    tile, rows = call.epilogue.out.tile, wm * tm * 8
    tiles = rows // tile**2
    if call.phase_shift is not None:
        tiles = 0 if tile % 2 else rows // 4 // (tile // 2) ** 2
    pixels = tiles * max(_window(call, s, tile) for s in call.sources)
    return _fitting(call, [Blocking(wm, wn, wk, bk, pixels, tile, tiles, tm, tn) for bk in staged])


def narrowed(call: Convolution, tile: int, own: int, staged: Sequence[int] = STAGED) -> NarrowBlocking | None:
    """The blocking for tiles of a side and threads of so many pixels, with as many channels staged at a time as
    `divided` would."""
    tiles = NARROW_THREADS * own // tile**2
    pixels = tiles * max(_window(call, s, tile) for s in call.sources)
    return _fitting(call, [NarrowBlocking(call.epilogue.c_out, own, bk, pixels, tile, tiles) for bk in staged])


def _fitting(call: Convolution, blockings: Sequence[_S]) -> _S | None:
    itemsize, channels = call.weight.dtype.size, max(s.x.c for s in call.sources)
    blocking = next(
        (s for s in blockings if s.windows(itemsize) <= WINDOW_MEMORY and s.bk < channels + 8), blockings[-1]
    )
    fits = blocking.tiles and all(s.kh * s.kw <= MAX_TAPS for s in call.sources)
    return blocking if fits and blocking.memory(itemsize) <= THREADGROUP_MEMORY else None


def _window(call: Convolution, s: Source, tile: int) -> int:
    """Pixels that a tile sees of a source."""
    side = (tile - 1) * s.stride if call.phase_shift is None else tile // 2 - 1 + call.phase_shift
    return (side + s.kh) * (side + s.kw)


def groups_of(call: Convolution, blocking: AnyBlocking) -> tuple[int, int, int]:
    """Threadgroups: panels of output channels by groups of tiles by shares of the sum."""
    return (
        -(-call.epilogue.c_out // blocking.columns),
        -(-call.epilogue.out.cut(blocking.tile).tiles // blocking.tiles),
        call.shares or 1,
    )
