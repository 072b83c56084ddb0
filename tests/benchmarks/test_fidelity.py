"""`python -m benchmarks.fidelity`: what it makes of its figures, and that it measures what it says."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from benchmarks.fidelity import __main__ as command
from benchmarks.fidelity.frontier import Point, points
from benchmarks.fidelity.measure import Edit, measured, step
from benchmarks.fidelity.plot import draw
from benchmarks.fidelity.policies import OFFERED, policies
from benchmarks.fidelity.scenes import MODELS, Scene, scenes
from sige_mlx import zoo
from sige_mlx.editing import EditSession, LabelSession
from sige_mlx.errors import SigeError
from sige_mlx.metrics import psnr
from tests.tiny import original, painted, tiny_engine


def edit_of(policy: str, decibels: float, time: float, percent: float = 5.0, scene: str = "a") -> Edit:
    return Edit(policy, scene, "painted", percent, decibels, 1.0, 0.5, time)


def test_points_are_medians_and_the_least_over_scenes() -> None:
    edits = [edit_of("x", d, t, scene=s) for s, d, t in (("a", 40, 0.1), ("b", 50, 0.4), ("c", math.inf, 0.2))]
    assert points(edits) == [Point("x", "painted", 5.0, 50, 40, 1.0, 0.5, 0.2, best=True)]


def test_the_best_are_those_that_nothing_as_fast_beats() -> None:
    edits = [edit_of("slow", 50, 0.5), edit_of("fast", 40, 0.1), edit_of("bad", 39, 0.3), edit_of("alike", 40.5, 0.101)]
    best = {point.policy: point.best for point in points([*edits, edit_of("slow", 30, 0.5, percent=15.0)])}
    assert best == {"slow": True, "fast": False, "bad": False, "alike": True}


def test_a_seam_is_how_far_pixels_step_at_the_border() -> None:
    mask = np.zeros((4, 6), np.bool_)
    mask[:, 3:] = True
    picture = np.zeros((4, 6, 3), np.uint8)
    picture[:, 3:] = (30, 60, 90)
    picture[2, 5] = 255  # further in
    assert step(picture, mask) == 60
    assert step(picture, np.zeros_like(mask)) == step(picture, np.ones_like(mask)) == 0


def test_edits_are_measured_against_the_dense_pass() -> None:
    fast = tiny_engine()
    engines = {"fast": fast, "dense": fast.under(replace(fast.policy, dense_from=0.0))}
    scene = Scene("tiny", ("painted",), lambda engine: EditSession(engine, original(), steps=2), lambda *_: painted())
    told: list[Any] = []
    found = list(measured(engines, [scene], [5.0, 15.0], 1, 0, lambda *told_so: told.append(told_so)))
    assert [(e.policy, e.percent) for e in found] == [("fast", 5), ("dense", 5), ("fast", 15), ("dense", 15)]
    assert told == [("fidelity", done, 2) for done in range(3)]
    session = scene.open(fast)
    result, dense = session.edit(painted()), session.dense(painted()).image
    assert found[0].psnr == psnr(result.image, dense, 255, result.mask)
    assert found[0].macs == result.macs / result.dense_macs < 1 and found[0].time > 0
    assert (found[1].psnr, found[1].macs, found[1].seam) == (math.inf, 1, 0)


@pytest.mark.parametrize(("name", "session"), [(zoo.DEFAULT, EditSession), (zoo.LABELS, LabelSession)])
def test_the_scenes_of_the_package(name: str, session: type) -> None:
    engine = zoo.load(name).engine()
    found = list(scenes(name, 256, 2))
    assert len(found) == 3 and len({scene.name for scene in found}) == 3
    opened = found[1].open(engine)
    assert isinstance(opened, session)
    masks = [opened.mask(found[1].edited(found[1].kinds[0], percent, 1)) for percent in (1.2, 15.0)]
    assert 0 < masks[0].mean() < masks[1].mean() < 0.5


@pytest.mark.parametrize("name", MODELS[:2])
def test_every_quality_is_among_the_policies(name: str) -> None:
    of = zoo.load(name)
    found = policies(of)
    assert [found[quality] for quality in OFFERED] == [of.policy(quality=quality) for quality in OFFERED]
    assert len(set(found.values())) >= 4


def invoke(*arguments: object) -> Any:
    app = typer.Typer()
    app.command()(command.main)
    return CliRunner().invoke(app, [str(a) for a in arguments])


FEW = ("--model", zoo.LABELS, "--percent", 1.2, "--policy", "balanced", "--policy", "from 64", "--rounds", 1)


def test_json_and_table_tell_the_same() -> None:
    of = json.loads(invoke(*FEW, "--json").stdout)["models"][zoo.LABELS]
    assert [point["policy"] for point in of["points"]] == ["balanced", "from 64 on"] and len(of["edits"]) == 6
    title, _, head, *rows = invoke(*FEW).stdout.splitlines()
    assert title == zoo.LABELS and head.split()[:2] == ["edit", "policy"]
    for row, point in zip(rows, of["points"], strict=False):
        assert row.startswith("relabelled, 1.2 %") and f" {point['macs']:.2f} " in row
        assert f" {point['psnr']:.1f} " in row


def test_a_plot_of_it(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    found = {"model": points([edit_of("x", 40, 0.1), edit_of("y", math.inf, 1.0)])}
    draw(found, tmp_path / "plot.png")
    assert (tmp_path / "plot.png").stat().st_size > 1000
    with pytest.raises(SigeError, match="cannot be written"):
        draw(found, tmp_path / "nowhere" / "plot.png")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            ["--model", "ddpm-church-256"],
            "there are no trained weights of 'ddpm-church-256': choose of blue-marble-128",
        ),
        (
            ["--model", zoo.LABELS, "--policy", "slow"],
            "no policy of blue-marble-labels-256 is called so: choose of fast",
        ),
    ],
)
def test_what_there_is_not(arguments: list[str], sentence: str) -> None:
    ended = invoke(*arguments)
    assert ended.exit_code == 1 and sentence in ended.stderr and ended.stdout == ""
