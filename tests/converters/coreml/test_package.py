"""Packages: what they hold, what they weigh, and what is refused."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("coremltools")

import coremltools as ct

from sige_mlx import zoo
from sige_mlx.converters.coreml import interpreter, joined, package, saved
from sige_mlx.converters.coreml.calls import ABOUT, Calls, digest
from sige_mlx.converters.coreml.functions import Functions
from sige_mlx.converters.coreml.package import export
from sige_mlx.converters.coreml.tiles import tiles_function
from sige_mlx.errors import SigeError
from sige_mlx.models.resnet_generator import ResnetGeneratorConfig
from tests import tiny
from tests.converters.coreml.packages import as_given, error, nchw
from tests.engine.compare import image


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> zoo.Pretrained:
    """It is wide enough for its weights to outweigh constants that tell one pixel from another."""
    config = ResnetGeneratorConfig(image_size=(32, 48), ngf=16, n_blocks=2)
    return zoo.load(
        tiny.write_tiny_model(tmp_path_factory.mktemp("model") / "resnet", config, large="estimated", large_from=0.1)
    )


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Functions are only named: each is that of lists of tiles."""
    monkeypatch.setattr(Functions, "make", lambda of, name: tiles_function(of.lowered, of.edits, of.target))


def weights(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("weight.bin"))


def opened(path: Path) -> Calls:
    """The calls of a package that the interpreter runs."""
    held = saved.read(path)
    takes = {name: {of: kind.shape for of, kind in f.inputs.items()} for name, f in held.functions.items()}
    return Calls(lambda name, given: interpreter.run(held.functions[name], given).outputs, takes, held.about)


