"""Editing a picture with a diffusion model: record the original once, then recompute only what each edit touches.

The edits are SDEdit's (Meng et al. 2022): the edited picture is noised to a middle timestep and denoised from there.
What makes them incremental is that the original's own trajectory does not depend on the edit: its x_t is drawn in
closed form with one fixed noise, so the network can be recorded on it ahead of any edit. What differs between families
of networks is in `samplers.denoising`.
"""

import time
from collections.abc import Callable
from typing import Any

import mlx.core as mx
import numpy as np
import numpy.typing as npt

from sige_mlx import arguments, families
from sige_mlx.editing.colour import Picture
from sige_mlx.editing.edits import Painted, PictureReader
from sige_mlx.editing.images import Source, from_model, to_model
from sige_mlx.editing.recording import Progress, Recording
from sige_mlx.editing.result import DenseResult, EditResult, edit_result
from sige_mlx.engine import Engine
from sige_mlx.errors import SigeError
from sige_mlx.pictures import ImageLike

TIMESTEPS = 1000
"""Of which each has noise of its own."""

Draw = Callable[[mx.array], mx.array]
"""Standard normal noise like the picture, (1, H, W, 3), by a key."""


class EditSession:
    """A picture open for editing.

    `original` is the path of a picture, a Pillow image or (H, W, 3) uint8, of the engine's size. The network sees it in
    sRGB, on white; the `picture` of a result has the original's colour profile and transparency. `strength` in (0, 1]
    is the share of the noise schedule that edits are noised to, `steps` the number of sampler steps from there, `seed`
    that of all noise: the same arguments give the same bits on one machine, and one seed begins from the same noise
    whatever the other arguments are. `sampler` is "ddim" (deterministic), "ddpm" (noise at every step) or "dpm-solver"
    (deterministic, of second order: half the steps do) for the networks of DDPM, "pd" for those of Progressive
    Distillation; what is None is as the family has it (see `samplers.denoising`). `eps` and `dilation` make the mask of
    an edit that brings none: pixels differing by more than `eps` (of [-1, 1]) in any channel, grown by `dilation`
    pixels; both default to the engine's policy.

    With `fill` the region of an edit is invented, whatever was painted there: it begins from noise alone, so the
    strength is 1. As in any edit the rest is the original, noised anew for every step (Song et al. 2021, "Score-Based
    Generative Modeling through SDEs", appendix I.2; Lugmayr et al. 2022, "RePaint", equation 8, without resampling).

    Raises `SigeError` for arguments out of range, and when the steps would not fit in memory.
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
        key = mx.random.key(arguments.seed(seed))
        self.seed = seed
        self.fill = fill
        self.engine = engine
        self.reader = PictureReader(engine.policy, engine.image_size, eps, dilation)
        self.source = self.reader.original(original)
        self.pending: EditResult | None = None
        # Noise is a function of the seed and, where a sampler draws more, of the timestep: a preview in few steps and
        # the picture in many begin from the same.
        of_start, self._of_steps = mx.random.split(key)
        self._normal: Draw = lambda key: mx.random.normal((1, *engine.image_size, 3), key=key)
        self._noise = self._normal(of_start)
        self._recording = Recording(engine, self.denoising.levels)

    @property
    def original(self) -> Picture:
        """As the network sees it: (H, W, 3), sRGB."""
        return self.source.pixels

    @property
    def steps(self) -> int:
        """Sampler steps of an edit, each with one pass of the network."""
        return len(self.denoising.levels)

    def record(self, progress: Progress | None = None) -> None:
        """Records the original at every step; done by the first edit when it was not done before. Can be interrupted
        and resumed."""
        x0 = to_model(self.original)
        for done, level in enumerate(self.denoising.levels):
            if progress:
                progress("record", done, self.steps)
            if level not in self._recording:
                x = self.denoising.noised(x0, level, self._noise)
                self._recording.add(level, x=x, **self.denoising.condition(level))
        if progress:
            progress("record", self.steps, self.steps)

    def edit(
        self, edited: ImageLike | Source, mask: ImageLike | None = None, progress: Progress | None = None
    ) -> EditResult:
        """The edited picture, re-rendered where it differs from the original or where `mask` (white is edited) says.

        The result waits in `pending` until `commit` or `revert`. Raises `SigeError` for pictures or masks of another
        size, and for what is none.
        """
        painted = self.reader.read(self.source, edited, mask)
        region = painted.region
        if region.any():
            self.record(progress)
        start = time.perf_counter()
        prepared = self.engine.prepare(region)
        rendered = self.original
        if region.any():

            def network(level: float, x: mx.array) -> mx.array:
                return self.engine.edit(prepared, self._recording.key(level), x=x, **self.denoising.condition(level))

            rendered = self._denoise("edit", painted, network, progress)
        seconds = time.perf_counter() - start
        source = self.source.changed(rendered, region, painted.source)
        self.pending = edit_result(
            self.engine,
            prepared,
            source.pixels.copy(),
            region,
            self.steps,
            seconds,
            self._recording.dense_seconds,
            source,
            painted.notes,
        )
        return self.pending

    def dense(
        self, edited: ImageLike | Source, mask: ImageLike | None = None, progress: Progress | None = None
    ) -> DenseResult:
        """The same edit with nothing reused: what `edit` is compared with."""
        painted = self.reader.read(self.source, edited, mask)
        start = time.perf_counter()

        def network(level: float, x: mx.array) -> mx.array:
            return self.engine(x=x, **self.denoising.condition(level))

        rendered = self._denoise("dense", painted, network, progress)
        seconds = time.perf_counter() - start
        return DenseResult(self.source.changed(rendered, painted.region, painted.source).pixels, seconds)

    def commit(self) -> None:
        """Makes the pending result the original. What was recorded belongs to the old one and is dropped: the next edit
        records the new original first. Raises `SigeError` when nothing is pending."""
        if self.pending is None or self.pending.source is None:
            raise SigeError("there is nothing to commit: call edit() first")
        self.source = self.pending.source
        self.pending = None
        self._recording.drop()

    def revert(self) -> None:
        """Drops the pending result. The recording was never touched by it."""
        self.pending = None

    def mask(self, edited: ImageLike | Source, mask: ImageLike | None = None) -> npt.NDArray[np.bool_]:
        """The region an edit would recompute: `mask` as drawn, else the dilated difference. Bool (H, W)."""
        return self.reader.read(self.source, edited, mask).region

    def _draw(self, timestep: int) -> mx.array:
        """The noise that a step at a timestep adds."""
        return self._normal(mx.random.split(self._of_steps, TIMESTEPS)[timestep])

    def part(self, engine: Engine, cut: Callable[[Any], Any]) -> "EditSession":
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
