"""How operations read values: whole, in blocks, or by lists of indices, in the forms that programs ask for."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from coremltools.converters.mil import Builder as mb

from sige_mlx.converters.coreml.builder import Builder
from sige_mlx.converters.coreml.windows import OUTSIDE, RECOMPUTED, Windows, grid_of, modulating
from sige_mlx.engine.weights import Loader, bias, floats, folded
from sige_mlx.graph import program as p
from sige_mlx.graph.fusion import FusedConv, Groups
from sige_mlx.graph.program import NONE, Kind
from sige_mlx.nn.ops import ACTIVATIONS, LeakyReLU, ReLU, SiLU, Tanh

_ACTIVATIONS: dict[type, Callable[[Builder, Any], Any]] = {
    SiLU: lambda build, x: build.silu(x=x),
    ReLU: lambda build, x: build.relu(x=x),
    LeakyReLU: lambda build, x: build.leaky_relu(x=x, alpha=LeakyReLU.SLOPE),
    Tanh: lambda build, x: build.tanh(x=x),
}


class Index:
    """A list of `Windows`, as an input of an edit."""

    def __init__(self, of: Windows, given: Any):
        self.of, self._given = of, given
        self._made: dict[int, Any] = {}

    def _line(self, i: int) -> Any:
        if i not in self._made:
            tiles, _, pixels = self._given.shape
            line = mb.slice_by_size(x=self._given, begin=[0, i, 0], size=[tiles, 1, pixels])
            self._made[i] = mb.reshape(x=line, shape=[tiles * pixels])
        return self._made[i]

    @property
    def blocks(self) -> Any:
        """Rows of blocks."""
        return self._line(0)

    @property
    def base(self) -> Any:
        """Rows of the recorded plane."""
        return self._line(2)

    def recomputed(self, *shape: int) -> Any:
        """Which pixels are in blocks."""
        return mb.reshape(x=mb.equal(x=self._line(1), y=np.int32(RECOMPUTED)), shape=[*shape])

    def inside(self, *shape: int) -> Any:
        """Which pixels are in the image."""
        return mb.reshape(x=mb.greater(x=self._line(1), y=np.int32(OUTSIDE)), shape=[*shape])


class Reading:
    """It knows where the values of one program are, and reads them within an open function."""

    def __init__(self, groups: Groups, program: p.Program, load: Loader, tile: int, half: bool):
        self.program, self.load, self.tile = program, load, tile
        self.written = {op.value: op for op in groups.ops if isinstance(op, FusedConv)}
        self.values: dict[int, Any] = {}
        self.moments: dict[int, Any] = {}
        """By the slot of sums: mean and variance of each tile, [tiles, 2, C]."""
        self.weight_of_tiles: dict[int, Any] = {}
        self.summed: dict[int, Any] = {}
        """By the slot of sums: the whole value that they are of."""
        self.indices: Mapping[Windows, Any] = {}
        self.images: Mapping[tuple[int, int], Any] = {}
        self.mb, self.exact = Builder(half), Builder(False)
        """What is computed in the precision of the package, and what in float32 in any."""
        self._cache: dict[Any, Any] = {}

    def index(self, windows: Windows) -> Index:
        """Returns the list of some windows."""
        key = ("index", windows)
        if key not in self._cache:
            self._cache[key] = Index(windows, self.indices[windows])
        return self._cache[key]

    # ---- slots

    def constant(self, slot: int) -> Any:
        """Returns a parameter, or what is made of some: (C,)."""
        buffer = self.program.buffers[slot]
        if buffer.kind is Kind.BIAS:
            return bias(buffer, self.load)
        return floats(self.load, buffer.key) if buffer.kind is Kind.PARAM else folded(buffer, self.load)

    def get(self, slot: int, channels: int | None = None) -> Any:
        """Returns what a slot holds, NCHW, or so many channels of it."""
        buffer, first = self.program.buffers[slot], 0
        if buffer.kind is Kind.PART:
            slot, first = buffer.key
            buffer = self.program.buffers[slot]
        if slot not in self.values:
            self.values[slot] = self.constant(slot).reshape(1, -1, 1, 1)
        x = self.values[slot]
        if len(x.shape) == 2:  # rows of a recording
            x = self.plane(x, buffer.shape[0], buffer.shape[1], buffer.shape[2])
        return x if channels is None else self.part(x, first, channels)

    def part(self, x: Any, first: int, channels: int) -> Any:
        """Returns some channels of a value."""
        n, c, h, w = x.shape
        if channels == c:
            return x
        if isinstance(x, np.ndarray):
            return x[:, first : first + channels]
        return self.once(
            ("part", x.name, first, channels),
            lambda: self.mb.slice_by_size(x=x, begin=[0, first, 0, 0], size=[n, channels, h, w]),
        )

    def once(self, key: Any, make: Any) -> Any:
        """Returns what was made of the same before."""
        if key not in self._cache:
            self._cache[key] = make()
        return self._cache[key]

    def rows(self, x: Any) -> Any:
        """Returns [N, C, h, w] as rows of pixels, [N·h·w, C]."""
        if len(x.shape) == 2:
            return x
        n, c, h, w = x.shape
        return self.once(
            ("rows", x.name), lambda: self.mb.reshape(x=self.mb.transpose(x=x, perm=[0, 2, 3, 1]), shape=[n * h * w, c])
        )

    def plane(self, rows: Any, n: int, h: int, w: int) -> Any:
        """Returns rows of pixels as [N, C, h, w]."""

        def make() -> Any:
            return self.mb.transpose(x=self.mb.reshape(x=rows, shape=[n, h, w, rows.shape[-1]]), perm=[0, 3, 1, 2])

        return self.once(("plane", rows.name, n, h, w), make)

    # ---- forms

    def of_images(self, domain: p.Domain, x: Any) -> Any:
        """Returns what there is of every image, [N, …], for every tile of a domain."""
        if domain.list == NONE or x.shape[0] == 1:
            return x
        size = (domain.h, domain.w)
        return self.once(("image", x.name, size), lambda: self.mb.gather(x=x, indices=self.images[size], axis=0))

    def affine(self, domain: p.Domain, x: Any, scale: int, shift: int) -> Any:
        """Returns x * scale + shift."""
        if scale == NONE:
            return x
        c = x.shape[1]
        by, plus = (self.of_images(domain, self.get(slot, c)) for slot in (scale, shift))
        return self.mb.add(x=self.mb.mul(x=x, y=by), y=plus)

    def activated(self, x: Any, act: int) -> Any:
        """Returns an activation of x."""
        of = ACTIVATIONS[act]
        return x if of is None else _ACTIVATIONS[type(of)](self.mb, x)

    def modulated(self, x: Any, domain: p.Domain, mod: p.Modulation | None, by: p.Source | None = None) -> Any:
        """Returns x * (1 + gamma) + beta, at the pixels of a domain or at those that a source of it reads."""
        if mod is None:
            return x
        like = by or p.Source(mod.gamma, 1, 1, 1, 0, 0)
        gamma, beta = (self.read(domain, modulating(like, of), mask=False) for of in (mod.gamma, mod.beta))
        c = x.shape[1]
        gamma, beta = self.part(gamma, mod.gamma_first, c), self.part(beta, mod.beta_first, c)
        return self.mb.add(x=self.mb.mul(x=x, y=self.mb.add(x=gamma, y=np.float32(1))), y=beta)

    # ---- reads

    def read(self, domain: p.Domain, s: p.Source, mask: bool = True) -> Any:
        """Returns what a source reads: the plane as it looks resampled, or the windows of all tiles, zero where they
        leave the image unless `mask` is False."""
        key = ("read", domain, s, mask)
        return self.once(key, lambda: self.window(domain, s, mask) if domain.list != NONE else self.whole(domain, s))

    def whole(self, domain: p.Domain, s: p.Source) -> Any:
        """Returns what a source reads of a whole plane."""
        x = s.x
        v = self.get(x.base)
        if s.mod is None:
            v = self.activated(self.affine(domain, v, s.scale, s.shift), s.act)
        if x.blocks != NONE:
            rows = self.pasted(x, self.rows(self.values[x.blocks]), self.rows(v))
            v = self.plane(rows, x.n, x.h, x.w)
        v = self.late(domain, s, self.resampled(v, s))
        if s.zeros:
            even = np.zeros((1, 1, 2 * x.h, 2 * x.w), np.float32)
            even[:, :, ::2, ::2] = 1
            v = self.mb.mul(x=v, y=even)
        return v

    def resampled(self, v: Any, s: p.Source) -> Any:
        """Returns a plane as a source sees it."""
        n, c, h, w = v.shape
        if s.resample > 0:
            v = self.mb.upsample_nearest_neighbor(x=v, scale_factor_height=2, scale_factor_width=2)
        elif s.resample < 0:
            by = 1 << -s.resample
            end = [n, c, (h // by - 1) * by + 1, (w // by - 1) * by + 1]
            v = self.mb.slice_by_index(x=v, begin=[0, 0, 0, 0], end=end, stride=[1, 1, by, by])
        return v

    def window(self, domain: p.Domain, s: p.Source, mask: bool) -> Any:
        """Returns what a source reads for every tile of a domain."""
        x, windows = s.x, Windows.of(domain, s, grid_of(self.program, s.x))
        if windows is None:
            return self.late(domain, s, self.values[x.blocks])
        index, tiles, (h, w) = self.index(windows), self.indices[windows].shape[0], windows.window
        v = self.mb.gather(x=self.rows(self.values[x.base]), indices=index.base, axis=0)
        v = self.plane(v, tiles, h, w)
        if s.mod is None:
            v = self.activated(self.affine(domain, v, s.scale, s.shift), s.act)
        if x.blocks != NONE:
            new = self.mb.gather(x=self.rows(self.values[x.blocks]), indices=index.blocks, axis=0)
            v = self.mb.select(cond=index.recomputed(tiles, 1, h, w), a=self.plane(new, tiles, h, w), b=v)
        v = self.late(domain, s, v)
        if not mask or not (windows.zeros or (any(windows.pad) and not windows.reflect) or _leaves(windows)):
            return v
        return self.mb.mul(x=v, y=self.mb.floats(index.inside(tiles, 1, h, w)))

    def late(self, domain: p.Domain, s: p.Source, v: Any) -> Any:
        """Returns what a modulation makes of pixels, of blocks and of the base alike; without one they are ready."""
        if s.mod is None:
            return v
        v = self.modulated(self.affine(domain, v, s.scale, s.shift), domain, s.mod, s)
        return self.activated(v, s.act)

    def pasted(self, x: p.Tensor, blocks: Any, base: Any) -> Any:
        """Returns rows of blocks over those of a whole plane."""
        index = self.index(Windows(x.n, (x.h, x.w), x.tile, grid_of(self.program, x)))
        cond = index.recomputed(x.n * x.h * x.w, *[1] * (len(base.shape) - 1))
        return self.mb.select(cond=cond, a=self.mb.gather(x=blocks, indices=index.blocks, axis=0), b=base)


def _leaves(windows: Windows) -> bool:
    """Says whether windows leave the image at its end."""
    assert windows.tiles is not None
    for tiles, stored, size in zip(windows.tiles, windows.plane, windows.window, strict=True):
        seen = stored << windows.resample if windows.resample > 0 else stored >> -windows.resample
        tile = windows.pitch
        last = (-(-tiles // windows.tile) - 1) * tile
        if last + size > seen:
            return True
    return False
