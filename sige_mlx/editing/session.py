"""Editing a picture with a diffusion model: record the original once, then recompute only what each edit touches.

The edits are SDEdit's (Meng et al. 2022): the edited picture is noised to a middle timestep and denoised from there.
What makes them incremental is that the original's own trajectory does not depend on the edit: its x_t is drawn in
closed form with one fixed noise, so the network can be recorded on it ahead of any edit. What differs between families
of networks is in `denoising`.
"""

import time
from collections.abc import Callable

import mlx.core as mx
import numpy as np
import numpy.typing as npt
from PIL import Image

from sige_mlx.editing.denoising import denoising
from sige_mlx.editing.images import Picture, from_model, picture, to_model
from sige_mlx.editing.recording import Progress, Recording
from sige_mlx.editing.result import DenseResult, EditResult, edit_result
from sige_mlx.engine import Engine
from sige_mlx.errors import SigeError
from sige_mlx.masks import difference_mask, dilate, user_mask

ImageLike = Image.Image | npt.ArrayLike


class EditSession:
    """A picture open for editing.

    `original` is a Pillow image or (H, W, 3) uint8 of the engine's size. `strength` in (0, 1] is the share of the noise
    schedule that edits are noised to, `steps` the number of sampler steps from there, `seed` that of all noise: the
    same arguments give the same bits on one machine. `sampler` is "ddim" (deterministic), "ddpm" (noise at every step)
    or "dpm-solver" (deterministic, of second order: half the steps do) for the networks of DDPM, "pd" for those of
    Progressive Distillation; what is None is as the family has it (see `denoising`). `eps` and `dilation` make the mask
    of an edit that brings none: pixels differing by more than `eps` (of [-1, 1]) in any channel, grown by `dilation`
    pixels; both default to the model's. Raises `SigeError` for arguments out of range, and when the steps would not fit
    in memory.
    """

    def __init__(
        self,
        engine: Engine,
        original: ImageLike,
        *,
        steps: int | None = None,
        strength: float | None = None,
        seed: int = 0,
        sampler: str | None = None,
        eps: float | None = None,
        dilation: int | None = None,
    ):
        self.denoising = denoising(engine.config, sampler, steps, strength)
        if not 0 <= seed < 2**64:
            raise SigeError(f"the seed is {seed}: it must be from 0 to 2^64 - 1")
        self.engine = engine
        self.original = picture(original, engine.image_size, "the original")
        self.eps = engine.config.eps if eps is None else eps
        self.dilation = engine.config.mask_dilate_radius if dilation is None else dilation
        self.pending: EditResult | None = None
        keys = mx.random.split(mx.random.key(seed), self.steps + 1)
        shape = (1, *engine.image_size, 3)
        self._noise = mx.random.normal(shape, key=keys[0])
        self._step_keys = keys[1:]
        self._recording = Recording(engine, self.denoising.levels)

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

    def edit(self, edited: ImageLike, mask: ImageLike | None = None, progress: Progress | None = None) -> EditResult:
        """The edited picture, re-rendered where it differs from the original or where `mask` (white is edited) says.

        The result waits in `pending` until `commit` or `revert`. Raises `SigeError` for pictures or masks of another
        size.
        """
        pixels = picture(edited, self.engine.image_size, "the edited image")
        region = self.mask(pixels, mask)
        if region.any():
            self.record(progress)
        start = time.perf_counter()
        prepared = self.engine.prepare(region)
        image = self.original.copy()
        if region.any():

            def network(level: float, x: mx.array) -> mx.array:
                return self.engine.edit(prepared, self._recording.key(level), x=x, **self.denoising.condition(level))

            image = self._denoise("edit", pixels, region, network, progress)
        seconds = time.perf_counter() - start
        dense_seconds = self._recording.dense_seconds
        self.pending = edit_result(self.engine, prepared, image, region, self.steps, seconds, dense_seconds)
        return self.pending

    def dense(self, edited: ImageLike, mask: ImageLike | None = None, progress: Progress | None = None) -> DenseResult:
        """The same edit with nothing reused: what `edit` is compared with."""
        pixels = picture(edited, self.engine.image_size, "the edited image")
        region = self.mask(pixels, mask)
        start = time.perf_counter()

        def network(level: float, x: mx.array) -> mx.array:
            return self.engine(x=x, **self.denoising.condition(level))

        image = self._denoise("dense", pixels, region, network, progress)
        return DenseResult(image, time.perf_counter() - start)

    def commit(self) -> None:
        """Makes the pending result the original. What was recorded belongs to the old one and is dropped: the next edit
        records the new original first. Raises `SigeError` when nothing is pending."""
        if self.pending is None:
            raise SigeError("there is nothing to commit: call edit() first")
        self.original = self.pending.image.copy()
        self.pending = None
        self._recording.drop()

    def revert(self) -> None:
        """Drops the pending result. The recording was never touched by it."""
        self.pending = None

    def mask(self, edited: Picture, mask: ImageLike | None = None) -> npt.NDArray[np.bool_]:
        """The region an edit would recompute: `mask` as drawn, else the dilated difference. Bool (H, W)."""
        return edited_region(self.original, edited, mask, self.eps, self.dilation)

    def _denoise(
        self,
        what: str,
        edited: Picture,
        mask: npt.NDArray[np.bool_],
        network: Callable[[float, mx.array], mx.array],
        progress: Progress | None,
    ) -> Picture:
        x0, region = to_model(self.original), mx.array(mask)[None, ..., None]
        x = self.denoising.noised(to_model(edited), self.denoising.levels[0], self._noise)
        step = self.denoising.start(lambda i: mx.random.normal(x0.shape, key=self._step_keys[i]))
        for i, level in enumerate(self.denoising.levels):
            if progress:
                progress(what, i, self.steps)
            x = mx.where(region, x, self.denoising.noised(x0, level, self._noise))
            x = step(i, x, network(level, x))
            mx.eval(x)
        if progress:
            progress(what, self.steps, self.steps)
        return np.where(mask[..., None], from_model(x), self.original)


def edited_region(
    original: Picture, edited: Picture, mask: ImageLike | None, eps: float, dilation: int
) -> npt.NDArray[np.bool_]:
    """`mask` as drawn, else where the pictures differ by more than `eps`, grown by `dilation` pixels: bool (H, W)."""
    if mask is not None:
        return user_mask(mask, original.shape[:2])
    return dilate(difference_mask(original, edited, eps), dilation)
