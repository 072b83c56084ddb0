import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sige_mlx import zoo
from sige_mlx.editing import EditSession
from sige_mlx.engine import Engine, recordings
from tests.cli.conftest import Edit, names
from tests.privileges import as_an_owner
from tests.tiny import SIZE, original, painted, tiny_engine


def test_edit_writes_the_sessions_result_and_tells_its_cost(edit: Edit, tmp_path: Path) -> None:
    ended = edit()
    expected = EditSession(tiny_engine(), original(), steps=3).edit(painted(), once=True)
    assert np.array_equal(np.asarray(Image.open(tmp_path / "c.png")), expected.image)
    assert ended.status == 0
    for words in ("edited pixels", "GMACs, 3 steps", "seconds, 3 steps", "which is cheapest for one edit", "c.png is"):
        assert words in ended.out
    assert "tiles at" not in ended.out


def test_one_edit_is_the_dense_pass_and_records_nothing(edit: Edit, monkeypatch: pytest.MonkeyPatch) -> None:
    passes = []
    run = Engine.__call__
    monkeypatch.setattr(Engine, "__call__", lambda *a, **k: (passes.append(a), run(*a, **k))[1])
    monkeypatch.setattr(Engine, "record", lambda *_, **__: pytest.fail("recorded"))
    numbers = edit(json=True).json
    assert len(passes) == numbers["steps"] == 3
    assert numbers["way"] == "dense pass" and numbers["recording_seconds"] == 0
    assert numbers["session_macs"] < numbers["macs"] == numbers["dense_macs"]


def test_a_compared_edit_is_one_in_tiles(edit: Edit) -> None:
    ended = edit(compare=True)
    assert "tiles at 32 × 32" in ended.out and "seconds recording, and in all" in ended.out


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
    expected = EditSession(tiny_engine(), original(), steps=3, seed=5, sampler="ddpm", strength=0.7).edit(
        painted(), once=True
    )
    assert np.array_equal(np.asarray(Image.open(tmp_path / "c.png")), expected.image)


def test_the_threshold_is_the_engines(edit: Edit, model: Path, tmp_path: Path) -> None:
    own = edit(compare=True, json=True).json["macs"]
    assert edit(threshold=16, compare=True, json=True).json["macs"] < own
    pretrained = zoo.load(model)
    expected = EditSession(pretrained.engine(policy=pretrained.policy(16)), original(), steps=3).edit(painted())
    assert np.array_equal(np.asarray(Image.open(tmp_path / "c.png")), expected.image)


def test_the_quality_is_the_policys(edit: Edit, model: Path, tmp_path: Path) -> None:
    exact = edit(quality="exact", compare=True, json=True).json
    assert exact["way"] == "dense pass" and exact["difference"] == 0 and exact["macs"] == exact["dense_macs"]
    pretrained = zoo.load(model)
    assert pretrained.policy().large_from < 60 / SIZE**2  # the edit is a large one
    pictures = []
    for quality in ("balanced", "fast"):
        edit(quality=quality, compare=True)
        pictures.append(np.asarray(Image.open(tmp_path / "c.png")))
        session = EditSession(pretrained.engine(policy=pretrained.policy(quality=quality)), original(), steps=3)
        assert np.array_equal(pictures[-1], session.edit(painted()).image)
    assert not np.array_equal(*pictures)


def test_a_fill_invents_what_is_under_a_mask(edit: Edit, pictures: Path, tmp_path: Path) -> None:
    mask = np.zeros((SIZE, SIZE), np.uint8)
    mask[8:16, 8:20] = 255
    Image.fromarray(mask).save(pictures / "m.png")
    opened = EditSession(tiny_engine(), original(), steps=3, fill=True)
    for given in ({"edited": None}, {}):  # what was painted is not seen
        assert edit(fill=True, mask=pictures / "m.png", **given).status == 0
        found = np.asarray(Image.open(tmp_path / "c.png"))
        assert np.array_equal(found, opened.edit(original(), mask, once=True).image)
    assert np.array_equal(found[mask == 0], original()[mask == 0]) and not np.array_equal(found, original())
    assert edit(fill=True, json=True).json["edited"] == 60 / SIZE**2  # where the pictures differ


def test_pictures_that_do_not_differ(edit: Edit, pictures: Path, tmp_path: Path) -> None:
    ended = edit(edited=pictures / "a.png")
    assert "Nothing was edited" in ended.out
    assert np.array_equal(np.asarray(Image.open(tmp_path / "c.png")), original())


@pytest.mark.parametrize("option", ["out", "report"])
@pytest.mark.parametrize("through", ["name", "symbolic link", "hard link", "relative"])
def test_an_input_is_never_replaced(
    edit: Edit, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, option: str, through: str
) -> None:
    before = {path.name: path.read_bytes() for path in pictures.iterdir()}
    target = pictures / "b.png"
    if through == "symbolic link":
        (tmp_path / "link.png").symlink_to(target)
        target = tmp_path / "link.png"
    elif through == "hard link":
        os.link(target, tmp_path / "link.png")
        target = tmp_path / "link.png"
    elif through == "relative":
        monkeypatch.chdir(pictures)
        target = Path("../pictures/b.png")
    assert f"{target} is what the result is made from: give it another name" in edit(**{option: target}).sentence
    Image.fromarray(painted()).save(pictures / "m.png")
    assert "m.png is what the result is made from" in edit(out=pictures / "m.png", mask=pictures / "m.png").sentence
    (pictures / "m.png").unlink()
    assert {path.name: path.read_bytes() for path in pictures.iterdir()} == before


