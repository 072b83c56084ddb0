"""The project's files agree with each other."""

from __future__ import annotations

import re
import sys
from importlib.metadata import metadata, version
from pathlib import Path
from typing import Any

import pytest
import yaml

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    with open(ROOT / "pyproject.toml", "rb") as f:
        content: dict[str, Any] = tomllib.load(f)["project"]
    return content


def make_targets() -> set[str]:
    return set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def test_installed_version_is_the_one_in_pyproject(project: dict[str, Any]) -> None:
    assert version("sige-mlx") == project["version"], "pyproject.toml changed: run make"


def test_version_is_written_once(project: dict[str, Any]) -> None:
    sources = [p for folder in ("sige_mlx", "converters", "cpu") for p in (ROOT / folder).rglob("*") if p.is_file()]
    literal = re.compile(rf"version.*\b{re.escape(project['version'])}\b", re.IGNORECASE)
    texts = {p: p.read_text() for p in sources if p.suffix in {".py", ".c", ".h", ".txt"}}
    assert texts
    assert [p for p, text in texts.items() if literal.search(text)] == []


def test_python_floor_is_the_same_everywhere(project: dict[str, Any]) -> None:
    floor = project["requires-python"].removeprefix(">=")
    major, minor = floor.split(".")
    assert f"({major}, {minor})" in (ROOT / "Makefile").read_text()
    assert f"Python {floor} or newer" in (ROOT / "README.md").read_text()
    assert metadata("sige-mlx")["Requires-Python"] == f">={floor}"


def test_make_commands_of_the_makefile_exist() -> None:
    told = set(re.findall(r"^# +(?:.*;  )?make ([a-z-]+)  ", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert {"test", "docs"} <= told <= make_targets()


def test_ci_begins_with_the_two_commands_of_the_readme() -> None:
    """On what a stranger has: before anything is installed, and without what this machine happens to have."""
    script = (ROOT / ".ci" / "run").read_text()
    commands = re.findall(r"^(?:step|packages|make|\S*\.ci/bare) .*", script, re.MULTILINE)
    assert commands[0].startswith("step") and commands[1].startswith(".ci/bare make demo test ")
    assert any(command.startswith("packages ") for command in commands[2:])


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda p: p.name)
def test_workflow(path: Path) -> None:
    workflow = yaml.safe_load(path.read_text())
    assert workflow["permissions"] == {"contents": "read"}
    for name, job in workflow["jobs"].items():
        assert "permissions" not in job or (path.stem, name) == ("release", "draft")
        if called := job.get("uses"):
            assert ROOT / called in WORKFLOWS
            continue
        assert "timeout-minutes" in job
        for step in job["steps"]:
            assert re.fullmatch(r"[\w-]+/[\w-]+@v\d+", step.get("uses", "actions/checkout@v5"))
            assert set(re.findall(r"\bmake ([a-z-]+)", step.get("run", ""))) <= make_targets()


def test_every_workflow_is_there() -> None:
    assert [p.stem for p in WORKFLOWS] == ["linux", "macos", "release", "wheels"]


@pytest.mark.parametrize("name", ["converters", "metal"])
def test_package_links_to_the_top_level_folder(name: str) -> None:
    link = ROOT / "sige_mlx" / name
    assert link.is_symlink()
    assert link.readlink() == Path("..", name), "a relative link: the checkout may be moved, or lie in an archive"
    assert link.resolve() == ROOT / name


@pytest.mark.parametrize("folder", ["sige_mlx", "converters"])
def test_folders_with_modules_are_packages(folder: str) -> None:
    """Else tools that read the package, and its own walk through its modules, do not see what is in them."""
    folders = {path.parent for path in (ROOT / folder).rglob("*.py")} - {ROOT / folder / "assets"}
    assert len(folders) > 3
    assert [str(f) for f in folders if not (f / "__init__.py").exists()] == []
