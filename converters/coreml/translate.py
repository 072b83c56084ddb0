"""One translator takes the ops of a program, be it dense, recording or of edits, to operations of Core ML.

Values are NCHW: [N, C, H, W] whole, [tiles, C, tile, tile] in blocks. Statistics of tiles are means and variances, not
sums and sums of squares, which would overflow in float16, and cancel.
"""

import math
from typing import Any

import numpy as np
from coremltools.converters.mil import Builder as mb

from sige_mlx.converters.coreml.borders import recorded_shape
from sige_mlx.converters.coreml.reading import Reading
from sige_mlx.converters.coreml.windows import at_pixels, own_pixels, partial
from sige_mlx.engine.weights import kernel_by_channel, kernels
from sige_mlx.graph import program as p
from sige_mlx.graph.fusion import Embedding
from sige_mlx.graph.program import NONE, Kind

EXACT = "timestep"
"""Operations whose names begin so are computed in float32 in any precision: the angles of time embeddings reach
thousands, where float16 knows no fraction."""


class Translator(Reading):
    """It translates the ops of one program within an open function."""

    def translate(self) -> None:
        """Appends every op of the program."""
        for op in self.program.ops:
            if isinstance(op, p.Conv):
                self.conv(op)
            elif isinstance(op, p.Depthwise):
                self.depthwise(op)
            elif isinstance(op, p.Norm):
                self.norm(op)
            elif isinstance(op, p.Attention):
                self.attention(op)
            else:
                self.paste(op)

    def recorded(self, slot: int) -> Any:
        """Returns an array of the recording as edits take it."""
        buffer = self.program.buffers[slot]
        if buffer.key[0] == "sums":
            return self.moments[slot]
        value, shape = self.get(p.Slot(slot)), recorded_shape(buffer)
        return self.rows(value) if len(shape) == 2 else value

    # ---- convolutions

    def conv(self, op: p.Conv) -> None:
        fused, remaining = self.written[self.program.buffers[op.weight].key], iter(op.source)
        total = None
        for term, kernel in zip(fused.terms, kernels(fused, self.load), strict=True):
            sources = [next(remaining) for _ in term.reads]
            values = [self.read(op.out, source) for source in sources]
            x = values[0] if len(values) == 1 else mb.concat(values=values, axis=1)
            x, pad = self.padded(op.out, sources[0], x)
            weight = np.ascontiguousarray(kernel.transpose(0, 3, 1, 2))
            bias = {"bias": self.constant(op.bias)} if total is None and op.bias != NONE else {}
            y = mb.conv(x=x, weight=weight, strides=[sources[0].stride] * 2, pad_type="custom", pad=pad, **bias)
            total = y if total is None else mb.add(x=total, y=y)
        if op.vec != NONE:
            total = mb.add(x=total, y=self.of_images(op.out, self.get(op.vec, op.c_out)))
        self.finish(op, total)

    def depthwise(self, op: p.Depthwise) -> None:
        s = op.source
        x, strides, kernel = self.read(op.out, s), [s.stride] * 2, [s.kh, s.kw]
        x, pad = self.padded(op.out, s, x)
        if op.weight != NONE:
            by_channel = kernel_by_channel(self.written[self.program.buffers[op.weight].key], self.load)
            weight = np.ascontiguousarray(by_channel.T.reshape(op.c, 1, s.kh, s.kw))
            x = mb.conv(x=x, weight=weight, strides=strides, pad_type="custom", pad=pad, groups=op.c)
        elif (s.kh, s.kw, s.stride) != (1, 1, 1):
            x = mb.avg_pool(x=x, kernel_sizes=kernel, strides=strides, pad_type="custom", pad=pad)
        if op.bias != NONE:
            x = mb.add(x=x, y=self.constant(op.bias).reshape(1, -1, 1, 1))
        self.finish(op, x)

    def padded(self, domain: p.Domain, s: p.Source, x: Any) -> tuple[Any, list[int]]:
        """Returns a whole plane, or windows, that a kernel slides over, and the zeros that it meets beyond them."""
        if domain.list != NONE:
            return x, [0, 0, 0, 0]
        _, _, h, w = x.shape
        bottom = max(0, (domain.h - 1) * s.stride + s.kh - s.pad_top - h)
        right = max(0, (domain.w - 1) * s.stride + s.kw - s.pad_left - w)
        pad = [s.pad_top, bottom, s.pad_left, right]
        if s.pad_mode and any(pad):
            return mb.pad(x=x, pad=[0, 0, 0, 0, *pad], mode="reflect"), [0, 0, 0, 0]
        return x, pad

    def finish(self, op: p.Convolution, v: Any) -> None:
        """Appends residual, statistics of tiles and outputs."""
        if op.residual is not None:
            v = mb.add(x=v, y=self.read(op.out, at_pixels(op.residual, op.residual_resample)))
        if op.sums != NONE:
            if op.out.list != NONE:
                self.moments[op.sums] = self.moments_of_tiles(op.out, v)
            else:
                self.summed[op.sums] = v
                if self.program.buffers[op.sums].kind is Kind.RECORDED:
                    self.moments[op.sums] = self.moments_of_plane(op.out, v)
        for o in op.output:
            x = self.affine(op.out, v, o.scale, o.shift)
            self.values[o.dst] = self.activated(self.modulated(x, op.out, o.mod), o.act)

    # ---- statistics

    def moments_of_plane(self, domain: p.Domain, v: Any) -> Any:
        """Returns mean and variance of every tile of a plane, [N·tiles, 2, C]."""
        n, c, h, w = v.shape
        t, gh, gw = domain.tile, -(-h // domain.tile), -(-w // domain.tile)
        if partial(domain):
            v = mb.pad(x=v, pad=[0, 0, 0, 0, 0, gh * t - h, 0, gw * t - w], mode="constant", constant_val=0.0)
        v = mb.transpose(x=mb.reshape(x=v, shape=[n * c, gh, t, gw, t]), perm=[0, 1, 3, 2, 4])
        v = mb.reshape(x=v, shape=[n, c, gh * gw, t * t])
        v = mb.reshape(x=mb.transpose(x=v, perm=[0, 2, 1, 3]), shape=[n * gh * gw, c, t * t])
        inside = None
        if partial(domain):
            whole = np.pad(np.ones((h, w), np.float32), ((0, gh * t - h), (0, gw * t - w)))
            whole = whole.reshape(gh, t, gw, t).transpose(0, 2, 1, 3).reshape(gh * gw, 1, t * t)
            inside = np.tile(whole, (n, 1, 1))
        return self.both(v, inside)

    def moments_of_tiles(self, domain: p.Domain, v: Any) -> Any:
        """Returns mean and variance of blocks, [tiles, 2, C], of their pixels in the image."""
        n, c, t, _ = v.shape
        inside = None
        if partial(domain):
            inside = mb.cast(x=self.index(own_pixels(domain)).inside(n, 1, t * t), dtype="fp32")
        return self.both(mb.reshape(x=v, shape=[n, c, t * t]), inside)

    def both(self, v: Any, inside: Any) -> Any:
        """Returns mean and variance over the last axis of [tiles, C, pixels], where `inside` is 1."""
        mean = self.mean_where(v, inside)
        return mb.concat(
            values=[
                mb.transpose(x=x, perm=[0, 2, 1])
                for x in (mean, self.mean_where(mb.square(x=mb.sub(x=v, y=mean)), inside))
            ],
            axis=1,
        )

    def mean_where(self, v: Any, inside: Any) -> Any:
        if inside is None:
            return mb.reduce_mean(x=v, axes=[2], keep_dims=True)
        total = mb.reduce_sum(x=mb.mul(x=v, y=inside), axes=[2], keep_dims=True)
        if isinstance(inside, np.ndarray):
            return mb.mul(x=total, y=1 / inside.sum(2, keepdims=True))
        return mb.real_div(x=total, y=mb.reduce_sum(x=inside, axes=[2], keep_dims=True))

    def norm(self, op: p.Norm) -> None:
        """Appends the scale and the shift of a norm, by image and channel."""
        found = [self.statistics(op, slot, c) for slot, c in zip(op.sums, op.c, strict=True)]
        mean, var = (x[0] if len(x) == 1 else mb.concat(values=[*x], axis=1) for x in zip(*found, strict=True))
        n, c, g = op.n, sum(op.c), op.groups
        mean, var = (mb.reshape(x=x, shape=[n, g, c // g]) for x in (mean, var))
        if c > g:
            of_group = mb.reduce_mean(x=mean, axes=[2], keep_dims=True)
            var = mb.add(x=var, y=mb.square(x=mb.sub(x=mean, y=of_group)))
            var, mean = mb.reduce_mean(x=var, axes=[2], keep_dims=True), of_group
        weight = np.ones(c, np.float32) if op.weight == NONE else self.constant(op.weight)
        bias = np.zeros(c, np.float32) if op.bias == NONE else self.constant(op.bias)
        scale = mb.mul(x=mb.rsqrt(x=var, epsilon=float(op.eps)), y=weight.reshape(1, g, c // g))
        shift = mb.sub(x=bias.reshape(1, g, c // g), y=mb.mul(x=mean, y=scale))
        scale, shift = (mb.reshape(x=x, shape=[n, c, 1, 1]) for x in (scale, shift))
        if op.mod != NONE:
            film = self.get(op.mod, 2 * c)
            by, plus = (mb.slice_by_size(x=film, begin=[0, i, 0, 0], size=[n, c, 1, 1]) for i in (0, c))
            by = mb.add(x=by, y=np.float32(1))
            scale, shift = mb.mul(x=scale, y=by), mb.add(x=mb.mul(x=shift, y=by), y=plus)
        self.values[op.scale], self.values[op.shift] = scale, shift

    def statistics(self, op: p.Norm, slot: int, c: int) -> tuple[Any, Any]:
        """Returns mean and variance by image and channel, [N, C]."""
        if slot in self.summed:
            v = self.summed[slot]
            mean = mb.reduce_mean(x=v, axes=[2, 3], keep_dims=True)
            var = mb.reduce_mean(x=mb.square(x=mb.sub(x=v, y=mean)), axes=[2, 3], keep_dims=True)
        else:
            moments = self.moments[slot]
            tiles = moments.shape[0] // op.n
            moments = mb.reshape(x=moments, shape=[op.n, tiles, 2, c])
            means, variances = (
                mb.slice_by_size(x=moments, begin=[0, 0, i, 0], size=[op.n, tiles, 1, c]) for i in (0, 1)
            )
            weight = self.weight_of_tiles[slot]
            mean = mb.reduce_sum(x=mb.mul(x=means, y=weight), axes=[1], keep_dims=True)
            var = mb.add(x=variances, y=mb.square(x=mb.sub(x=means, y=mean)))
            var = mb.reduce_sum(x=mb.mul(x=var, y=weight), axes=[1], keep_dims=True)
        return mb.reshape(x=mean, shape=[op.n, c]), mb.reshape(x=var, shape=[op.n, c])

    # ---- the others

    def attention(self, op: p.Attention) -> None:
        n, c, d = op.out.n, op.heads * op.head_dim, op.head_dim
        k, v = (mb.reshape(x=self.get(s, c), shape=[n, op.heads, d, op.keys]) for s in (op.k, op.v))
        q = self.get(op.q, c)
        tiles, _, h, w = q.shape
        if op.out.list != NONE and n == 1:  # tokens of all tiles are queries of the one image
            q = mb.transpose(x=mb.reshape(x=q, shape=[tiles, c, h * w]), perm=[1, 0, 2])
            q = mb.reshape(x=q, shape=[1, op.heads, d, tiles * h * w])
        else:
            k, v = self.of_images(op.out, k), self.of_images(op.out, v)
            q = mb.reshape(x=q, shape=[tiles, op.heads, d, h * w])
        weights = mb.matmul(x=mb.mul(x=q, y=np.float32(op.scale)), y=k, transpose_x=True)
        y = mb.matmul(x=v, y=mb.softmax(x=weights, axis=-1), transpose_y=True)
        if op.out.list != NONE and n == 1:
            y = mb.transpose(x=mb.reshape(x=y, shape=[c, tiles, h * w]), perm=[1, 0, 2])
        self.values[op.dst] = mb.reshape(x=y, shape=[tiles, c, h, w])

    def paste(self, op: p.Paste) -> None:
        x = op.x
        if x.blocks in self.moments:  # of tiles, over an image of one pixel a tile
            self.moments[op.dst] = self.pasted(x, self.moments[x.blocks], self.values[x.base])
            size = self.program.buffers[x.grid].key
            self.weight_of_tiles[op.dst] = _weights(size, self.tile)
        else:
            domain = p.Domain(x.n, x.h, x.w, x.tile)
            self.values[op.dst] = self.read(domain, at_pixels(x))

    def embedding(self, of: Embedding, t: Any) -> Any:
        """Returns the time embedding of an input, [N, dim, 1, 1]."""
        op, half, name = of.op, of.op.dim // 2, iter(f"{EXACT}_{i}" for i in range(9))
        frequencies = np.exp(np.arange(half, dtype=np.float32) * np.float32(-math.log(op.max_period) / (half - 1)))
        t = mb.reshape(x=t, shape=[t.shape[0], 1], name=next(name))
        if op.of == "log_snr":
            t = mb.clip(x=t, alpha=-20.0, beta=20.0, name=next(name))
            t = mb.exp(x=mb.mul(x=t, y=np.float32(-0.5), name=next(name)), name=next(name))
            t = mb.mul(x=mb.atan(x=t, name=next(name)), y=np.float32(2000 / math.pi), name=next(name))
        angle = mb.mul(x=t, y=frequencies[None], name=next(name))
        e = mb.concat(values=[mb.sin(x=angle, name=next(name)), mb.cos(x=angle, name=next(name))], axis=1)
        return mb.reshape(x=e, shape=[t.shape[0], op.dim, 1, 1])


def _weights(size: tuple[int, int], tile: int) -> Any:
    """Returns the share of a plane's pixels that each of its tiles has, [1, tiles, 1, 1]."""
    counts = [np.minimum(tile, n - np.arange(0, n, tile)) for n in size]
    weights = np.outer(*counts).astype(np.float32) / np.float32(size[0] * size[1])
    return weights.reshape(1, -1, 1, 1)
