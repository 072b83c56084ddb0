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
from typing import Any, NamedTuple

import mlx.core as mx
import numpy as np
import numpy.typing as npt

from sige_mlx import arguments, families
from sige_mlx.arguments import real
from sige_mlx.editing.boxes import extent
from sige_mlx.editing.colour import Picture
from sige_mlx.editing.edits import Painted, PictureReader
from sige_mlx.editing.images import Source, from_model, to_model
from sige_mlx.editing.of_pictures import OfPictures
from sige_mlx.editing.recording import Progress
from sige_mlx.editing.result import DenseResult, EditResult, edit_result, result_of_dense
from sige_mlx.editing.windows import MOST, Window, around, given, over
from sige_mlx.engine import Engine, PreparedEdit
from sige_mlx.errors import SigeError
from sige_mlx.masks import dilate
from sige_mlx.masks.difference import Mask
from sige_mlx.pictures import ImageLike

TIMESTEPS = 1000
"""Of which each has noise of its own."""

Draw = Callable[[mx.array], mx.array]
"""Standard normal noise like the picture, (1, H, W, 3), by a key."""


class _Stroke(NamedTuple):
    """What a network sees of an edit."""

    window: Window
    before: Picture
    after: Picture
    """(H, W, 3): what the window shows of the original, and of the picture that was painted into."""
    region: Mask
    """(H, W): what is rendered anew."""
    inside: Mask
    """The same in the pixels that the window shows, which are the picture's own."""


