"""What each family makes of an edit: every sampler of every family, through sessions and by hand."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import mlx.core as mx
import numpy as np
import pytest

from sige_mlx import families, samplers, zoo
from sige_mlx.editing import EditSession, open_image
from sige_mlx.editing.images import from_model, to_model
from sige_mlx.engine import Engine
from sige_mlx.errors import SigeError
from sige_mlx.metrics import psnr
from sige_mlx.models.ddpm import DDPMConfig
from sige_mlx.models.pd import PDConfig
from tests.tiny import CONFIG, LABEL_CONFIG, PD_CONFIG, SIZE, original, painted, tiny_engine


def denoising(config: Any, *options: Any, **more: Any) -> Any:
    """The steps of an edit with the network of a configuration."""
    return families.of(config).denoising.of((config.in_ch, config.out_ch), *options, **more)


def samplers_of(config: Any) -> Any:
    return families.of(config).denoising.STEPS


EVERY = [(config, sampler) for config in (CONFIG, PD_CONFIG) for sampler in samplers_of(config)]
WHITE = np.full((SIZE, SIZE), 255, np.uint8)
every = pytest.mark.parametrize(("config", "sampler"), EVERY, ids=[sampler for _, sampler in EVERY])


def session(config: Any, sampler: str, device: str = "cpu", **options: Any) -> EditSession:
    return EditSession(tiny_engine(device, config), original(), **{"steps": 3, "sampler": sampler, **options})


def difference(a: np.ndarray, b: np.ndarray, mask: np.ndarray) -> float:
    return float(np.abs(a.astype(int) - b)[mask].mean())


@every
def test_an_edit_is_close_to_the_dense_run_and_leaves_the_rest(config: Any, sampler: str) -> None:
    opened = session(config, sampler)
    result, dense = opened.edit(painted()), opened.dense(painted())
    assert np.array_equal(result.image[~result.mask], original()[~result.mask])
    assert difference(result.image, dense.image, result.mask) < 0.4 * difference(dense.image, painted(), result.mask)
    assert 0 < result.macs < result.dense_macs


@every
def test_a_full_edit_of_the_unchanged_picture_equals_the_dense_run(config: Any, sampler: str) -> None:
    """In one step the network sees what was recorded, so the recorded statistics are the right ones."""
    opened = session(config, sampler, steps=1)
    result, dense = opened.edit(original(), WHITE), opened.dense(original(), WHITE)
    assert np.abs(result.image.astype(int) - dense.image).max() <= 1


@pytest.mark.slow
@pytest.mark.parametrize("steps", [10, 20])
def test_dpm_solvers_edits_with_trained_weights(steps: int) -> None:
    """The demo's island, of the model in the package."""
    before, after = (open_image(zoo.ASSETS / "demo" / f"{name}.png") for name in ("original", "painted"))
    opened = EditSession(zoo.load(zoo.DEFAULT).engine(), before, sampler="dpm-solver", steps=steps)
    result, dense = opened.edit(after), opened.dense(after)
    assert psnr(result.image, dense.image, 255, result.mask) > 40
    assert psnr(dense.image, np.asarray(after.convert("RGB")), 255, result.mask) < 25  # it was rendered
    assert 3 * result.macs < result.dense_macs


@every
def test_executors_agree(config: Any, sampler: str) -> None:
    native, reference = (session(config, sampler, device).edit(painted()).image for device in ("cpu", "reference"))
    assert np.abs(native.astype(int) - reference).max() <= 1


@every
def test_editing_twice_gives_the_same_bits(config: Any, sampler: str) -> None:
    """A sampler that remembers steps begins anew with every edit."""
    opened = session(config, sampler)
    assert np.array_equal(opened.edit(painted()).image, opened.edit(painted()).image)


def by_hand(opened: EditSession, run: Any) -> np.ndarray:
    """The dense edit of the whole picture, as `run(engine, x0, noise)` makes it."""
    noise = mx.random.normal((1, SIZE, SIZE, 3), key=mx.random.split(mx.random.key(0))[0])
    return from_model(run(opened.engine, to_model(painted()), noise))


def test_dpm_solver_is_run_from_its_first_timestep_to_the_clean_image() -> None:
    schedule = samplers.alphas_cumprod(samplers.linear_betas())

    def run(engine: Engine, x0: mx.array, noise: mx.array) -> mx.array:
        x, previous = samplers.q_sample(x0, 599, noise, schedule), None
        chosen = samplers.dpm_solver_timesteps(4, schedule, 0.6)
        for t, t_next in zip(chosen, [*chosen[1:], -1], strict=True):
            image = samplers.predicted_image(x, engine(x=x, t=[float(t)]), t, schedule)
            x = samplers.dpm_solver_step(x, image, t, t_next, schedule, previous)
            previous = t, image
        return x

    opened = session(CONFIG, "dpm-solver", steps=4, strength=0.6)
    assert np.array_equal(opened.dense(painted(), WHITE).image, by_hand(opened, run))


