import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sige_mlx import zoo
from sige_mlx.editing import EditSession, recording
from sige_mlx.engine import Engine
from tests.cli.conftest import Ended, Run
from tests.tiny import SIZE, original, painted, tiny_engine

Edit = Callable[..., Ended]


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


def test_edit_writes_the_sessions_result_and_tells_its_cost(edit: Edit, tmp_path: Path) -> None:
    ended = edit()
    expected = EditSession(tiny_engine(), original(), steps=3).edit(painted())
    assert np.array_equal(np.asarray(Image.open(tmp_path / "c.png")), expected.image)
    assert ended.status == 0
    for words in ("edited pixels", "tiles at 32 × 32", "GMACs, 3 steps", "seconds, 3 steps", "c.png is written"):
        assert words in ended.out


def test_json_is_alone_on_stdout(edit: Edit, tmp_path: Path) -> None:
    ended = edit(json=True, compare=True, report=tmp_path / "report.png")
    assert ended.err == ""
    numbers = ended.json
    assert numbers["tiles"]["32x32"] == [15, 64]
    assert numbers["edited"] == 60 / SIZE**2
    assert 0 < numbers["macs"] < numbers["dense_macs"]
    assert min(numbers["seconds"], numbers["dense_seconds"], numbers["recorded_seconds"]) > 0
    assert 0 <= numbers["difference"] < 20
    assert names(tmp_path) == {"c.png", "report.png", "pictures"}


def test_a_drawn_mask_decides(edit: Edit, pictures: Path) -> None:
    mask = np.zeros((SIZE, SIZE), np.uint8)
    mask[0:4, 0:8] = 255
    Image.fromarray(mask).save(pictures / "m.png")
    assert edit(mask=pictures / "m.png", json=True).json["edited"] == 32 / SIZE**2


def test_settings_reach_the_session(edit: Edit, tmp_path: Path) -> None:
    edit(seed=5, sampler="ddpm", strength=0.7)
    expected = EditSession(tiny_engine(), original(), steps=3, seed=5, sampler="ddpm", strength=0.7).edit(painted())
    assert np.array_equal(np.asarray(Image.open(tmp_path / "c.png")), expected.image)


def test_the_threshold_is_the_engines(edit: Edit, model: Path, tmp_path: Path) -> None:
    own = edit(json=True).json["macs"]
    assert edit(threshold=16, json=True).json["macs"] < own
    pretrained = zoo.load(model)
    expected = EditSession(pretrained.engine(policy=pretrained.policy(16)), original(), steps=3).edit(painted())
    assert np.array_equal(np.asarray(Image.open(tmp_path / "c.png")), expected.image)


def test_pictures_that_do_not_differ(edit: Edit, pictures: Path, tmp_path: Path) -> None:
    ended = edit(edited=pictures / "a.png")
    assert "Nothing was edited" in ended.out
    assert np.array_equal(np.asarray(Image.open(tmp_path / "c.png")), original())


def test_the_result_may_replace_an_input(edit: Edit, pictures: Path) -> None:
    assert edit(out=pictures / "b.png").status == 0
    assert not np.array_equal(np.asarray(Image.open(pictures / "b.png")), painted())
    assert names(pictures) == {"a.png", "b.png"}


def test_a_failed_edit_leaves_its_inputs(edit: Edit, pictures: Path) -> None:
    before = (pictures / "b.png").read_bytes()
    assert "the strength is 2" in edit(out=pictures / "b.png", strength=2).sentence
    assert (pictures / "b.png").read_bytes() == before