def picture(inputs: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Inputs as a package takes them whose image is a picture."""
    return {name: (x + 1) * np.float32(127.5) for name, x in as_given(inputs).items()}


def network_output(found: Any) -> np.ndarray:
    """What a network gives, of the picture that a package makes of it."""
    return np.asarray(found) / 127.5 - 1


@pytest.mark.slow
def test_one_package_of_all_functions(network: zoo.Pretrained, tmp_path: Path) -> None:
    """One edit fits a bucket of small edits, one that of large ones, whose statistics are estimated; one fits none."""
    out = tmp_path / "Horse.mlpackage"
    made = export(network, out, buckets=(12, 40), precision="float32")
    assert made.functions == ("dense", "record", "edit_12", "edit_40", "estimate", "tiles")
    alone = export(network, tmp_path / "Dense.mlpackage", kinds=["dense"], precision="float32")
    assert weights(out) <= 1.05 * weights(alone.path)

    calls = opened(out)
    assert calls.about["functions"]["edit_12"]["statistics"] == "recorded"
    assert calls.about["functions"]["edit_40"]["statistics"] == "estimated"
    policy = dataclasses.replace(network.policy(), large=None, dense_from=math.inf)
    inputs, sizes = None, {"edit_12": 2, "edit_40": 12, "dense": 24}
    for name, side in sizes.items():
        statistics = calls.about["functions"][name].get("statistics", "recorded")
        engine = network.engine("cpu", dataclasses.replace(policy, statistics=statistics))
        inputs = {of: np.clip(np.asarray(x), -1, 1) for of, x in image(engine).items()}
        recorded = calls.run("record", picture(inputs))
        expected = engine.record(**inputs)
        assert error(network_output(recorded["output"]), nchw(expected)) <= 1e-5
        mask = np.zeros(engine.image_size, np.bool_)
        mask[5 : 5 + side, 18 : 18 + side] = True
        other = {of: np.where(mask[None, ..., None], -x, x) for of, x in inputs.items()}
        lists = calls.lists(mask)
        found, output = calls(picture(other), recorded, lists)
        assert found == name
        result = nchw(engine.edit(engine.prepare(mask), **other))
        if name == "dense":
            result = np.where(lists["edited"] > 0, nchw(engine(**other)), nchw(expected))
        assert error(network_output(output), result) <= 1e-5
        if name == "dense":
            with pytest.raises(SigeError, match="an index is out of range"):
                calls.edit(calls.buckets[-1], picture(other), recorded, lists)


@pytest.mark.slow
def test_no_more_room_is_taken_than_was_asked_for(
    network: zoo.Pretrained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One package stands beside those that were joined, whose weights are one set: two, however many functions."""
    held: list[int] = []
    convert = package.converted

    def watched(function: Any, target: Any, path: Path) -> None:
        convert(function, target, path)
        held.append(sum(file.stat().st_size for file in tmp_path.rglob("weight*") if file.is_file()))

    monkeypatch.setattr(package, "converted", watched)
    made = export(network, tmp_path / "a.mlpackage", kinds=["dense", "record", "edit"], buckets=(12,))
    assert len(held) >= 3 and max(held) <= 2.05 * weights(made.path)


def test_weights_of_another_layout_are_refused(tmp_path: Path) -> None:
    """Rather than that other numbers are copied."""
    spec = ct.proto.Model_pb2.Model()
    spec.mlProgram.functions["main"].block_specializations["CoreML8"].operations.add(type="const").attributes[
        "val"
    ].blobFileValue.offset = 64
    (path := tmp_path / "a.mlpackage" / joined.WEIGHTS).parent.mkdir(parents=True)
    (path.parents[1] / joined.MODEL.name).write_bytes(spec.SerializeToString())
    path.write_bytes(bytes(256))
    with (
        joined.Joined(tmp_path / "weights") as whole,
        pytest.raises(SigeError, match="laid out in a way that is not known: no array at 64"),
    ):
        whole.take(tmp_path / "a.mlpackage", "main")


@pytest.mark.slow
def test_a_network_of_full_size(tmp_path: Path) -> None:
    """All functions of DDPM-256 in float16 take 250 MB at most, and nearly no more weights than one alone."""
    network = zoo.random("ddpm-church-256")
    made = export(network, tmp_path / "Church.mlpackage")
    assert made.functions == ("dense", "record", "edit_32", "edit_96", "edit_288", "tiles")
    assert made.nbytes == sum(file.stat().st_size for file in made.path.rglob("*") if file.is_file()) <= 250e6
    alone = export(network, tmp_path / "Dense.mlpackage", kinds=["dense"])
    assert weights(made.path) <= 1.05 * weights(alone.path)
    held = saved.read(made.path)
    assert {*held.functions} == {*made.functions}
    kinds = [
        of for name in ("dense", "edit_32") for op in held.functions[name].operations for of in op.outputs.values()
    ]
    assert {"float16"} <= {kind.dtype for kind in kinds} <= {"float16", "float32", "int32", "bool"}


@pytest.mark.slow
def test_what_a_package_says(network: zoo.Pretrained, tmp_path: Path) -> None:
    made = export(network, tmp_path / "a.mlpackage", kinds=["dense", "record", "tiles"])
    spec: Any = ct.models.MLModel(str(made.path), skip_model_load=True).get_spec()
    described = spec.description
    for part in described.functions:
        for feature in (*part.input, *part.output):
            assert feature.shortDescription, feature.name
    (dense,) = (part for part in described.functions if part.name == "dense")
    for feature in (*dense.input, *dense.output):
        kind = feature.type.imageType
        assert (kind.width, kind.height, kind.colorSpace) == (48, 32, kind.RGB)
    assert "license" in described.metadata.DESCRIPTOR.fields_by_name and described.metadata.license
    assert described.metadata.versionString and described.metadata.author == "sige-mlx"
    about = saved.read(made.path).about
    assert about == json.loads(described.metadata.userDefined[ABOUT])
    assert about["family"] == "resnet_generator" and about["image_size"] == [32, 48]
    assert about["weights_sha256"] == digest(network) and about["pictures"] == ["image", "output"]


@pytest.mark.slow
def test_a_folder_for_older_systems(network: zoo.Pretrained, tmp_path: Path) -> None:
    """Nothing in it is newer than macOS 13: version 7 of the format, and no integers of 16 bits."""
    made = export(network, tmp_path / "horse", kinds=["dense", "tiles"], target="macos13")
    assert sorted(path.name for path in made.path.iterdir()) == ["dense.mlpackage", "tiles.mlpackage"]
    held = saved.read(made.path)
    assert held.version <= 7 and [*held.functions] == ["dense", "tiles"]
    for function in held.functions.values():
        kinds = [of for op in function.operations for of in op.outputs.values()]
        assert not {kind.dtype for kind in kinds} & {"int16", "uint16"}
        assert not any(kind.state for kind in function.inputs.values())
        assert all(n > 0 for kind in kinds for n in kind.shape) and max(len(kind.shape) for kind in kinds) <= 5


@pytest.mark.slow
def test_states(network: zoo.Pretrained, tmp_path: Path) -> None:
    """Edits read the recording as states, which no function writes: an app fills them. Statistics, which states of
    float16 would spoil, stay arrays."""
    out = tmp_path / "a.mlpackage"
    export(network, out, buckets=(12, 40), state=True)
    made, plain = saved.read(out), tmp_path / "b.mlpackage"
    taken = made.functions["edit_40"].inputs
    assert {name for name, kind in taken.items() if kind.state} == {n for n in taken if n.startswith("recorded_")}
    assert all(kind.dtype == "float16" for kind in taken.values() if kind.state)
    for function in made.functions.values():
        assert not [op for op in function.operations if "write" in op.kind or "update" in op.kind]
        assert not {name for name, kind in function.inputs.items() if kind.state} & {*function.outputs}
    export(network, plain, buckets=(12, 40))
    engine = network.engine()
    inputs = picture({of: np.clip(np.asarray(x), -1, 1) for of, x in image(engine).items()})
    mask = np.zeros(engine.image_size, np.bool_)
    mask[5:14, 18:30] = True
    outputs = []
    for path in (out, plain):
        calls = opened(path)
        other = {of: np.where(mask, 255 - x, x) for of, x in inputs.items()}
        outputs.append(calls(other, calls.run("record", inputs), calls.lists(mask))[1])
    assert np.array_equal(*outputs)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"kinds": ["dense", "tile"]}, "function 'tile' is none: choose of dense, record, edit, tiles"),
        ({"kinds": []}, "function '' is none: choose of dense, record, edit, tiles"),
        ({"precision": "int8"}, "precision 'int8' is none: choose float16 or float32"),
        ({"target": "ios"}, "target 'ios' is none: choose macos13 or macos15"),
        ({"buckets": (0, 3)}, "buckets are 0, 3: numbers from 1 on, each once, would be right"),
        (
            {"state": True, "precision": "float32"},
            "states hold float16, from macOS 15 on: leave --state, or take float16 and macos15",
        ),
        ({"buckets": ()}, "buckets are none: numbers from 1 on, each once, would be right"),
        ({"buckets": (96, 32, 96)}, "buckets are 96, 32, 96: numbers from 1 on, each once, would be right"),
        ({"buckets": (0,), "kinds": ["tiles"]}, "buckets are 0: numbers from 1 on, each once, would be right"),
    ],
)
def test_options_that_are_none(options: dict[str, Any], sentence: str, network: zoo.Pretrained, tmp_path: Path) -> None:
    with pytest.raises(SigeError) as raised:
        export(network, tmp_path / "a.mlpackage", **options)
    assert str(raised.value) == sentence
    assert not [*tmp_path.iterdir()]