def test_a_failed_edit_leaves_its_inputs(edit: Edit, pictures: Path) -> None:
    (pictures / "c.png").write_bytes(b"of an edit before")
    assert "the strength is 2" in edit(out=pictures / "c.png", strength=2).sentence
    assert (pictures / "c.png").read_bytes() == b"of an edit before"


@pytest.mark.parametrize(
    ("replaced", "words"),
    [
        ({"original": "{pictures}/typo.png"}, "typo.png: there is no such file"),
        ({"edited": "{pictures}"}, "is a folder: a picture file is wanted"),
        ({"edited": "{pictures}/text.png"}, "text.png is not a picture"),
        ({"original": "{pictures}/dot.png"}, "b.png is 32×32 pixels (width × height): the original is 1×1, and both"),
        ({"edited": "{pictures}/dot.png"}, "dot.png is 1×1 pixels (width × height): the original is 32×32, and both"),
        ({"window": "1,2"}, "--window is '1,2': it must be X,Y,SIZE, three whole numbers"),
        ({"window": "1,0,32"}, "a window of 32×32 pixels from x = 1, y = 0 does not fit"),
        ({"scale": 0.5}, "the scale is 0.5: it must be from 1"),
        ({"scale": 2, "window": "0,0,32"}, "a window has a scale: give one of the two"),
        (
            {"mask": "{pictures}/dot.png"},
            "dot.png is 1×1 pixels (width × height): its picture is 32×32, and both",
        ),
        ({"mask": "{pictures}/typo.png"}, "there is no such file"),
        ({"out": "{pictures}/c.xyz"}, "the extension '.xyz' names no picture format"),
        ({"out": "{pictures}"}, "is a folder: the name of a file is wanted"),
        ({"out": "{pictures}/c.pgm"}, "names no picture format that holds a result; .png, .tiff or .webp would be"),
        ({"out": "{pictures}/c.h5"}, "names no picture format"),
        ({"out": "/dev/null"}, "is no file, which is written whole or not at all"),
        ({"out": "{pictures}/" + "n" * 252 + ".png"}, "cannot be written: File name too long"),
        ({"report": "{pictures}/" + "n" * 252 + ".png"}, "cannot be written: File name too long"),
        ({"report": "{pictures}/../C.PNG"}, "must be two files"),
        ({"out": "{pictures}/missing/c.png"}, "there is no folder"),
        ({"report": "{pictures}/missing/c.png"}, "there is no folder"),
        ({"report": "{pictures}/../c.png"}, "must be two files"),
        ({"model": "nosuch"}, "'nosuch' is neither a model's name"),
        ({"model": ""}, "is neither a model's name"),
        ({"model": "ddpm-church-256"}, "the weights of ddpm-church-256 are not on this machine"),
        ({"model": "{pictures}/text.png"}, "is a file: run `sige-mlx convert"),
        ({"steps": 0}, "the number of steps is 0"),
        ({"steps": 501}, "from 1 to 500"),
        ({"strength": 0}, "the strength is 0"),
        ({"strength": 2}, "the strength is 2"),
        ({"strength": "nan"}, "the strength is nan"),
        ({"seed": -1}, "the seed is -1"),
        ({"sampler": "euler"}, "must be one of ddim, ddpm, dpm-solver"),
        ({"device": "tpu"}, "choose cpu, gpu or reference"),
        ({"threads": -5}, "threads is -5: it must be 0 or more"),
        ({"threshold": -5}, "the threshold of planes is -5: it must be 1 or more"),
        ({"tolerance": -1}, "--tolerance is -1.0: it must be from 0 to 255"),
        ({"tolerance": "nan"}, "--tolerance is nan"),
        ({"tolerance": 1, "mask": "{pictures}/a.png"}, "it does not go with --mask"),
        ({"quality": "best"}, "the quality is 'best': it is fast, balanced or exact"),
        ({"fill": True, "edited": None}, "--fill invents a part of --original: give that, and --mask or --edited"),
        ({"fill": True, "original": None}, "--fill invents a part of --original: give that, and --mask or --edited"),
        ({"fill": True, "strength": 0.5}, "the strength is 0.5: a fill begins from noise alone"),
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
    monkeypatch.setattr(Engine, "record", lambda *_, **__: pytest.fail("the network ran"))
    assert "closed is read-only" in as_an_owner(lambda: edit(out=closed / "c.png").sentence)
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
    monkeypatch.setattr(recordings, "physical_memory", lambda: 1 << 20)
    monkeypatch.setattr(recordings, "room", lambda folder: 0)
    assert "take at most" in edit(steps=20, compare=True).sentence
    assert names(tmp_path) == {"pictures"}


def test_memory_that_runs_out_on_the_way(edit: Edit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def record(*_: object, **__: object) -> None:
        raise MemoryError("the CPU engine ran out of memory")

    monkeypatch.setattr(Engine, "record", record)
    assert "ran out of memory" in edit(compare=True).sentence
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
        [sys.executable, "-c", script, "edit", *options, "--steps", "400", "--compare"],
        cwd=pictures,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "recording\n"
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=600)
    assert process.returncode == 130
    assert err == "sige-mlx: interrupted; nothing half-written is left\n"
    assert names(tmp_path) == {"pictures"}
    assert names(pictures) == {"a.png", "b.png"}
