"""Every command in the documents is one that there is, with options that it has."""

from __future__ import annotations

import importlib
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main

from sige_mlx.cli import app
from tests.documents import DOCUMENTS, ROOT, blocks, commands, name, spread_pictures

VERBS = typer.main.get_command(app)
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
OURS = re.compile(r"^(?:\S*/)?(?:sige-mlx |python -m (?:sige_mlx|benchmarks|tests|docs)\b)|^make\b")


def inline(text: str) -> Iterator[str]:
    """Commands within sentences."""
    for block in set(blocks(text)):
        text = text.replace(block.text, "")
    return (re.sub(r"\s+", " ", code) for code in re.findall(r"`([^`]+)`", text) if OURS.match(code))


def check(command: str) -> None:
    """Raises where a command, or an option of it, is none."""
    words = [word for word in shlex.split(command) if not re.fullmatch(r"[A-Z_]+=\S*", word)]
    if words[0] == "make":
        assert {word for word in words[1:] if not re.match(r"[A-Z]+=", word)} <= TARGETS, command
    elif words[0].endswith("sige-mlx"):
        check_options(VERBS, words[1:])
    elif "-m" in words[:2] and words[words.index("-m") + 1].split(".")[0] in ("benchmarks", "docs"):
        module, arguments = words[words.index("-m") + 1], words[words.index("-m") + 2 :]
        if module == "benchmarks.simulated":
            check_options(VERBS, arguments[1:])
        else:
            check_module(module, arguments)


def check_module(module: str, arguments: list[str]) -> None:
    folder = ROOT.joinpath(*module.split("."))
    assert (folder / "__main__.py").exists() or folder.with_suffix(".py").exists(), module
    if not any(word.startswith("-") for word in arguments):
        return
    main = importlib.import_module(f"{module}.__main__").main
    of = typer.Typer(add_completion=False)
    of.command()(main)
    check_options(typer.main.get_command(of), arguments)


def check_options(command: Any, words: list[str]) -> None:
    while getattr(command, "commands", None) and words and not re.match("-|[A-Z]+$", words[0]):
        assert words[0] in command.commands, f"there is no verb {words[0]}"
        command, words = command.commands[words[0]], words[1:]
    known = {option for p in command.params for option in (*p.opts, *p.secondary_opts)} | {"--help", "--version"}
    assert {word.split("=")[0] for word in words if re.match(r"--?[a-z]", word)} <= known, words


@pytest.mark.parametrize("document", [path for path in DOCUMENTS if path.name != "CHANGELOG.md"], ids=name)
def test_commands_exist(document: Path) -> None:
    text = document.read_text("utf-8")
    for command in (*commands(text), *inline(text)):
        for part in re.split(r" && | \|\| ", command):
            if OURS.match(re.sub(r"^(?:[A-Z_]+=\S* )+", "", part)):
                check(part)


@pytest.mark.parametrize(
    "command",
    [
        "make tset",
        "sige-mlx edti --out c.png",
        "sige-mlx edit --colour red",
        ".venv/bin/python -m benchmarks.against --peer torch",
        "python -m benchmarks.nothing",
    ],
)
def test_one_that_does_not_exist_is_found(command: str) -> None:
    with pytest.raises(AssertionError):
        check(command)


def test_the_examples_of_the_readme(tmp_path: Path) -> None:
    """One after another, as they are written, in a folder with the package's pictures."""
    text = (ROOT / "README.md").read_text("utf-8")
    (tmp_path / "sige_mlx").mkdir()
    (tmp_path / "sige_mlx" / "assets").symlink_to(ROOT / "sige_mlx" / "assets")
    run = tmp_path / "sige-mlx"
    run.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m sige_mlx "$@"\n')
    run.chmod(0o755)
    scripts = [block.text for block in blocks(text) if block.language == "sh" and "make " not in block.text]
    assert len(scripts) == 2
    environment = {**os.environ, "SIGE_MLX_CACHE": str(tmp_path / "cache")}
    for script in scripts:
        told = script.replace(".venv/bin/sige-mlx", str(run))
        subprocess.run(["sh", "-ec", told], cwd=tmp_path, env=environment, check=True, capture_output=True)
    assert {"new.png", "sea.sige", "coast.png", "report.png"} <= {path.name for path in tmp_path.iterdir()}


def test_the_edit_of_the_page_on_photographs(tmp_path: Path) -> None:
    """The first command of the page runs where its pictures are."""
    text = (ROOT / "docs" / "pages" / "edit-a-photograph.md").read_text("utf-8")
    first = shlex.split(next(commands(text)))
    assert first[0] == "sige-mlx"
    spread_pictures(tmp_path)
    subprocess.run([sys.executable, "-m", "sige_mlx", *first[1:]], cwd=tmp_path, check=True, capture_output=True)
    assert (tmp_path / "new.png").exists()
