"""Imports go one way. What is read here is the text of every file, so an import inside a function counts, and so does
one for type checkers alone."""

from __future__ import annotations

import ast
import importlib.util
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

BASE = ("arguments", "cache", "described", "errors", "pictures", "published", "scratch", "token_models")
"""Modules of the package that stand for themselves and below everything else."""

SHARED = {
    "engine.changes",
    "engine.estimates",
    "engine.files",
    "engine.inputs",
    "engine.recordings",
    "engine.statistics",
    "engine.verdicts",
    "engine.weights",
}
"""What executors have in common."""

ARROWS: dict[str, set[str]] = {
    "base": set(),
    "masks": {"base"},
    "nn": {"base"},
    "samplers": {"base"},
    "models": {"nn", "base"},
    "metrics": {"nn", "base"},
    "graph": {"masks", "nn", "base"},
    "engine.weights": {"graph", "base"},
    "engine.files": {"base"},
    "engine.verdicts": set(),
    "engine.statistics": {"graph", "nn", "base"},
    "engine.inputs": {"graph", "base"},
    "engine.estimates": {"engine.inputs", "engine.statistics", "graph", "base"},
    "engine.changes": {"engine.statistics", "graph", "base"},
    "engine.recordings": {"engine.changes", "engine.files", "graph", "base"},
    "engine.gpu": {*SHARED, "graph", "nn", "base"},
    "engine.native": {*SHARED, "graph", "nn", "base"},
    "engine": {*SHARED, "engine.gpu", "engine.native", "graph", "nn", "base"},
    "families": {"graph", "models", "nn", "samplers", "base"},
    "label_classes": {"families", "base"},
    "paper_settings": {"families", "base"},
    "zoo": {"engine", "engine.weights", "families", "graph", "label_classes", "nn", "paper_settings", "base"},
    "converters": {"families", "graph", "metrics", "models", "nn", "zoo", "base"},
    "converters.coreml": {"converters", "engine.estimates", "engine.weights", "graph", "masks", "nn", "zoo", "base"},
    "tokens": {*SHARED, "converters", "editing", "engine", "graph", "masks", "models", "nn", "base"},
    "editing": {"engine", "families", "graph", "label_classes", "masks", "models", "zoo", "base"},
}
"""Parts of the package, and which others each may import."""

ENGINES = {"engine", "engine.gpu", "engine.native", *SHARED}
"""What measures or checks the engine may look into it."""

ARROWS["benchmark"] = {"editing", "families", "graph", "masks", "zoo", "base"} | ENGINES
ARROWS["evaluation"] = {"benchmark", "editing", "engine", "families", "graph", "label_classes", "masks", "metrics"}
ARROWS["evaluation"] |= {"nn", "zoo", "base"}
ARROWS["app"] = {"editing", "engine", "families", "graph", "label_classes", "masks", "tokens", "zoo", "base"}
ARROWS["front"] = {"converters", "editing", "engine", "graph", "masks", "metrics", "nn", "tokens", "base"}
ARROWS["cli"] = {*ARROWS, *ENGINES}
ARROWS |= {"metal.sim": set(), "benchmarks.torch_models": set(), "benchmarks": {*ARROWS, "metal.sim"}}
ARROWS["benchmarks"].add("benchmarks.torch_models")

FOLDERS = {
    "sige_mlx": "sige_mlx",
    "converters": "sige_mlx.converters",
    "metal/sim": "metal.sim",
    "benchmarks": "benchmarks",
}
"""Where modules are, and what they are called there."""

OURS = ("sige_mlx", "metal", "benchmarks", "tests", "converters")
"""Top-level names of the repository; `sige_mlx.converters` is how converters are imported."""


def modules() -> Iterator[tuple[str, Path]]:
    """Every module by the name that it is imported by."""
    for folder, package in FOLDERS.items():
        for path in sorted((ROOT / folder).rglob("*.py")):
            parts = path.relative_to(ROOT / folder).with_suffix("").parts
            if folder != "sige_mlx" or parts[0] not in ("converters", "metal"):  # links to the other folders
                yield ".".join([package, *parts]).removesuffix(".__init__"), path


NAMES = dict(modules())


def part(module: str) -> str:
    """The part that a module belongs to: that of the longest name. A module that belongs to none is one by itself."""
    name = module.removeprefix("sige_mlx.")
    if module == "sige_mlx":
        return "front"
    if name in BASE and name != module:
        return "base"
    if module == "sige_mlx.__main__":
        return "cli"
    if name.startswith("converters") and name == module:  # the folder, not the package
        return module
    prefixes = [name, *(name.rsplit(".", i)[0] for i in range(1, name.count(".") + 1))]
    return next((prefix for prefix in prefixes if prefix in ARROWS), module)


