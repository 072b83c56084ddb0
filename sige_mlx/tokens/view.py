"""What a model that edits by tokens sees and keeps of a picture through one window."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import NamedTuple

import mlx.core as mx
import numpy as np
import numpy.typing as npt

from sige_mlx.editing.colour import Picture
from sige_mlx.editing.images import from_model, to_model
from sige_mlx.editing.windows import Window
from sige_mlx.engine.recordings import Codec
from sige_mlx.masks.difference import Mask
from sige_mlx.tokens.active import ActiveTokens, TokenPlane
from sige_mlx.tokens.engine import TokenEngine
from sige_mlx.tokens.flux2 import Flux2Tokens
from sige_mlx.tokens.klein import Pipeline, Prompt
from sige_mlx.tokens.record import Replaced
from sige_mlx.tokens.windows import WindowedNetwork, WindowedState

HALO = 8
"""Latents that a window of the autoencoder reaches beyond an edit: 64 pixels of klein's."""

Tell = Callable[[int], None]
"""Called with the steps that are done."""


class Latents(NamedTuple):
    """What a view holds of an original; nothing writes to its arrays."""

    tokens: mx.array
    """[1, N, C]"""
    decoded: WindowedState | None
    """None where nothing was decoded yet."""

    @property
    def nbytes(self) -> int:
        return self.tokens.nbytes + (self.decoded.nbytes if self.decoded else 0)