def test_pd_is_run_from_its_strength_to_the_clean_image() -> None:
    def run(engine: Engine, x0: mx.array, noise: mx.array) -> mx.array:
        chosen = [*samplers.log_snrs(3, 0.375), math.inf]
        x = samplers.noised(x0, chosen[0], noise)
        for level, following in pairwise(chosen):
            x = samplers.pd_step(x, engine(x=x, log_snr=[level]), level, following)
        return x

    opened = session(PD_CONFIG, "pd", strength=0.375)
    assert np.array_equal(opened.dense(painted(), WHITE).image, by_hand(opened, run))


@pytest.mark.parametrize(
    ("config", "sampler", "words"),
    [
        (DDPMConfig(), None, "ddim, 20 steps, strength 0.5"),
        (DDPMConfig(), "ddpm", "ddpm, 20 steps, strength 0.5"),
        (DDPMConfig(), "dpm-solver", "dpm-solver, 10 steps, strength 0.5"),
        (PDConfig(), None, "pd, 5 steps, strength 0.625"),
    ],
)
def test_defaults_are_the_familys(config: Any, sampler: str | None, words: str) -> None:
    assert str(denoising(config, sampler)) == words


def test_a_distilled_network_takes_five_of_its_eight_steps() -> None:
    assert denoising(PDConfig()).levels == pytest.approx([samplers.cosine_log_snr(i / 8) for i in (5, 4, 3, 2, 1)])


@pytest.mark.parametrize(("config", "steps"), [(DDPMConfig(), 20), (PDConfig(), 5), (LABEL_CONFIG, 1)])
def test_passes_of_an_edit_where_nothing_is_said(config: Any, steps: int) -> None:
    assert families.of(config).steps == steps


@pytest.mark.parametrize(
    ("config", "options", "sentence"),
    [
        (
            CONFIG,
            {"sampler": "pd"},
            r"^sampler 'pd' is none of this network's: .* one of ddim, ddpm, dpm-solver$",
        ),
        (PD_CONFIG, {"sampler": "ddim"}, r"^sampler 'ddim' is none of this network's: it must be one of pd$"),
        (PD_CONFIG, {"strength": 1.5}, r"^the strength is 1.5"),
        (PD_CONFIG, {"steps": 0}, r"^the number of steps is 0: it must be 1 or more$"),
        (CONFIG, {"sampler": "dpm-solver", "steps": 501}, r"^the number of steps is 501: .* from 1 to 500, which"),
        (DDPMConfig(in_ch=4), {}, r"^this network reads 4 channels and writes 3: pictures need 3 and 3$"),
        (PDConfig(in_ch=1, out_ch=2), {}, r"^this network reads 1 channels and writes 2: pictures need 3 and 6$"),
    ],
)
def test_what_does_not_fit_is_refused(config: Any, options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(SigeError, match=sentence):
        denoising(config, **options)


# ---- few steps, and the noise they begin from


@every
def test_one_step_renders(config: Any, sampler: str) -> None:
    """Every sampler: neither the painting as it was nor noise."""
    opened = session(config, sampler, steps=1)
    result = opened.edit(painted())
    assert difference(result.image, painted(), result.mask) > 3
    assert opened.denoising.levels[0] > (0 if config is CONFIG else -math.inf)


def test_a_low_strength_takes_fewer_steps_where_none_are_asked_for() -> None:
    assert denoising(CONFIG, strength=0.01).levels == list(reversed(range(10)))
    assert len(denoising(CONFIG, strength=0.01, steps=3).levels) == 3
    with pytest.raises(SigeError, match=r"^the number of steps is 20: .* from 1 to 10, which"):
        denoising(CONFIG, strength=0.01, steps=20)


@every
def test_noise_is_the_seeds_alone(config: Any, sampler: str) -> None:
    """The first noise is the same for any number of steps, any strength and sampler; so a preview shows the picture."""
    first = session(config, sampler)._noise
    for other in ({"steps": 7}, {"strength": 0.375}):
        assert mx.array_equal(session(config, sampler, **other)._noise, first)
    assert mx.array_equal(session(config, next(iter(samplers_of(config))))._noise, first)
    assert not mx.array_equal(session(config, sampler, seed=1)._noise, first)


def test_noise_of_a_timestep_is_the_same_in_every_run() -> None:
    few, many = (session(CONFIG, "ddpm", steps=steps) for steps in (5, 10))
    assert set(few.denoising.levels) < set(many.denoising.levels)
    assert mx.array_equal(few._draw(400), many._draw(400))
    assert not mx.array_equal(few._draw(400), few._draw(300))
    assert not mx.array_equal(few._draw(400), few._noise)


@pytest.mark.slow
def test_a_preview_in_ten_steps_is_near_the_picture_in_twenty() -> None:
    """With trained weights: another noise would be ten times as far away."""
    before, after = (zoo.ASSETS / "demo" / f"{name}.png" for name in ("original", "painted"))
    engine = zoo.load(zoo.DEFAULT).engine()
    preview, picture, other = (
        EditSession(engine, open_image(before), steps=steps, seed=seed).dense(open_image(after)).image
        for steps, seed in ((10, 0), (20, 0), (20, 1))
    )
    mask = (preview != picture).any(-1)
    assert difference(preview, picture, mask) < 3
    assert difference(other, picture, mask) > 10
