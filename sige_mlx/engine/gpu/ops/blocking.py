"""How a threadgroup divides a convolution's work, and which division should be fastest."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from sige_mlx.engine.gpu.launch import THREADGROUP_MEMORY
from sige_mlx.engine.gpu.ops.convolution import Convolution
from sige_mlx.engine.gpu.ops.operands import Source
from sige_mlx.engine.gpu.ops.weights import PANEL, k_groups
from sige_mlx.engine.gpu.ops.winograd import POINTS, TILE, can_be_transformed

SIMDGROUP = 32
"""Pixels, and output channels, of a simdgroup."""

NARROW = 4
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
"""Registers of a thread for what is no sum: assumed, no compiler here tells."""
MATRIX_FMAS = 8 * 8 * 8

CORES = 16
STEP_CYCLES = 16 * 17
"""Of 16 products of 8x8 matrices, one after the other."""
NARROW_CYCLES = 8
"""Of 8 channels of a pixel for an output channel; to bring the weights takes about as long as another pixel."""
WINOGRAD_CYCLES = POINTS * 17 + 180
"""Of 8 channels: products, and the transforms between barriers."""
WORTH_ITS_MEMORY = 1.3
"""Times faster that a convolution should be for its weights to be kept transformed too."""
LOAD_CYCLES, BARRIER_CYCLES, THREADGROUP_CYCLES = 40, 100, 3000
"""Of fetching and putting four channels, of the barriers around them, of finding windows and of the epilogue."""


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

    step_cycles = STEP_CYCLES
    registers = 2 * 16 + 4 * 4 + ADDRESSES
    """Of a thread: sums, weights fetched ahead, pixels."""
    fmas_a_wait = 16 * MATRIX_FMAS
    """Of a simdgroup, between loads that it waits for: a step's."""

    @property
    def threads(self) -> int:
        return SIMDGROUP * self.wm * self.wn * self.wk

    @property
    def columns(self) -> int:
        """Output channels."""
        return SIMDGROUP * self.wn

    @property
    def template(self) -> tuple[tuple[str, int], ...]:
        return (("WM", self.wm), ("WN", self.wn), ("WK", self.wk), ("BK", self.bk), ("PIXELS", self.pixels))

    def windows(self, itemsize: int) -> int:
        """Bytes of the windows in threadgroup memory."""
        return self.pixels * (self.bk + 16 // itemsize) * itemsize

    def memory(self, itemsize: int) -> int:
        """Bytes of threadgroup memory."""
        values = self.wm * SIMDGROUP * (self.columns + 4) * 4
        return max(self.windows(itemsize), values) + 16 * self.pixels + 16 * self.wm * SIMDGROUP + 4 * MAX_TAPS


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
    wk = 1

    @property
    def registers(self) -> int:
        """Of a thread: sums and pixels."""
        return self.own * (self.columns + 4) + ADDRESSES

    @property
    def fmas_a_wait(self) -> int:
        """Of a simdgroup, between loads that it waits for: 8 channels of one tap."""
        return SIMDGROUP * 8 * self.own * self.columns

    @property
    def step_cycles(self) -> int:
        return NARROW_CYCLES * self.columns * (self.own + 1)

    @property
    def template(self) -> tuple[tuple[str, int], ...]:
        return (("OWN", self.own), ("BK", self.bk), ("PIXELS", self.pixels))

    def windows(self, itemsize: int) -> int:
        """Bytes of the windows in threadgroup memory."""
        return self.pixels * (self.bk + 4) * itemsize

    def memory(self, itemsize: int) -> int:
        """Bytes of threadgroup memory."""
        rows = NARROW_THREADS * self.own
        return max(self.windows(itemsize), rows * (NARROW + 4) * 4) + 16 * self.pixels + 16 * rows + 4 * MAX_TAPS


@dataclass(frozen=True)
class WinogradBlocking:
    """For `metal/conv/winograd.h`, where all threadgroups divide their work in the same way."""

    threads = 256
    registers = 2 * 36 + ADDRESSES
    fmas_a_wait = 36 * MATRIX_FMAS
    columns = PANEL
    tile = TILE
    tiles = 16
    pixels = tiles * POINTS

    template = (("PIXELS", pixels),)


AnyBlocking = Blocking | NarrowBlocking | WinogradBlocking
_S = TypeVar("_S", Blocking, NarrowBlocking)


def blocking_of(call: Convolution) -> AnyBlocking | None:
    """The blocking that should be fastest; None when the tiles or kernels are larger than the kernels take."""
    return min(blockings_of(call), key=lambda s: _cycles(call, s), default=None)


def blockings_of(call: Convolution) -> list[AnyBlocking]:
    """The blockings that a call can be computed in."""
    blockings: list[AnyBlocking | None] = [divided(call, division) for division in _divisions(call)]
    blockings += [narrowed(call, tile, own) for tile in _narrow_tiles(call) for own in (1, 2)]
    if call.transformed is not None:
        blockings.append(WinogradBlocking())
    return [s for s in blockings if s is not None]


def _divisions(call: Convolution) -> list[tuple[int, int, int]]:
    """Ways to divide a threadgroup's simdgroups between pixels, output channels and taps."""
    if call.phase_shift is not None:
        return [(4, 1, 1), (4, 1, 2), (4, 2, 1)]
    return [(2, 2, 1), (1, 4, 1), (1, 2, 2), (2, 1, 2), (1, 1, 4)]


def _narrow_tiles(call: Convolution) -> Iterator[int]:
    """Sides of tiles that a narrow convolution can be computed by. How a whole plane is cut shows in its sums only."""
    e = call.epilogue
    if e.c_out <= NARROW and call.phase_shift is None:
        yield e.out.tile
        if e.out.list is None and not e.sums:
            yield LARGE_TILE


def divided(call: Convolution, division: tuple[int, int, int], staged: Sequence[int] = STAGED) -> Blocking | None:
    """The blocking of a division with the first number of channels staged at a time that leaves room for other
    threadgroups, else the last; None when that is too much."""
    wm, wn, wk = division
    tile, rows = call.epilogue.out.tile, wm * SIMDGROUP
    tiles = rows // tile**2
    if call.phase_shift is not None:
        tiles = 0 if tile % 2 else rows // 4 // (tile // 2) ** 2
    pixels = tiles * max(_window(call, s, tile) for s in call.sources)
    return _fitting(call, [Blocking(wm, wn, wk, bk, pixels, tile, tiles) for bk in staged])


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
    """Threadgroups: panels of output channels by groups of tiles."""
    return (
        -(-call.epilogue.c_out // blocking.columns),
        -(-call.epilogue.out.cut(blocking.tile).tiles // blocking.tiles),
        1,
    )


def transform_pays(call: Convolution) -> bool:
    """Whether a convolution should be faster by transformed weights."""
    if not can_be_transformed(call):
        return False
    other = blocking_of(replace(call, transformed=None))
    return other is None or WORTH_ITS_MEMORY * _cycles(call, WinogradBlocking()) < _cycles(call, other)


def _cycles(call: Convolution, blocking: AnyBlocking) -> float:
    """What a call takes, roughly, in cycles of a core that runs four simdgroups: enough to choose between blockings."""
    panels, groups, _ = groups_of(call, blocking)
    waves = -(-panels * groups // CORES) * blocking.threads / 128  # threadgroups are handed out whole
    if isinstance(blocking, WinogradBlocking):
        return waves * (sum(k_groups(1, 1, s.x.c) for s in call.sources) * WINOGRAD_CYCLES + THREADGROUP_CYCLES)
    loads = -(-blocking.pixels * blocking.bk // 4 // blocking.threads)
    steps = sum(k_groups(s.kh, s.kw, s.x.c) for s in call.sources) / blocking.wk
    chunks = sum(-(-s.x.c // blocking.bk) for s in call.sources)
    return waves * (steps * blocking.step_cycles + chunks * (loads * LOAD_CYCLES + BARRIER_CYCLES) + THREADGROUP_CYCLES)
