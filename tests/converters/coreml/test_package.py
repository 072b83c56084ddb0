"""Packages: what they hold, what they weigh, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("coremltools")

import coremltools as ct

from sige_mlx import zoo
from sige_mlx.converters.coreml import package
from sige_mlx.converters.coreml.package import ABOUT, export
from sige_mlx.errors import SigeError
from sige_mlx.models.resnet_generator import ResnetGeneratorConfig
from tests import tiny
from tests.converters.coreml import interpreter
from tests.converters.coreml.packages import as_given, error, nchw, needed
from tests.engine.compare import image


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> zoo.Pretrained:
    """It is wide enough for its weights to outweigh constants that tell one pixel from another."""
    config = ResnetGeneratorConfig(image_size=(32, 48), ngf=16, n_blocks=2)
    return zoo.load(tiny.write_tiny_model(tmp_path_factory.mktemp("model") / "resnet", config))


def weights(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("weight.bin"))


@pytest.mark.slow
def test_one_package_of_all_functions(network: zoo.Pretrained, tmp_path: Path) -> None:
    out = tmp_path / "Horse.mlpackage"
    made = export(network, out, buckets=(20, 60), precision="float32")
    assert made.functions == ("dense", "record", "edit_20", "edit_60", "tiles")
    alone = export(network, tmp_path / "Dense.mlpackage", kinds=["dense"], precision="float32")
    assert weights(out) <= 1.05 * weights(alone.path)
    model = ct.models.MLModel(str(out), skip_model_load=True)
    about = json.loads(model.user_defined_metadata[ABOUT])
    assert about["family"] == "resnet_generator" and about["image_size"] == [32, 48] and about["buckets"] == [20, 60]

    program, engine = interpreter.load(out), network.engine()
    mask = np.zeros(engine.image_size, np.bool_)
    mask[5:9, 30:40] = True
    assert needed(engine, mask) <= 20
    inputs = image(engine)
    engine.record(**inputs)
    recorded = interpreter.run(program, as_given(inputs), "record").outputs
    lists = interpreter.run(program, {"mask": mask[None, None].astype(np.float32)}, "tiles").outputs
    other = {name: np.where(mask[None, ..., None], -x, x) for name, x in inputs.items()}
    expected = nchw(engine.edit(engine.prepare(mask), **other))
    for name in ("edit_20", "edit_60"):
        given = {**recorded, **as_given(other)}
        for of, var in program.functions[name].inputs.items():
            if of in lists:
                given[of] = lists[of][: var.shape[0]]
        assert error(interpreter.run(program, given, name).outputs["output"], expected) <= 1e-5


@pytest.mark.slow
def test_a_folder_for_older_systems(network: zoo.Pretrained, tmp_path: Path) -> None:
    """Nothing in it is newer than macOS 13: version 7 of the format."""
    made = export(network, tmp_path / "horse", kinds=["dense", "tiles"], target="macos13")
    assert sorted(path.name for path in made.path.iterdir()) == ["dense.mlpackage", "tiles.mlpackage"]
    for path in made.path.iterdir():
        spec: Any = ct.models.MLModel(str(path), skip_model_load=True).get_spec()
        assert spec.specificationVersion <= 7
        operations = interpreter.load(path).functions["main"].operations
        assert not {op.inputs["dtype"].val for op in operations if op.op_type == "cast"} & {"int16", "uint16"}


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"kinds": ["dense", "tile"]}, "function 'tile' is none: choose of dense, record, edit, tiles"),
        ({"kinds": []}, "function '' is none: choose of dense, record, edit, tiles"),
        ({"precision": "int8"}, "precision 'int8' is none: choose float16 or float32"),
        ({"target": "ios"}, "target 'ios' is none: choose macos13 or macos15"),
        ({"buckets": (0, 3)}, "buckets are 0, 3: numbers from 1 on, each once, would be right"),
        ({"buckets": ()}, "buckets are none: numbers from 1 on, each once, would be right"),
    ],
)
def test_options_that_are_none(options: dict[str, Any], sentence: str, network: zoo.Pretrained, tmp_path: Path) -> None:
    with pytest.raises(SigeError) as raised:
        export(network, tmp_path / "a.mlpackage", **options)
    assert str(raised.value) == sentence
    assert not [*tmp_path.iterdir()]


def test_a_package_has_its_suffix(network: zoo.Pretrained, tmp_path: Path) -> None:
    with pytest.raises(SigeError, match=r"a package for Core ML is called NAME\.mlpackage$"):
        export(network, tmp_path / "a")


def test_what_is_there_stays(network: zoo.Pretrained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A conversion that fails leaves no half of a package, and others' files are not replaced."""
    out = tmp_path / "a.mlpackage"

    def fails(*_: Any) -> Any:
        raise SigeError("it cannot be said")

    monkeypatch.setattr(package, "converted", fails)
    with pytest.raises(SigeError, match="it cannot be said"):
        export(network, out)
    assert not [*tmp_path.iterdir()]
    out.mkdir()
    (out / "mine").write_text("kept")
    with pytest.raises(SigeError, match="holds other files"):
        export(network, out, force=True)
    assert (out / "mine").read_text() == "kept"