@pytest.mark.parametrize(
    ("replaced", "words"),
    [
        ({"original": "{pictures}/typo.png"}, "typo.png: there is no such file"),
        ({"edited": "{pictures}"}, "is a folder: a picture file is wanted"),
        ({"edited": "{pictures}/text.png"}, "text.png is not a picture"),
        ({"original": "{pictures}/dot.png"}, "the original is 1×1 pixels"),
        ({"edited": "{pictures}/dot.png"}, "the edited image is 1×1 pixels"),
        ({"mask": "{pictures}/dot.png"}, "the mask is 1×1 and its image 32×32"),
        ({"mask": "{pictures}/typo.png"}, "there is no such file"),
        ({"out": "{pictures}/c.xyz"}, "the extension '.xyz' names no picture format"),
        ({"out": "{pictures}"}, "names no picture format"),
        ({"out": "{pictures}/missing/c.png"}, "there is no folder"),
        ({"report": "{pictures}/missing/c.png"}, "there is no folder"),
        ({"report": "{pictures}/../c.png"}, "must be two files"),
        ({"model": "nosuch"}, "'nosuch' is neither a model's name"),
        ({"model": ""}, "is neither a model's name"),
        ({"model": "ddpm-church-256"}, "the weights of ddpm-church-256 are not on this machine"),
        ({"model": "{pictures}/text.png"}, "is a file: run `sige-mlx convert"),
        ({"steps": 0}, "0 steps were asked for"),
        ({"steps": 501}, "room for 1 to 500"),
        ({"strength": 0}, "the strength is 0"),
        ({"strength": 2}, "the strength is 2"),
        ({"strength": "nan"}, "the strength is nan"),
        ({"seed": -1}, "the seed is -1"),
        ({"sampler": "euler"}, "must be one of ddim, ddpm, dpm-solver"),
        ({"device": "tpu"}, "choose cpu, gpu or reference"),
    ],
)
def test_bad_input_is_one_sentence_before_anything_is_run(
    edit: Edit,
    pictures: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    replaced: dict[str, object],
    words: str,
) -> None:
    (pictures / "text.png").write_text("no picture")
    Image.new("RGB", (1, 1)).save(pictures / "dot.png")
    monkeypatch.setattr(Engine, "record", lambda *_, **__: pytest.fail("the network ran"))
    monkeypatch.setenv("SIGE_MLX_CACHE", str(tmp_path / "cache"))
    filled = {name: v.format(pictures=pictures) if isinstance(v, str) else v for name, v in replaced.items()}
    assert words in edit(**filled).sentence
    assert names(tmp_path) == {"pictures"}
    assert names(pictures) == {"a.png", "b.png", "text.png", "dot.png"}


def test_a_read_only_folder(edit: Edit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(0o555)
    if os.geteuid() == 0:  # root may write anywhere
        monkeypatch.setattr("os.access", lambda path, _: Path(path) != closed)
    monkeypatch.setattr(Engine, "record", lambda *_, **__: pytest.fail("the network ran"))
    assert "closed is read-only" in edit(out=closed / "c.png").sentence
    assert names(closed) == set()


def test_a_model_folder_with_weights_of_another_network(edit: Edit, model: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "config.json").write_text((model / "config.json").read_text().replace('"ch": 32', '"ch": 64'))
    (other / "model.safetensors").write_bytes((model / "model.safetensors").read_bytes())
    assert "the configuration wants" in edit(model=other).sentence
    (other / "model.safetensors").write_bytes(b"no weights")
    assert "cannot be read as safetensors" in edit(model=other).sentence
    (other / "config.json").write_text("{")
    assert "cannot be read as a model's configuration" in edit(model=other).sentence


def test_steps_that_do_not_fit_in_memory(edit: Edit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recording, "_physical_memory", lambda: 1 << 20)
    assert "take at most" in edit(steps=20).sentence
    assert names(tmp_path) == {"pictures"}


def test_memory_that_runs_out_on_the_way(edit: Edit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def record(*_: object, **__: object) -> None:
        raise MemoryError("the CPU engine ran out of memory")

    monkeypatch.setattr(Engine, "record", record)
    assert "ran out of memory" in edit().sentence
    assert names(tmp_path) == {"pictures"}


def test_ctrl_c_leaves_one_sentence_and_no_file(model: Path, pictures: Path, tmp_path: Path) -> None:
    """A real process and a real signal, sent while the original is being recorded."""
    script = """
import signal

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job inherits it ignored

from sige_mlx.engine import Engine

record = Engine.record

def announced(self, *args, **kwargs):
    print("recording", flush=True)
    return record(self, *args, **kwargs)

Engine.record = announced
from sige_mlx.cli import main
main()
"""
    options = ["--model", str(model), "--original", "a.png", "--edited", "b.png", "--out", str(tmp_path / "c.png")]
    process = subprocess.Popen(
        [sys.executable, "-c", script, "edit", *options, "--steps", "400"],
        cwd=pictures,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "recording\n"
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err == "sige-mlx: interrupted; nothing half-written is left\n"
    assert names(tmp_path) == {"pictures"}
    assert names(pictures) == {"a.png", "b.png"}
