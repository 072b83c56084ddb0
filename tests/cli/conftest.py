"""Verbs run in this process, on a small model and pictures of its size."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from sige_mlx.cli import app
from tests.tiny import TRANSLATION_CONFIG, original, painted, write_tiny_model


@dataclass(frozen=True)
class Ended:
    """How a command ended and what it said."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        parsed: dict[str, Any] = json.loads(self.out)
        return parsed

    @property
    def sentence(self) -> str:
        """What was said of bad input: one line on stderr, nothing on stdout, status 1."""
        assert (self.status, self.out) == (1, ""), self
        assert self.err.startswith("sige-mlx: ") and self.err.count("\n") == 1, self.err
        return self.err.strip()


Run = Callable[..., Ended]
Edit = Callable[..., Ended]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def command(*arguments: object) -> Ended:
        with pytest.raises(SystemExit) as left:
            app([str(argument) for argument in arguments], prog_name="sige-mlx")
        said = capsys.readouterr()
        return Ended(int(left.value.code or 0), said.out, said.err)

    return command


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="session")
def translator(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that translates pictures, nominally of another size than the fixture `pictures` has."""
    return write_tiny_model(tmp_path_factory.mktemp("models") / "translator", TRANSLATION_CONFIG)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder with `a.png`, the original, and `b.png`, painted into."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    Image.fromarray(original()).save(folder / "a.png")
    Image.fromarray(painted()).save(folder / "b.png")
    return folder


@pytest.fixture
def edit(run: Run, model: Path, pictures: Path, tmp_path: Path) -> Edit:
    """`sige-mlx edit` of the pictures; keywords replace or add options, None takes one away, True gives a flag."""

    def command(**replaced: object) -> Ended:
        given: dict[str, object] = {
            "model": model,
            "original": pictures / "a.png",
            "edited": pictures / "b.png",
            "out": tmp_path / "c.png",
            "steps": 3,
            **replaced,
        }
        arguments: list[object] = []
        for name, value in given.items():
            if value is not None:
                arguments += [f"--{name}"] if value is True else [f"--{name}", value]
        return run("edit", *arguments)

    return command


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}