class EditSession(OfPictures):
    """A picture open for editing.

    `original` is the path of a picture, a Pillow image or (H, W, 3) uint8, of any size. The network sees it in sRGB, on
    white; the `picture` of a result has the original's colour profile, depth and transparency. An edit of a picture
    that is not of the engine's size is made in a window around it, as large as that or, where the edit is larger, a
    multiple (see `windows.around`); `look` chooses others. `strength` in (0, 1]
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

        model = sige_mlx.load("blue-marble-128")
        session = sige_mlx.EditSession(model.engine, "sea.png", steps=10, seed=1)
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
        source = Source.of(original, name="the original")
        self.reader = PictureReader(engine.policy, source.size, eps, dilation)
        super().__init__(engine, source, source.size, self.denoising.levels, history)
        self._asked: Window | None = None
        self._scale: float | None = None
        if source.size == engine.image_size:
            self._views.use(over(source.size, engine.image_size))
        # Noise is a function of the seed and, where a sampler draws more, of the timestep: a preview in few steps and
        # the picture in many begin from the same.
        of_start, self._of_steps = mx.random.split(key)
        self._normal: Draw = lambda key: mx.random.normal((1, *engine.image_size, 3), key=key)
        self._noise = self._normal(of_start)
        mx.eval(self._noise, self._of_steps)  # another thread may record, and MLX computes where it was asked to

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
        by the engine's policy, and for the only one, `once`, where the dense pass is cheaper than that. `progress` is
        called with what is done, how many steps of it are, and of how many. Raises `SigeError` for pictures or masks of
        another size, and for what is none.

            result = session.edit("island.png")
            sige_mlx.save_image(result.picture, "new.png")
            print(f"{result.edited:.1%} of the pixels, {result.seconds:.1f} s")
        """
        painted = self.reader.read(self.source, edited, mask)
        with self._access.first():
            stroke = self._stroke(painted)
            if stroke.region.any():
                self._views.use(stroke.window)
            planned = self.engine.plan(stroke.region)
            if planned.dense or (once and self._dense_is_cheaper(planned)):
                dense = self._dense(stroke, progress)
                result = result_of_dense(self.engine, planned, dense, stroke.region, self.steps)
            else:
                result = self._edit(stroke, planned, progress)
            source = self._pasted(painted, stroke, result.image)
        region = np.zeros(self.size, np.bool_)
        stroke.window.part.of(region)[...] = stroke.inside
        whole = replace(result, image=source.pixels.copy(), mask=region, window=stroke.window)
        return self._waits(replace(whole, source=source, notes=painted.notes), source)

    def dense(
        self, edited: ImageLike | Source, mask: ImageLike | None = None, progress: Progress | None = None
    ) -> DenseResult:
        """The same edit with nothing reused: what `edit` is compared with. It is not pending, and leaves what is as it
        was.

            incremental, dense = session.edit("island.png"), session.dense("island.png")
            print(sige_mlx.metrics.psnr(incremental.image, dense.image, mask=incremental.mask))
        """
        painted = self.reader.read(self.source, edited, mask)
        stroke = self._stroke(painted)
        rendered, seconds = self._dense(stroke, progress)
        return DenseResult(self._pasted(painted, stroke, rendered).pixels, seconds)

    def mask(self, edited: ImageLike | Source, mask: ImageLike | None = None) -> npt.NDArray[np.bool_]:
        """The region an edit would recompute: `mask` as drawn, else the dilated difference. Bool (H, W)."""
        stroke, region = self._stroke(self.reader.read(self.source, edited, mask)), np.zeros(self.size, np.bool_)
        stroke.window.part.of(region)[...] = stroke.inside
        return region

    def look(self, window: tuple[int, int, int] | None = None, scale: float | None = None) -> None:
        """Has edits be made in the window from a column and a row of the picture on, so many pixels wide; or in windows
        of a scale, of so many pixels of the picture to one of the network's; or, without either, as the edits ask for.
        Raises `SigeError` for a window or a scale that there is not, and for both.

            session.look(scale=1)
            session.look(window=(0, 0, 128))
            session.look()
        """
        if window is not None and scale is not None:
            raise SigeError("a window has a scale: give one of the two")
        self._scale = None if scale is None else real(scale, "the scale", 1, MOST)
        self._asked = None if window is None else given(window, self.size, self.engine.image_size)
        if self._asked:
            self._views.use(self._asked)

    def _stroke(self, painted: Painted) -> _Stroke:
        """What the network is to see of an edit."""
        window = self._window(painted)
        touched = window.touched(painted.mask)
        region = dilate(touched, painted.grow)
        inside = window.spread(region) if painted.grow else window.part.of(painted.mask)
        return _Stroke(window, self._shown(window), self._seen(painted.source, window), region, inside)

    def _window(self, painted: Painted) -> Window:
        """The one to make an edit in. Raises `SigeError` where the one that was asked for does not show all of it."""
        edit, size = extent(painted.mask), self.engine.image_size
        if self._asked:
            if edit and edit.overlap(self._asked.part) != edit:
                at = f"{edit.width}×{edit.height} pixels from x = {edit.left}, y = {edit.top}"
                raise SigeError(f"the edit is {at}, which the window, {self._asked}, does not show whole")
            return self._asked
        if edit is None or self.size == size:
            return self.window or over(self.size, size)
        return around(edit, self.size, size, painted.grow, self._scale)

    def _edit(self, stroke: _Stroke, prepared: PreparedEdit, progress: Progress | None) -> EditResult:
        """An edit in tiles, as it is planned or prepared, in the window."""
        region, start, macs = stroke.region, time.perf_counter(), 0
        if region.any():
            self.record(progress)
            if self._recording.overdue(region):
                self._settle_here(progress)
        recorded = time.perf_counter()
        rendered = stroke.before
        if region.any():

            def network(level: float, x: mx.array) -> mx.array:
                nonlocal prepared, macs
                given = {"x": x, **self._conditions(level)}
                prepared = self._recording.prepare(level, region, given)
                macs += prepared.macs
                return self.engine.edit(prepared, self._recording.key(level), **given)

            rendered = self._denoise("edit", stroke, network, progress)
        seconds = time.perf_counter() - recorded
        taken = (seconds, self._recording.dense_seconds if self.window else None, recorded - start)
        return edit_result(self.engine, prepared, rendered, region, self.steps, macs, *taken)

    def _pasted(self, painted: Painted, stroke: _Stroke, rendered: Picture) -> Source:
        """The original with what the network made of an edit, and all that a file of it has."""
        window, box = stroke.window, stroke.window.part
        before, after = self.source.part(box), painted.source.part(box)
        seen, picture = (None, None) if self.fill else (stroke.after, after.pixels)
        result = window.carried(rendered, seen, picture, before.pixels, stroke.inside)
        return self.source.patched(box, before.changed(result, stroke.inside, after))

    def _dense(self, stroke: _Stroke, progress: Progress | None) -> DenseResult:
        """What the network makes of an edit by dense passes."""
        start = time.perf_counter()

        def network(level: float, x: mx.array) -> mx.array:
            return self.engine(x=x, **self._conditions(level))

        return DenseResult(self._denoise("dense", stroke, network, progress), time.perf_counter() - start)

    def _conditions(self, step: float) -> Mapping[str, Any]:
        return self.denoising.condition(step)

    def _inputs(self, seen: Picture, step: float) -> Mapping[str, Any]:
        return {"x": self.denoising.noised(to_model(seen), step, self._noise), **self._conditions(step)}

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
        stroke: _Stroke,
        network: Callable[[float, mx.array], mx.array],
        progress: Progress | None,
    ) -> Picture:
        x0, region = to_model(stroke.before), mx.array(stroke.region)[None, ..., None]
        x = self._noise
        if not self.fill:
            x = self.denoising.noised(to_model(stroke.after), self.denoising.levels[0], x)
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
