"""What `import sige_mlx` offers."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import sige_mlx
from sige_mlx.editing.container import Container, write
from sige_mlx.editing.saved import PURPOSE
from tests.tiny import LABEL_CONFIG, TRANSLATION_CONFIG, labels, original, painted, tiny_engine, write_tiny_model


def test_every_name_is_there_and_told_to_type_checkers() -> None:
    for name in sige_mlx.__all__:
        assert getattr(sige_mlx, name).__doc__ and name in dir(sige_mlx)
    text = Path(sige_mlx.__file__).read_text("utf-8")
    told = {n.asname for node in ast.walk(ast.parse(text)) if isinstance(node, ast.ImportFrom) for n in node.names}
    assert set(sige_mlx.__all__) == told - {None}
    with pytest.raises(AttributeError, match="has no attribute 'edit'"):
        sige_mlx.edit  # noqa: B018


def test_it_imports_nothing_before_it_is_asked() -> None:
    script = "import sys, sige_mlx; print('mlx' in sys.modules, 'numpy' in sys.modules)"
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ended.stdout.split() == ["False", "False"]


def test_three_lines(tmp_path: Path) -> None:
    folder = write_tiny_model(tmp_path / "tiny")
    session = sige_mlx.load(folder).session(original(), steps=2)
    image = session.edit(painted()).image
    assert np.array_equal(image, sige_mlx.EditSession(tiny_engine(), original(), steps=2).edit(painted()).image)
    session.commit()
    session.save(tmp_path / "s.sige")
    again = sige_mlx.load(folder).open(tmp_path / "s.sige")
    assert isinstance(again, sige_mlx.EditSession) and np.array_equal(again.original, image)


def test_a_model_opens_what_it_is_for(tmp_path: Path) -> None:
    """A picture of any size, or a label map; sessions of one model share an engine where it has one size."""
    large = np.tile(original(), (3, 4, 1))
    model = sige_mlx.load(write_tiny_model(tmp_path / "tiny"), threads=1)
    one, other = model.session(large, steps=1), model.session(original(), steps=1, seed=3)
    assert one.engine is other.engine and one.size == large.shape[:2]
    labelled = sige_mlx.load(write_tiny_model(tmp_path / "labels", LABEL_CONFIG))
    assert isinstance(labelled.session(np.tile(labels(), (2, 2))), sige_mlx.LabelSession)
    translates = sige_mlx.load(write_tiny_model(tmp_path / "translator", TRANSLATION_CONFIG))
    opened = translates.session(large)
    assert isinstance(opened, sige_mlx.TranslationSession) and opened.engine.image_size == large.shape[:2]
    half = translates.session(large, scale=2)
    assert half.engine.image_size == (48, 64) and half.windows[0].scale == 2
    half.save(tmp_path / "s.sige")
    assert translates.open(tmp_path / "s.sige").engine.image_size == (48, 64)


def test_a_file_whose_network_would_see_more_than_its_picture(tmp_path: Path) -> None:
    """It would have an engine made for a picture that nobody has."""
    translates = sige_mlx.load(write_tiny_model(tmp_path / "translator", TRANSLATION_CONFIG))
    translates.session(original()).save(tmp_path / "s.sige")
    file = Container(tmp_path / "s.sige", PURPOSE)
    arrays = {name: file.array(name).copy() for name in ("given.pixels", "given.rgb")}
    for size in ([64, 64], [1 << 15, 1 << 15], [4], "large"):
        write(tmp_path / "s.sige", PURPOSE, arrays, {**file.told, "size": size})
        with pytest.raises(sige_mlx.SigeError, match=r"s\.sige is damaged"):
            translates.open(tmp_path / "s.sige")


def test_a_translation_is_seen_at_the_scale_that_memory_has_room_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    large = np.tile(original(), (8, 8, 1))
    translates = sige_mlx.load(write_tiny_model(tmp_path / "translator", TRANSLATION_CONFIG))
    whole = translates.session(large)
    needed = whole.engine.recordings.step_nbytes("int8")
    for share, scale in ((1.0, 1), (0.9, 2), (0.2, 3), (0.01, 16)):
        budget = int(share * needed)
        monkeypatch.setattr("sige_mlx.engine.recordings.Recordings.limit", property(lambda _, budget=budget: budget))
        assert round(translates.session(large).windows[0].scale) == scale


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"device": "abacus"}, "device 'abacus' is none"),
        ({"quality": "best"}, "best"),
    ],
)
def test_options_that_there_are_not(tmp_path: Path, options: dict[str, str], sentence: str) -> None:
    with pytest.raises(sige_mlx.SigeError, match=sentence):
        sige_mlx.load(write_tiny_model(tmp_path / "tiny"), **options).session(original())
