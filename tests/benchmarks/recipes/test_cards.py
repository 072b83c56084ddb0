"""The cards of the models in the package, beside what their recipes write."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sige_mlx import zoo

ROOT = Path(__file__).parents[3]
RECIPES = ROOT / "benchmarks" / "recipes"
TEMPLATES = sorted(RECIPES.glob("MODEL_CARD.*.md"))
OTHERWISE = {"blue-marble-labels-256": ["| Recipe |"]}
"""Rows that are not the template's: the losses that are kept are of another run."""


def name_of(template: Path) -> str:
    return template.name.removeprefix("MODEL_CARD.").removesuffix(".md")


@pytest.mark.parametrize("template", TEMPLATES, ids=name_of)
def test_a_card_says_what_its_recipe_writes(template: Path) -> None:
    name = name_of(template)
    row = re.compile(r"\\\$[a-z_]+")
    wanted = "".join(row.sub("(?s:.+?)", re.escape(line)) for line in template.read_text().splitlines(keepends=True))
    card = (zoo.ASSETS / name / "README.md").read_text()
    for start in OTHERWISE.get(name, []):
        own = next(line for line in template.read_text().splitlines() if line.startswith(start))
        wanted = wanted.replace(re.escape(own), re.escape(start) + ".+")
        assert own not in card, f"{name}: nothing is otherwise any more"
    assert re.fullmatch(wanted, card), f"{name}: the card and the template say different things"


@pytest.mark.parametrize("template", TEMPLATES, ids=name_of)
def test_what_a_card_names_is_here(template: Path) -> None:
    card = (zoo.ASSETS / name_of(template) / "README.md").read_text()
    named = re.search(r"`(benchmarks/recipes/\w+\.py)`", card)
    assert named and (ROOT / named[1]).is_file()
    if "losses are in `benchmarks/recipes/losses`" in card:
        steps = re.search(r"\| Cost \| (\d+) steps", card)
        losses = (RECIPES / "losses" / f"{name_of(template)}.csv").read_text().splitlines()
        assert steps and losses[-1].startswith(f"{steps[1]},")
