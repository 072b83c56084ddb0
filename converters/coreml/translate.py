"""One translator takes the ops of a program, be it dense, recording or of edits, to operations of Core ML.

Values are NCHW: [N, C, H, W] whole, [tiles, C, tile, tile] in blocks. Statistics of tiles are means and variances, not
sums and sums of squares, which would overflow in float16, and cancel.
"""

import math
from typing import Any

import numpy as np

from sige_mlx.converters.coreml.borders import recorded_shape
from sige_mlx.converters.coreml.statistics import Statistics, weights_of_tiles
from sige_mlx.converters.coreml.windows import at_pixels
from sige_mlx.engine.weights import kernel_by_channel, kernels
from sige_mlx.errors import SigeError
from sige_mlx.graph import program as p
from sige_mlx.graph.fusion import Embedding
from sige_mlx.graph.program import NONE, Kind


class Translator(Statistics):
    """It translates the ops of one program within an open function."""

    def translate(self) -> None:
        """Appends every op of the program."""
        for i, op in enumerate(self.program.ops):
            if isinstance(op, p.Conv):
                self.conv(op)
            elif isinstance(op, p.Depthwise):
                self.depthwise(op)
            elif isinstance(op, p.Norm):
                self.norm(op)
            elif isinstance(op, p.Attention):
                self.attention(op)
            elif isinstance(op, p.Paste):
                self.paste(op)
            else:
                raise SigeError(f"{self.program.names[i]}: packages for Core ML have no {type(op).__name__}")

    def recorded(self, slot: int) -> Any:
        """Returns an array of the recording as edits take it."""
        buffer = self.program.buffers[slot]
        if buffer.key[0] == "sums":
            return self.moments[slot]
        shape = recorded_shape(buffer)
        return self.rows(self.get(p.Slot(slot))) if len(shape) == 2 else self.values[slot]

    # ---- convolutions

    def conv(self, op: p.Conv) -> None:
        fused, remaining = self.written[self.program.buffers[op.weight].key], iter(op.source)
        total = None
        for term, kernel in zip(fused.terms, kernels(fused, self.load), strict=True):
            sources = [next(remaining) for _ in term.reads]
            values = [self.read(op.out, source) for source in sources]
            x = values[0] if len(values) == 1 else self.mb.concat(values=values, axis=1)
            x, pad = self.padded(op.out, sources[0], x)
            weight = np.ascontiguousarray(kernel.transpose(0, 3, 1, 2))
            bias = {"bias": self.constant(op.bias)} if total is None and op.bias != NONE else {}
            y = self.mb.conv(x=x, weight=weight, strides=[sources[0].stride] * 2, pad_type="custom", pad=pad, **bias)
            total = y if total is None else self.mb.add(x=total, y=y)
        if op.vec != NONE:
            total = self.mb.add(x=total, y=self.of_images(op.out, self.get(op.vec, op.c_out)))
        self.finish(op, total)

    def depthwise(self, op: p.Depthwise) -> None:
        s = op.source
        x, strides, kernel = self.read(op.out, s), [s.stride] * 2, [s.kh, s.kw]
        x, pad = self.padded(op.out, s, x)
        if op.weight != NONE:
            by_channel = kernel_by_channel(self.written[self.program.buffers[op.weight].key], self.load)
            weight = np.ascontiguousarray(by_channel.T.reshape(op.c, 1, s.kh, s.kw))
            x = self.mb.conv(x=x, weight=weight, strides=strides, pad_type="custom", pad=pad, groups=op.c)
        elif (s.kh, s.kw, s.stride) != (1, 1, 1):
            x = self.mb.avg_pool(x=x, kernel_sizes=kernel, strides=strides, pad_type="custom", pad=pad)
        if op.bias != NONE:
            x = self.mb.add(x=x, y=self.constant(op.bias).reshape(1, -1, 1, 1))
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
            return self.mb.pad(x=x, pad=[0, 0, 0, 0, *pad], mode="reflect", constant_val=0.0), [0, 0, 0, 0]
        return x, pad

    def finish(self, op: p.Convolution, v: Any) -> None:
        """Appends residual, statistics of tiles and outputs."""
        if op.residual is not None:
            v = self.mb.add(x=v, y=self.read(op.out, at_pixels(op.residual, op.residual_resample)))
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

    # ---- the others

    def attention(self, op: p.Attention) -> None:
        n, c, d = op.out.n, op.heads * op.head_dim, op.head_dim
        k, v = (self.mb.reshape(x=self.get(s, c), shape=[n, op.heads, d, op.keys]) for s in (op.k, op.v))
        q = self.get(op.q, c)
        tiles, _, h, w = q.shape
        if op.out.list != NONE and n == 1:  # tokens of all tiles are queries of the one image
            q = self.mb.transpose(x=self.mb.reshape(x=q, shape=[tiles, c, h * w]), perm=[1, 0, 2])
            q = self.mb.reshape(x=q, shape=[1, op.heads, d, tiles * h * w])
        else:
            k, v = self.of_images(op.out, k), self.of_images(op.out, v)
            q = self.mb.reshape(x=q, shape=[tiles, op.heads, d, h * w])
        weights = self.mb.matmul(x=self.mb.mul(x=q, y=np.float32(op.scale)), y=k, transpose_x=True)
        y = self.mb.matmul(x=v, y=self.mb.softmax(x=weights, axis=-1), transpose_y=True)
        if op.out.list != NONE and n == 1:
            y = self.mb.transpose(x=self.mb.reshape(x=y, shape=[c, tiles, h * w]), perm=[1, 0, 2])
        self.values[op.dst] = self.mb.reshape(x=y, shape=[tiles, c, h, w])

    def paste(self, op: p.Paste) -> None:
        x = op.x
        if x.blocks in self.moments:  # of tiles, over an image of one pixel a tile
            self.moments[op.dst] = self.pasted(x, self.moments[x.blocks], self.values[x.base])
            size = self.program.buffers[x.grid].key
            self.weight_of_tiles[op.dst] = weights_of_tiles(size, self.tile)
        else:
            domain = p.Domain(x.n, x.h, x.w, x.tile)
            self.values[op.dst] = self.read(domain, at_pixels(x))

    def embedding(self, of: Embedding, t: Any) -> Any:
        """Returns the time embedding of an input, [N, dim, 1, 1]."""
        op, half, exact = of.op, of.op.dim // 2, self.exact  # angles reach thousands: float16 knows no fraction there
        frequencies = np.exp(np.arange(half, dtype=np.float32) * np.float32(-math.log(op.max_period) / (half - 1)))
        t = exact.reshape(x=t, shape=[t.shape[0], 1])
        if op.of == "log_snr":
            t = exact.clip(x=t, alpha=-20.0, beta=20.0)
            t = exact.exp(x=exact.mul(x=t, y=np.float32(-0.5)))
            t = exact.mul(x=exact.atan(x=t), y=np.float32(2000 / math.pi))
        angle = exact.mul(x=t, y=frequencies[None])
        e = self.mb.concat(values=[exact.sin(x=angle), exact.cos(x=angle)], axis=1)
        return self.mb.reshape(x=e, shape=[t.shape[0], op.dim, 1, 1])