class View:
    """A window of a picture, its latents and the recorded passes over them, one for each of the noise `levels` but the
    last. `references` are the pictures that the model reads beside it, (H, W, 3), with sides of whole tokens. The
    `noise` is a function of the seed."""

    def __init__(
        self,
        pipeline: Pipeline,
        window: Window,
        references: Sequence[Picture],
        steps: int,
        first: int,
        seed: int,
        precisions: Sequence[Codec],
    ):
        self.pipeline, self.window = pipeline, window
        patch, (height, width) = pipeline.patch, window.size
        self.plane = TokenPlane(height // patch, width // patch, patch)
        planes = [TokenPlane(r.shape[0] // patch, r.shape[1] // patch, patch) for r in references]
        self.levels = pipeline.levels(self.plane.count, steps)
        self.first = first
        sizes, tokens = pipeline.sizes, self.plane.count + sum(plane.count for plane in planes)
        self._count = tokens
        self.engine = TokenEngine(
            Flux2Tokens(pipeline.transformer, self.plane, planes),
            precisions,
            lambda codec: sizes.record_nbytes(tokens + pipeline.prompt_tokens, 1, codec),
        )
        factor = pipeline.autoencoder.config.factor
        self._decoder = WindowedNetwork(pipeline.decoder, up=factor, halo=HALO)
        self._encoder = WindowedNetwork(pipeline.encoder, down=factor, halo=HALO * factor)
        self._references = [self._tokens(pipeline.encoder.whole(to_model(picture))[0]) for picture in references]
        self.noise = mx.random.normal((1, self.plane.count, sizes.channels), key=mx.random.key(seed))
        mx.eval(self._references, self.noise)

    @property
    def steps(self) -> list[int]:
        """Those that an edit runs."""
        return [*range(self.first, len(self.levels) - 1)]

    @property
    def recorded(self) -> list[int]:
        """Those that are recorded."""
        return [step for step in self.steps if self.engine.recorded(step)]

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of what is recorded of an attention: heads, tokens, and channels of a head."""
        sizes = self.pipeline.sizes
        return sizes.heads, self.pipeline.prompt_tokens + self._count, sizes.head_dim

    def encoded(self, pixels: Picture) -> Latents:
        """The latents of a picture (H, W, 3) as the window shows it."""
        return Latents(self._tokens(self._encoder.record(to_model(pixels))), None)

    def painted(self, latents: Latents, before: Picture, after: Picture, region: Mask) -> mx.array:
        """The tokens of a picture that was painted into, those of its latents where the region is not: [1, N, C]."""
        if (before == after).all():
            return latents.tokens
        if self._encoder.state is None:
            self._encoder.record(to_model(before))
        made = self._tokens(self._encoder.edit(to_model(after), region))
        touched = mx.array(self.plane.touched(region, 0).reshape(-1))[None, :, None]
        return mx.where(touched, made, latents.tokens)

    def generate(self, prompt: Prompt, tell: Tell) -> Latents:
        """The latents of a new picture, from noise alone, each pass of which is recorded."""
        self.engine.recordings.check(len(self.levels) - 1)
        x = self.noise
        for step, (level, following) in enumerate(zip(self.levels[:-1], self.levels[1:], strict=True)):
            tell(step)
            x = x + (following - level) * self._dense(step, x, level, prompt)
            mx.eval(x)
            if step < self.first:  # no edit begins so early
                self.engine.recordings.forget(step)
        return Latents(x, None)

    def record(self, latents: Latents, prompt: Prompt, tell: Tell) -> None:
        """Records the steps that are missing: passes over the latents with noise, which do not depend on any edit.
        Raises `SigeError` when they would not fit."""
        missing = [step for step in self.steps if not self.engine.recorded(step)]
        if missing:
            self.engine.recordings.check(len(missing))
        for step in missing:
            tell(step - self.first)
            level = self.levels[step]
            mx.eval(self._dense(step, (1 - level) * latents.tokens + level * self.noise, level, prompt))

    def edit(self, x0: mx.array, active: ActiveTokens, prompt: Prompt, tell: Tell) -> mx.array:
        """The active image tokens of an edit, [1, A, C], of which `x0` [1, N, C] has the picture that was painted."""
        rows, text = mx.array(active.image), prompt.tokens[:, mx.array(active.text)].astype(self.pipeline.dtype)
        level = self.levels[self.first]
        x = ((1 - level) * x0 + level * self.noise)[:, rows]
        for step in self.steps:
            tell(step - self.first)
            level, following = self.levels[step], self.levels[step + 1]
            made = self.engine.edit(step, x.astype(self.pipeline.dtype), text, level, active)
            x = x + (following - level) * made
            mx.eval(x)
        return x

    def dense(self, x0: mx.array, latents: Latents, active: ActiveTokens, prompt: Prompt, tell: Tell) -> mx.array:
        """The same by passes over everything, in which what is not active is as it was."""
        inside = mx.zeros((self.plane.count,), mx.bool_)
        inside[mx.array(active.image)] = True
        level = self.levels[self.first]
        x = (1 - level) * x0 + level * self.noise
        for step in self.steps:
            tell(step - self.first)
            level, following = self.levels[step], self.levels[step + 1]
            x = mx.where(inside[None, :, None], x, (1 - level) * latents.tokens + level * self.noise)
            x = x + (following - level) * self._run(x, level, prompt)
            mx.eval(x)
        return x[:, mx.array(active.image)]

    def active(self, region: Mask, was: Prompt, now: Prompt) -> ActiveTokens:
        """What an edit of a region of the window computes: its tokens and those beside them, and of words that are not
        those that were recorded the ones that are, or were, no padding."""
        changed = was.real.shape != now.real.shape or not mx.array_equal(was.tokens, now.tokens)
        text: npt.ArrayLike = was.real | now.real if changed else []
        image = np.zeros(self._count, np.bool_)
        image[: self.plane.count] = self.plane.touched(region).reshape(-1)
        return ActiveTokens(text, image, len(now.real), self._count)

    def replaced(self, latents: Latents, made: mx.array, active: ActiveTokens) -> tuple[Latents, Picture]:
        """Latents in which active tokens are others, and their picture (H, W, 3), of which only the part is computed
        that these cover."""
        if latents.decoded is None:
            self._decoder.record(self._planes(latents.tokens))
        else:
            self._decoder.state = latents.decoded
        tokens = latents.tokens[:]
        tokens[:, mx.array(active.image)] = made
        touched = np.zeros(self.plane.count, np.bool_)
        touched[active.image] = True
        mask = touched.reshape(self.plane.height, self.plane.width).repeat(2, 0).repeat(2, 1)
        picture = from_model(self._decoder.edit(self._planes(tokens), mask))
        self._decoder.commit()
        return Latents(tokens, self._decoder.state), picture

    def decoded(self, latents: Latents) -> tuple[Latents, Picture]:
        """The picture of latents, all of it."""
        picture = from_model(self._decoder.record(self._planes(latents.tokens)))
        return Latents(latents.tokens, self._decoder.state), picture

    def commit(self) -> Mapping[Hashable, Replaced]:
        """Makes the last edit what is recorded; returns what brings the record back."""
        return self.engine.commit()

    def _dense(self, step: int, x: mx.array, level: float, prompt: Prompt) -> mx.array:
        return self._of_picture(self.engine.record(step, *self._sequence(x, prompt), level))

    def _run(self, x: mx.array, level: float, prompt: Prompt) -> mx.array:
        return self._of_picture(self.engine.dense(*self._sequence(x, prompt), level))

    def _sequence(self, x: mx.array, prompt: Prompt) -> tuple[mx.array, mx.array]:
        """Image and text tokens of a pass over everything."""
        dtype = self.pipeline.dtype
        return mx.concatenate([x, *self._references], axis=1).astype(dtype), prompt.tokens.astype(dtype)

    def _of_picture(self, output: mx.array) -> mx.array:
        """What such a pass says of the picture's own tokens."""
        return output[:, : self.plane.count].astype(mx.float32)

    def _tokens(self, latents: mx.array) -> mx.array:
        normal = self.pipeline.autoencoder.normalised(latents)
        return normal.reshape(1, -1, normal.shape[-1])

    def _planes(self, tokens: mx.array) -> mx.array:
        return self.pipeline.autoencoder.latents(tokens.reshape(1, self.plane.height, self.plane.width, -1))