def imported(module: str, text: str) -> set[str]:
    """The modules of the repository that a module of this text imports."""
    package = module if NAMES.get(module, Path()).name == "__init__.py" else module.rpartition(".")[0]
    found = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            source = importlib.util.resolve_name("." * node.level + (node.module or ""), package)
            full = [f"{source}.{name.name}" for name in node.names]
            found |= {name if name in NAMES or source in ("sige_mlx", "metal") else source for name in full}
    return {name for name in found if name.split(".")[0] in OURS}


def wrong(module: str, text: str) -> list[str]:
    """The imports of a module that go the wrong way."""
    own = part(module)
    assert own in ARROWS, f"{module} belongs to no part: say in ARROWS what it may import"
    return sorted(name for name in imported(module, text) if part(name) not in {own, *ARROWS[own]})


def test_imports_go_one_way() -> None:
    found = {module: names for module, path in NAMES.items() if (names := wrong(module, path.read_text("utf-8")))}
    assert not found


def test_there_is_no_way_round() -> None:
    assert [*TopologicalSorter(ARROWS).static_order()]


def test_every_part_is_there() -> None:
    assert {part(module) for module in NAMES} == {*ARROWS}


@pytest.mark.parametrize(
    ("module", "text", "expected"),
    [
        ("sige_mlx.models.ddpm", "from sige_mlx.engine import Engine", ["sige_mlx.engine"]),
        ("sige_mlx.models.ddpm", "import sige_mlx.masks.tiles as tiles", ["sige_mlx.masks.tiles"]),
        ("sige_mlx.models.ddpm", "from sige_mlx import nn, zoo", ["sige_mlx.zoo"]),
        ("sige_mlx.nn.layers", "def f():\n    from sige_mlx.graph.trace import trace", ["sige_mlx.graph.trace"]),
        ("sige_mlx.graph.trace", "if TYPE_CHECKING:\n    from sige_mlx.zoo import Network", ["sige_mlx.zoo"]),
        (
            "sige_mlx.engine.gpu.executor",
            "from sige_mlx.engine.native import weights",
            ["sige_mlx.engine.native.weights"],
        ),
        (
            "sige_mlx.engine.gpu.executor",
            "from ..native.weights import PackedWeights",
            ["sige_mlx.engine.native.weights"],
        ),
        ("sige_mlx.engine.native.pool", "from ..gpu import trust", ["sige_mlx.engine.gpu.trust"]),
        ("sige_mlx.engine.gpu.executor", "from sige_mlx.engine.engine import Engine", ["sige_mlx.engine.engine"]),
        ("sige_mlx.engine.engine", "from sige_mlx.families import FAMILIES", ["sige_mlx.families"]),
        ("sige_mlx.editing.session", "from sige_mlx.cli import terminal", ["sige_mlx.cli.terminal"]),
        ("sige_mlx.converters.convert", "from sige_mlx.engine import Engine", ["sige_mlx.engine"]),
        ("sige_mlx.converters.convert", "import converters.source", ["converters.source"]),
        ("sige_mlx.errors", "from sige_mlx.masks import dilate", ["sige_mlx.masks"]),
        ("sige_mlx.cli.doctor", "from benchmarks.simulated.device import Simulated", ["benchmarks.simulated.device"]),
        ("sige_mlx.cli.doctor", "from metal import sim", ["metal.sim"]),
        ("sige_mlx.cli.doctor", "from sige_mlx.metal import sim", ["sige_mlx.metal"]),
        ("sige_mlx.cli.doctor", "import tests.tiny", ["tests.tiny"]),
        ("metal.sim.run", "from sige_mlx.errors import SigeError", ["sige_mlx.errors"]),
        ("benchmarks.recipes.training", "from tests.tiny import CONFIG", ["tests.tiny"]),
        ("benchmarks.torch_models.pd_unet", "from sige_mlx.models.pd import PDConfig", ["sige_mlx.models.pd"]),
        ("benchmarks.frozen.run", "from sige_mlx.engine import Engine\nimport mlx.core, numpy, typer", []),
        ("sige_mlx.cli.doctor", "from sige_mlx.engine.gpu import launch\nfrom . import terminal", []),
    ],
)
def test_one_the_wrong_way_is_found(module: str, text: str, expected: list[str]) -> None:
    assert wrong(module, text) == expected


def test_a_new_part_must_say_what_it_may_import() -> None:
    with pytest.raises(AssertionError, match=r"^sige_mlx\.novel\.thing belongs to no part"):
        wrong("sige_mlx.novel.thing", "import os")


def test_kernels_know_nothing_of_python() -> None:
    """Those for the CPU, and those for the GPU but for the tool that compiles them here."""
    sources = [path for folder in ("cpu", "metal") for path in (ROOT / folder).rglob("*") if path.is_file()]
    sources = [path for path in sources if "sim" not in path.parts]
    assert len(sources) > 50 and not [path for path in sources if path.suffix == ".py"]
    assert not [path for path in sources if "Python.h" in path.read_text("utf-8")]
