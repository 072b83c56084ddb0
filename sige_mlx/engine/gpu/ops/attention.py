"""Attention, `metal/attention`."""

from dataclasses import dataclass, replace
from typing import ClassVar

import mlx.core as mx

from sige_mlx.engine.gpu.launch import Launch
from sige_mlx.engine.gpu.ops import reading
from sige_mlx.engine.gpu.ops.call import Call
from sige_mlx.engine.gpu.ops.epilogue import Results
from sige_mlx.engine.gpu.ops.operands import Domain, Tokens, given
from sige_mlx.engine.gpu.ops.sampling import Sampling
from sige_mlx.engine.gpu.placing import Placing
from sige_mlx.graph import program as p

SIMDGROUP_QUERIES = 8
CHANNELS = 128
"""Channels of queries and sums that fit into registers: of wider heads simdgroups have slices."""
TOKENS = 40
"""Keys of a sample: more than one step of the loop over keys."""


@dataclass(frozen=True)
class Attention(Call):
    """softmax(scale * q k^T) v by heads of `head_dim` channels, for the pixels of `out`. `k` and `v` hold every pixel
    of their image; `q` is [n, h * w, …], or blocks [tiles, tile * tile, …]. Gives [n, h * w, heads * head_dim], or
    blocks."""

    kernel: ClassVar[str] = "attention"

    out: Domain
    q: Tokens
    k: Tokens
    v: Tokens
    heads: int
    head_dim: int
    scale: float

    @classmethod
    def of(cls, op: p.Attention, placing: Placing) -> "Attention":
        out = placing.domain(op.out)
        q = placing.tokens(op.q, out.h * out.w if out.list is None else out.tile**2, op.q_stride)
        k, v = (placing.tokens(slot, op.keys, stride) for slot, stride in ((op.k, op.k_stride), (op.v, op.v_stride)))
        return cls(out, q, k, v, op.heads, op.head_dim, op.scale)

    @property
    def channels(self) -> int:
        return self.heads * self.head_dim

    @property
    def listed(self) -> mx.array | None:
        return self.out.list

    @property
    def results(self) -> Results:
        return {"dst": ((*self.q.array.shape[:2], self.channels), self.q.array.dtype)}

    def _launch(self, blocking: None) -> Launch:
        out, dtype, tokens = self.out, self.q.array.dtype, (self.q, self.k, self.v)
        struct = {
            "out": out.struct,
            "keys": self.k.array.shape[1],
            "heads": self.heads,
            "head_dim": self.head_dim,
            "scale": self.scale,
            **{name: t.struct for name, t in zip("qkv", tokens, strict=True)},
        }
        arrays = {"list": given(out.list, mx.int32), **{n: t.array for n, t in zip("qkv", tokens, strict=True)}}
        numbers = (self.head_dim, *(i for t in tokens for i in (t.first, t.array.shape[-1])))
        slices = next((n for n in (1, 2) if self.head_dim <= n * CHANNELS), 4)
        threads = 128 if slices == 1 else 256
        d = min(-(-self.head_dim // (8 * slices)) * 8, CHANNELS)
        template = (("T", dtype), ("D", d), ("SLICES", slices), ("VEC", all(i % 4 == 0 for i in numbers)))
        images, queries = (out.n, out.h * out.w) if out.list is None else (1, out.tiles * out.tile**2)
        rows = threads // 32 // slices * SIMDGROUP_QUERIES
        groups = (-(-queries // rows), self.heads * -(-self.head_dim // (slices * d)), images)
        return self._launched(("AttentionParams", struct), arrays, (), template, groups, threads)

    def by_mlx(self) -> list[mx.array]:
        q, k, v = (t.array[..., t.first : t.first + self.channels] for t in (self.q, self.k, self.v))
        listed = self.out.list
        if listed is not None and k.shape[0] == 1:  # one image: the queries of its tiles are one list
            q = q.reshape(1, -1, q.shape[-1])
        elif listed is not None:
            image = mx.maximum(listed[:, 0], 0)
            k, v = k[image], v[image]

        def by_head(x: mx.array) -> mx.array:
            return x.reshape(*x.shape[:2], self.heads, self.head_dim).transpose(0, 2, 1, 3)

        shape, _ = self.results["dst"]
        result = mx.fast.scaled_dot_product_attention(by_head(q), by_head(k), by_head(v), scale=self.scale)
        result = result.transpose(0, 2, 1, 3).reshape(shape)
        if listed is None:
            return [result]
        inside = reading.coordinates(self.out)[3].reshape(*shape[:2], 1)
        return [mx.where(inside, result, mx.array(0.0, result.dtype))]

    def sample(self, sampling: Sampling) -> "Attention":
        out = sampling.domain(self.out, None, even=False)
        queries = (out.n, out.h * out.w) if out.list is None else (out.tiles, out.tile**2)
        k, v = (sampling.tokens(t, out.n, TOKENS) for t in (self.k, self.v))
        return replace(self, out=out, q=sampling.tokens(self.q, *queries), k=k, v=v)
