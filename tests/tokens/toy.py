"""A small transformer with random weights that the engine can intercept, and a sampler of a few steps."""

from __future__ import annotations

import math

import mlx.core as mx
import mlx.nn as nn

from sige_mlx.tokens.active import ActiveTokens
from sige_mlx.tokens.engine import Pass

CHANNELS, TEXT_WIDTH, WIDTH, HEADS = 64, 64, 64, 2
SIGMAS = (1.0, 0.8, 0.5, 0.0)


class Layer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(WIDTH, affine=False)
        self.modulation = nn.Linear(WIDTH, 3 * WIDTH)
        self.query_key_value = nn.Linear(WIDTH, 3 * WIDTH, bias=False)
        self.out = nn.Linear(WIDTH, WIDTH, bias=False)
        self.up, self.down = nn.Linear(WIDTH, 2 * WIDTH), nn.Linear(2 * WIDTH, WIDTH)

    def __call__(self, x: mx.array, time: mx.array, index: int, attention: Pass) -> mx.array:
        shift, scale, gate = mx.split(self.modulation(time), 3, axis=-1)
        h = self.norm(x) * (1 + scale) + shift
        heads = [
            part.reshape(*part.shape[:2], HEADS, -1).transpose(0, 2, 1, 3)
            for part in mx.split(self.query_key_value(h), 3, axis=-1)
        ]
        query, (keys, values) = heads[0], attention.seen("joint", index, heads[1], heads[2])
        a = mx.fast.scaled_dot_product_attention(
            4 * query, keys, values, scale=1 / math.sqrt(WIDTH // HEADS), mask=attention.mask
        )
        x = x + (1 + gate) * self.out(a.transpose(0, 2, 1, 3).reshape(x.shape))
        return x + self.down(nn.gelu(self.up(self.norm(x))))


class Toy(nn.Module):
    """Text and image tokens in one stream; positions are learnt vectors by place."""

    def __init__(self, layers: int = 3, places: int = 512):
        super().__init__()
        self.image_in, self.text_in = nn.Linear(CHANNELS, WIDTH, bias=False), nn.Linear(TEXT_WIDTH, WIDTH, bias=False)
        self.places = mx.random.normal((places, WIDTH))
        self.time = nn.Linear(WIDTH, WIDTH)
        self.layers = [Layer() for _ in range(layers)]
        self.norm, self.image_out = nn.LayerNorm(WIDTH, affine=False), nn.Linear(WIDTH, CHANNELS, bias=False)

    def __call__(self, image: mx.array, text: mx.array, time: float, active: ActiveTokens, attention: Pass) -> mx.array:
        angles = 6 * time * mx.arange(WIDTH).astype(mx.float32)
        embedded = self.time(mx.cos(angles).astype(image.dtype)[None, None])
        x = mx.concatenate([self.text_in(text), self.image_in(image)], axis=1)
        x = x + self.places[mx.array(active.rows)].astype(x.dtype)
        for index, layer in enumerate(self.layers):
            x = layer(x, embedded, index, attention)
        return self.image_out(self.norm(x[:, text.shape[1] :]))