def test_buckets_are_sorted_and_end_with_all_tiles(network: zoo.Pretrained, tmp_path: Path, quick: None) -> None:
    """The largest plane has 8 x 12 tiles: buckets beyond are one of them all."""
    made = export(network, tmp_path / "a.mlpackage", kinds=["edit"], buckets=(10**20, 40, 200, 8))
    assert made.functions == ("edit_8", "edit_40", "edit_96", "estimate")


def test_parameters_beyond_float16(network: zoo.Pretrained, tmp_path: Path) -> None:
    """They are no infinities in a package, nor does one that is none yet stay behind."""
    for value, sentence in (
        (1e5, "a parameter reaches 1e.05, and float16 ends at 65504: take precision float32"),
        (np.nan, "a parameter is not finite"),
    ):
        spoilt = dataclasses.replace(network, load=lambda name, by=value: np.asarray(network.load(name)) * 0 + by)
        with pytest.raises(SigeError, match=sentence):
            export(spoilt, tmp_path / "a.mlpackage", kinds=["dense"])
    assert not [*tmp_path.iterdir()]


def test_a_full_disk(network: zoo.Pretrained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=1 << 10))
    with pytest.raises(SigeError, match=r"a\.mlpackage: the model takes \d+ MB, and 0 MB are free there"):
        export(network, tmp_path / "a.mlpackage")
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize("target", ["macos15", "macos13"])
def test_others_may_read_packages(target: str, network: zoo.Pretrained, tmp_path: Path) -> None:
    """As many as may read any new file: coremltools alone writes files for their owner."""
    made = export(network, tmp_path / "a.mlpackage", kinds=["tiles"], target=target)
    (plain := tmp_path / "plain").mkdir()
    (plain / "file").touch()
    for path in [made.path, *made.path.rglob("*")]:
        like = plain if path.is_dir() else plain / "file"
        assert path.stat().st_mode == like.stat().st_mode, path


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
