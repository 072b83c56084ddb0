"""The command as a process: start-up, help, version, and how it ends."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sige_mlx.cli import app
from tests.cli.conftest import Run

VERBS = ("demo", "edit", "session", "convert", "models", "info", "bench", "doctor")


def python(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-c", script, *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_help_is_not_slowed_by_what_it_does_not_need() -> None:
    heavy = "{'mlx.core', 'numpy', 'PIL.Image', 'safetensors'}"
    ended = python(f"import sys, sige_mlx.cli; print({heavy} & set(sys.modules))")
    assert ended.stdout == "set()\n", ended.stderr


def test_the_command_lists_its_verbs() -> None:
    ended = python("from sige_mlx.cli import main; main()", "--help")
    assert ended.returncode == 0
    assert all(f"│ {verb}" in ended.stdout for verb in VERBS)


def test_a_mistyped_path_in_a_real_process(tmp_path: Path) -> None:
    options = ["--original", "typo.png", "--edited", "typo.png", "--out", str(tmp_path / "c.png")]
    ended = python("from sige_mlx.cli import main; main()", "edit", *options)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr == "sige-mlx: typo.png: there is no such file\n"


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_itself(run: Run, verb: str) -> None:
    ended = run(verb, "--help")
    assert ended.status == 0
    assert "--json" in ended.out


def test_every_option_is_explained() -> None:
    import typer

    for verb in typer.main.get_command(app).commands.values():  # type: ignore[attr-defined]
        for parameter in verb.params:
            assert getattr(parameter, "help", None), f"{verb.name} {parameter.name}"


def test_an_unknown_option_is_named(run: Run) -> None:
    ended = run("edit", "--colour")
    assert ended.status == 2
    assert "--colour" in ended.err


def test_ctrl_c_ends_with_130(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("sige_mlx.zoo.network", interrupted)
    ended = run("info")
    assert (ended.status, ended.out) == (130, "")
    assert ended.err == "sige-mlx: interrupted; nothing half-written is left\n"


def test_a_failure_of_the_gpu_is_one_sentence(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise RuntimeError("[METAL] Command buffer execution failed: Insufficient Memory.\nmore")

    monkeypatch.setattr("sige_mlx.zoo.network", fails)
    ended = run("info", "--model", "ddpm-church-256")
    assert ended.sentence == (
        "sige-mlx: MLX could not go on: [METAL] Command buffer execution failed: Insufficient Memory."
    )
