"""Editing a picture with a diffusion model: record the original once, then recompute only what each edit touches.

The edits are SDEdit's (Meng et al. 2022): the edited picture is noised to a middle timestep and denoised from there.
What makes them incremental is that the original's own trajectory does not depend on the edit: its x_t is drawn in
closed form with one fixed noise, so the network can be recorded on it ahead of any edit. What differs between families
of networks is in `samplers.denoising`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import mlx.core as mx
import numpy as np
import numpy.typing as npt

from sige_mlx import arguments, families
from sige_mlx.editing.base import Session
from sige_mlx.editing.colour import Picture
from sige_mlx.editing.edits import Painted, PictureReader
from sige_mlx.editing.images import Source, from_model, to_model
from sige_mlx.editing.recording import Progress
from sige_mlx.editing.result import DenseResult, EditResult, edit_result, result_of_dense
from sige_mlx.engine import Engine, PreparedEdit
from sige_mlx.errors import SigeError
from sige_mlx.pictures import ImageLike

TIMESTEPS = 1000
"""Of which each has noise of its own."""

Draw = Callable[[mx.array], mx.array]
"""Standard normal noise like the picture, (1, H, W, 3), by a key."""


class EditSession(Session[Source]):
    """A picture open for editing.

    `original` is the path of a picture, a Pillow image or (H, W, 3) uint8, of the engine's size. The network sees it in
    sRGB, on white; the `picture` of a result has the original's colour profile and transparency. `strength` in (0, 1]
    is the share of the noise schedule that edits are noised to, `steps` the number of sampler steps from there, `seed`
    that of all noise: the same arguments and calls give the same bits on one machine, and one seed begins from the same
    noise whatever the other arguments are. `sampler` is "ddim" (deterministic), "ddpm" (noise at every step) or
    "dpm-solver" (deterministic, of second order: half the steps do) for the networks of DDPM, "pd" for those of
    Progressive Distillation; what is None is as the family has it (see `samplers.denoising`). `eps` and `dilation` make
    the mask of an edit that brings none: pixels differing by more than `eps` (of [-1, 1]) in any channel, grown by
    `dilation` pixels; both default to the engine's policy. `history` is how many bytes undoing may keep.

    With `fill` the region of an edit is invented, whatever was painted there: it begins from noise alone, so the
    strength is 1. As in any edit the rest is the original, noised anew for every step (Song et al. 2021, "Score-Based
    Generative Modeling through SDEs", appendix I.2; Lugmayr et al. 2022, "RePaint", equation 8, without resampling).

    Raises `SigeError` for arguments out of range.
    """

    def __init__(
        self,
        engine: Engine,
        original: ImageLike | Source,
        *,
        steps: int | None = None,
        strength: float | None = None,
        seed: int = 0,
        sampler: str | None = None,
        eps: float | None = None,
        dilation: int | None = None,
        history: int | None = None,
        fill: bool = False,
    ):
        family = families.of(engine.config)
        if family.denoising is None:
            able = ", ".join(name for name, known in families.FAMILIES.items() if known.denoising)
            raise SigeError(f"this network denoises no pictures: strokes need one of the families {able}")
        channels = engine.config.in_ch, engine.config.out_ch
        self.denoising = family.denoising.of(channels, sampler, steps, 1.0 if fill and strength is None else strength)
        if fill and self.denoising.strength != 1:
            raise SigeError(f"the strength is {strength}: a fill begins from noise alone, which is strength 1")
        self.fill = bool(fill)
        self.seed = arguments.seed(seed)
        key = mx.random.key(self.seed)
        self.reader = PictureReader(engine.policy, engine.image_size, eps, dilation)
        super().__init__(engine, self.reader.original(original), self.denoising.levels, history)
        # Noise is a function of the seed and, where a sampler draws more, of the timestep: a preview in few steps and
        # the picture in many begin from the same.
        of_start, self._of_steps = mx.random.split(key)
        self._normal: Draw = lambda key: mx.random.normal((1, *engine.image_size, 3), key=key)
        self._noise = self._normal(of_start)
        mx.eval(self._noise, self._of_steps)  # another thread may record, and MLX computes where it was asked to

    @property
    def source(self) -> Source:
        """The original with all that a file of it has."""
        return self.given

    @property
    def original(self) -> Picture:
        """As the network sees it: (H, W, 3), sRGB."""
        return self.source.pixels

    def edit(
        self,
        edited: ImageLike | Source,
        mask: ImageLike | None = None,
        progress: Progress | None = None,
        *,
        once: bool = False,
    ) -> EditResult:
        """The edited picture, re-rendered where it differs from the original or where `mask` (white is edited) says.

        The result waits in `pending` until `commit` or `revert`. Nothing is recorded for an edit that is the dense pass
        by the engine's policy, and for the only one, `once`, where the dense pass is cheaper than that. Raises
        `SigeError` for pictures or masks of another size, and for what is none.
        """
        painted = self.reader.read(self.source, edited, mask)
        with self._recording.first():
            planned = self.engine.plan(painted.region)
            if planned.dense or (once and self._dense_is_cheaper(planned)):
                rendered, seconds = self._dense(painted, progress)
                source = self.source.changed(rendered, painted.region, painted.source)
                dense = DenseResult(source.pixels.copy(), seconds)
                result = result_of_dense(self.engine, planned, dense, painted.region, self.steps)
            else:
                result, source = self._edit(painted, planned, progress)
        return self._waits(replace(result, source=source, notes=painted.notes), source)

    def dense(
        self, edited: ImageLike | Source, mask: ImageLike | None = None, progress: Progress | None = None
    ) -> DenseResult:
        """The same edit with nothing reused: what `edit` is compared with."""
        painted = self.reader.read(self.source, edited, mask)
        rendered, seconds = self._dense(painted, progress)
        return DenseResult(self.source.changed(rendered, painted.region, painted.source).pixels, seconds)

    def mask(self, edited: ImageLike | Source, mask: ImageLike | None = None) -> npt.NDArray[np.bool_]:
        """The region an edit would recompute: `mask` as drawn, else the dilated difference. Bool (H, W)."""
        return self.reader.read(self.source, edited, mask).region

    def _edit(self, painted: Painted, prepared: PreparedEdit, progress: Progress | None) -> tuple[EditResult, Source]:
        """An edit in tiles, as it is planned or prepared, and the picture with all that a file of it has."""
        region, start, macs = painted.region, time.perf_counter(), 0
        if region.any():
            self.record(progress)
            if self._recording.overdue(region):
                self.settle(progress)
        recorded = time.perf_counter()
        rendered = self.original
        if region.any():

            def network(level: float, x: mx.array) -> mx.array:
                nonlocal prepared, macs
                given = {"x": x, **self.denoising.condition(level)}
                prepared = self._recording.prepare(level, region, given)
                macs += prepared.macs
                return self.engine.edit(prepared, self._recording.key(level), **given)

            rendered = self._denoise("edit", painted, network, progress)
        seconds = time.perf_counter() - recorded
        source = self.source.changed(rendered, region, painted.source)
        image, dense_seconds = source.pixels.copy(), self._recording.dense_seconds
        taken = (seconds, dense_seconds, recorded - start)
        return edit_result(self.engine, prepared, image, region, self.steps, macs, *taken), source

    def _dense(self, painted: Painted, progress: Progress | None) -> tuple[Picture, float]:
        """What the network makes of an edit by dense passes, and seconds."""
        start = time.perf_counter()

        def network(level: float, x: mx.array) -> mx.array:
            return self.engine(x=x, **self.denoising.condition(level))

        return self._denoise("dense", painted, network, progress), time.perf_counter() - start

    def _inputs(self, given: Source, step: float) -> Mapping[str, Any]:
        return {"x": self.denoising.noised(to_model(given.pixels), step, self._noise), **self.denoising.condition(step)}

    @property
    def _settings(self) -> dict[str, Any]:
        denoising, reader = self.denoising, self.reader
        told = {"steps": self.steps, "strength": float(denoising.strength), "sampler": denoising.sampler}
        return {
            **told,
            "seed": int(self.seed),
            "eps": float(reader.eps),
            "dilation": int(reader.dilation),
            "fill": self.fill,
        }

    @classmethod
    def _of(cls, engine: Engine, given: Source, settings: dict[str, Any], history: int | None) -> EditSession:
        return cls(engine, given, history=history, **settings)

    def _read(self, given: Source) -> Source:
        return self.reader.original(given)

    @staticmethod
    def _size(given: Source) -> int:
        return given.nbytes

    def _draw(self, timestep: int) -> mx.array:
        """The noise that a step at a timestep adds."""
        return self._normal(mx.random.split(self._of_steps, TIMESTEPS)[timestep])

    def part(self, engine: Engine, cut: Callable[[Any], Any]) -> EditSession:
        """A session of a part of the original with the same settings: `cut` takes it of an array (H, W, C), of the
        noise, too. The engine is for pictures of its size."""
        made = EditSession(
            engine,
            cut(self.original),
            steps=self.steps,
            strength=self.denoising.strength,
            seed=self.seed,
            sampler=self.denoising.sampler,
            fill=self.fill,
        )
        made._normal = lambda key: cut(self._normal(key)[0])[None]
        made._noise = cut(self._noise[0])[None]
        return made

    def _denoise(
        self,
        what: str,
        painted: Painted,
        network: Callable[[float, mx.array], mx.array],
        progress: Progress | None,
    ) -> Picture:
        x0, region = to_model(self.original), mx.array(painted.region)[None, ..., None]
        x = self._noise
        if not self.fill:
            x = self.denoising.noised(to_model(painted.source.pixels), self.denoising.levels[0], x)
        step = self.denoising.start(self._draw)
        for i, level in enumerate(self.denoising.levels):
            if progress:
                progress(what, i, self.steps)
            x = mx.where(region, x, self.denoising.noised(x0, level, self._noise))
            x = step(i, x, network(level, x))
            mx.eval(x)
        if progress:
            progress(what, self.steps, self.steps)
        return from_model(x)
