"""Models by name and by folder, their weights, and what is wrong with a folder that is not one."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from safetensors.numpy import save_file

from sige_mlx import families, zoo
from sige_mlx.errors import SigeError
from sige_mlx.families import KNOWN, build
from sige_mlx.label_classes import CITYSCAPES
from sige_mlx.models.ddpm import DDPMUNet
from sige_mlx.models.spade import SPADEGenerator
from sige_mlx.nn.module import parameters
from tests.tiny import LABEL_CONFIG, TRANSLATION_CONFIG, write_tiny_model

CONFIG = {"image_size": 16, "ch": 32, "ch_mult": [1, 2], "num_res_blocks": 1, "attn_resolutions": [8]}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, so that a test never sees the user's."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("SIGE_MLX_CACHE", str(folder))
    return folder


def weights(dtype: type = np.float32) -> dict[str, np.ndarray]:
    load = zoo.random_weights(build("ddpm", CONFIG))
    return {name: np.asarray(load(name), dtype) for name in parameters(build("ddpm", CONFIG))}


def save(folder: Path, tensors: dict[str, np.ndarray] | None = None, config: Any = None) -> Path:
    """A model's folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps({"family": "ddpm", "config": CONFIG} if config is None else config))
    save_file(weights() if tensors is None else tensors, folder / "model.safetensors")
    return folder


# ---- what can be loaded


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_a_folder(tmp_path: Path, dtype: type) -> None:
    pretrained = zoo.load(save(tmp_path / "mine", weights(dtype)))
    assert (pretrained.family, pretrained.name) == ("ddpm", str(tmp_path / "mine"))
    assert isinstance(pretrained.model, DDPMUNet) and pretrained.model.config.ch_mult == (1, 2)
    for name, expected in weights(dtype).items():
        np.testing.assert_array_equal(pretrained.load(name), expected)


def test_engine_and_module_have_the_same_weights(tmp_path: Path) -> None:
    pretrained = zoo.load(save(tmp_path / "mine"))
    x = np.random.default_rng(0).standard_normal((1, 16, 16, 3)).astype(np.float32)
    t = np.array([20.0], np.float32)
    expected = np.asarray(pretrained.module()(mx.array(x), mx.array(t)))
    for device in ("cpu", "reference"):
        found = np.asarray(pretrained.engine(device)(x=x, t=t))
        np.testing.assert_allclose(found, expected, atol=1e-4)
    assert pretrained.engine(threads=1, batch=2).lowered.batch == 2


def test_a_converted_model_goes_by_its_name(cache: Path) -> None:
    save(cache / "my-church")
    assert zoo.load("my-church").family == "ddpm"
    assert zoo.names() == [*zoo.EMBEDDED, *KNOWN, "my-church"]


def test_a_published_model_is_found_in_the_cache(cache: Path) -> None:
    save(cache / "ddpm-church-256")
    assert zoo.load("ddpm-church-256").name == "ddpm-church-256"


@pytest.mark.parametrize(("name", "network"), [(zoo.DEFAULT, DDPMUNet), (zoo.LABELS, SPADEGenerator)])
def test_the_embedded_models_are_complete(name: str, network: type) -> None:
    pretrained = zoo.load(name)
    assert isinstance(pretrained.model, network)
    values = [pretrained.load(name) for name in parameters(pretrained.model)]
    assert all(np.isfinite(v).all() for v in values)
    assert sum(v.nbytes for v in values) <= 20e6


def test_the_embedded_label_maps_have_their_colours() -> None:
    palette = zoo.load(zoo.LABELS).palette
    assert len(set(palette)) == zoo.network(zoo.LABELS).model.config.input_nc
    assert zoo.load(zoo.DEFAULT).classes == ()


def test_classes_are_told_without_weights(cache: Path) -> None:
    assert zoo.classes("gaugan-cityscapes") == CITYSCAPES
    assert zoo.classes(zoo.LABELS) == zoo.load(zoo.LABELS).classes
    assert zoo.classes("gaugan-ade20k") == zoo.classes("ddpm-church-256") == zoo.classes("vintagify") == ()
    names = {f"class {i}": [i, 0, 0] for i in range(151)}
    (cache / "gaugan-ade20k").mkdir(parents=True)
    (cache / "gaugan-ade20k" / "labels.json").write_text(json.dumps(names))
    assert zoo.classes("gaugan-ade20k")[150] == ("class 150", (150, 0, 0))


def test_a_model_is_here_once_it_is_converted(cache: Path) -> None:
    assert [name for name in zoo.names() if zoo.is_here(name)] == list(zoo.EMBEDDED)
    path = save(cache / "ddpm-church-256") / "model.safetensors"
    assert zoo.is_here("ddpm-church-256") and not zoo.is_here("gaugan-cityscapes")
    path.unlink()
    assert not zoo.is_here("ddpm-church-256")


def test_the_cache_is_where_the_user_wants_it(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert zoo.cache_folder() == cache
    monkeypatch.delenv("SIGE_MLX_CACHE")
    assert zoo.cache_folder() == Path.home() / ".cache" / "sige-mlx"


def test_the_same_weights_with_other_settings(tmp_path: Path) -> None:
    pretrained = zoo.load(write_tiny_model(tmp_path / "mine", TRANSLATION_CONFIG, tiles_from=8))
    larger = pretrained.configured(image_size=(64, 96))
    assert larger.load is pretrained.load and larger.engine().policy.tiles_from == 8
    assert larger.engine().image_size == (64, 96)
    with pytest.raises(SigeError, match="another network than ngf=64 asks for"):
        pretrained.configured(ngf=64)


def test_a_folder_of_format_1_is_read(tmp_path: Path) -> None:
    """It had what edits are computed by among the network's settings, by the names of the paper's code."""
    for family, told, policy in (
        ("ddpm", {"sparse_resolution_threshold": 32, "mask_dilate_radius": 3}, {"tiles_from": 32, "dilation": 3}),
        ("spade", {"num_sparse_layers": 3, "eps": 0.5, "crop_size": 256}, {"tiles_from": 64, "eps": 0.5}),
        ("resnet_generator", {"downsample_dilate_radius": 4}, {"dilation_per_level": 4, "statistics": "recorded"}),
        ("resnet_generator", {"fresh_head": True}, {"statistics": "fresh head"}),
    ):
        save(tmp_path / family, config={"format": 1, "family": family, "config": told})
        network = zoo.network(tmp_path / family)
        assert network.edit == replace(families.FAMILIES[family].policy(network.model.config), **policy)


def test_a_folder_may_tell_how_edits_are_computed(tmp_path: Path) -> None:
    usual = families.FAMILIES["ddpm"].policy(build("ddpm", CONFIG).config)
    for told in ({}, {"large": None, "dense_from": 1}, {"large": "recorded", "tiles_from": 16}):
        save(tmp_path / "mine", config={"format": 2, "family": "ddpm", "config": CONFIG, "edit": told})
        network = zoo.network(tmp_path / "mine")
        assert network.edit == replace(usual, **told)
        assert network.policy(32, quality="exact") == replace(network.edit, tiles_from=32).of_quality("exact")
    for wrong, sentence in (
        ({"large": 3}, "large is 3: it should be a word"),
        ({"statistics": None}, "statistics is None: it should be a word"),
        ({"large": "none"}, "statistics are 'none'"),
    ):
        save(tmp_path / "mine", config={"format": 2, "family": "ddpm", "config": CONFIG, "edit": wrong})
        with pytest.raises(SigeError, match=sentence):
            zoo.network(tmp_path / "mine")


# ---- random weights


def test_random_weights_depend_on_seed_and_name_alone() -> None:
    one, same, other = (zoo.random("ddpm-church-256", seed) for seed in (0, 0, 1))
    name = "mid.block_1.conv1.weight"
    np.testing.assert_array_equal(one.load(name), same.load(name))
    assert not np.array_equal(one.load(name), other.load(name))
    assert not np.array_equal(one.load(name), one.load("mid.block_2.conv1.weight"))
    assert one.load(name).shape == (512, 3, 3, 512)


def test_random_networks_keep_activations_of_order_one(tmp_path: Path) -> None:
    pretrained = zoo.random(save(tmp_path / "mine"))
    x = mx.random.normal((1, 16, 16, 3), key=mx.random.key(0))
    y = np.asarray(pretrained.module()(x, mx.array([50.0])))
    assert 0.1 < y.std() < 10
    assert all(pretrained.load(n).dtype == np.float32 for n in parameters(pretrained.model))


def test_random_networks_with_batch_norm_keep_activations_of_order_one() -> None:
    model = build("spade", {"crop_size": 64, "aspect_ratio": 1.0, "ngf": 4, "nhidden": 8})
    load = zoo.random_weights(model)
    model.load_weights([(name, mx.array(load(name))) for name in parameters(model)])
    y = np.asarray(model(mx.random.uniform(shape=model.inputs()["x"], key=mx.random.key(0))))
    assert 0.1 < y.std() < 0.9


# ---- what cannot


def missing_folder(folder: Path) -> None:
    pass


def missing_weights(folder: Path) -> None:
    (save(folder) / "model.safetensors").unlink()


def truncated(folder: Path) -> None:
    path = save(folder) / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1000])


def no_tensors(folder: Path) -> None:
    (save(folder) / "model.safetensors").write_text("a text file")


def without(folder: Path) -> None:
    save(folder, {k: v for k, v in weights().items() if k != "conv_in.bias"})


def with_another(folder: Path) -> None:
    save(folder, {**weights(), "conv_in.extra": np.zeros(3, np.float32)})


def of_another_shape(folder: Path) -> None:
    save(folder, {**weights(), "conv_in.bias": np.zeros(33, np.float32)})


def of_another_type(folder: Path) -> None:
    save(folder, {**weights(), "conv_in.bias": np.zeros(32, np.int64)})


def configured(config: Any) -> Callable[[Path], None]:
    return lambda folder: (save(folder, config=config), None)[1]


def no_json(folder: Path) -> None:
    (save(folder) / "config.json").write_text("{")


def no_text(folder: Path) -> None:
    (save(folder) / "config.json").write_bytes(b"\xff\xfe\x00")


def twice(folder: Path) -> None:
    (save(folder) / "config.json").write_text('{"family": "pd", "family": "ddpm", "config": {}}')


READ = r"config\.json cannot be read as a model's configuration: "

WRONG: dict[str, tuple[Callable[[Path], None], str]] = {
    "no such folder": (
        missing_folder,
        r"is neither a model's name \(blue-marble-128, blue-marble-labels-256, .*\) nor a folder",
    ),
    "no weights": (missing_weights, r"model\.safetensors cannot be read as safetensors: "),
    "truncated weights": (truncated, r"model\.safetensors cannot be read as safetensors: "),
    "weights that are text": (no_tensors, r"model\.safetensors cannot be read as safetensors: "),
    "a tensor missing": (without, r"conv_in\.bias is missing, the configuration wants \(32,\)$"),
    "a tensor too many": (with_another, r"conv_in\.extra is \(3,\), the configuration wants none$"),
    "a tensor of another shape": (of_another_shape, r"conv_in\.bias is \(33,\), the configuration wants \(32,\)$"),
    "a tensor of another type": (of_another_type, r"conv_in\.bias is I64 where F32 or F16 would be right$"),
    "broken JSON": (no_json, READ),
    "bytes for JSON": (no_text, READ),
    "JSON that is a list": (configured([1]), READ),
    "no family": (configured({"config": CONFIG}), READ),
    "no configuration": (configured({"family": "ddpm"}), READ),
    "a configuration that is a number": (configured({"family": "ddpm", "config": 3}), "settings are 3, no object"),
    "a configuration that is a word": (configured({"family": "ddpm", "config": ""}), "settings are '', no object"),
    "a field that is there twice": (twice, f"{READ}'family' is in it twice"),
    "a family that is a list": (configured({"family": ["ddpm"], "config": CONFIG}), r"config\.json: the model family"),
    "an unknown family": (configured({"family": "gan", "config": {}}), r"config\.json: the model family 'gan'"),
    "an unknown field": (configured({"family": "ddpm", "config": {"size": 3}}), r"config\.json: .*size"),
    "a field of another type": (configured({"family": "ddpm", "config": {"ch": "x"}}), r"ch is 'x': it should be a"),
    "an impossible network": (configured({"family": "ddpm", "config": {**CONFIG, "ch": 20}}), r"DDPM: ch is 20"),
}


@pytest.mark.parametrize("name", WRONG)
def test_folders_that_are_no_model_are_one_sentence(tmp_path: Path, name: str) -> None:
    make, sentence = WRONG[name]
    make(tmp_path / "model")
    with pytest.raises(SigeError, match=sentence) as caught:
        zoo.load(tmp_path / "model")
    assert "\n" not in str(caught.value) and str(tmp_path / "model") in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        "{}",
        '{"sea": [0, 0, 255]}',
        '{"sea": [0, 0, 255], "land": [0, 255]}',
        '{"sea": [0, 0, 255], "land": [0, 255, 0.5]}',
        '{"sea": [0, 0, 255], "land": [0, 256, 0]}',
        '{"sea": [0, 0, 255], "land": [0, -1, 0]}',
    ],
)
def test_colours_that_are_not_those_of_the_classes(tmp_path: Path, text: str) -> None:
    folder = write_tiny_model(tmp_path / "mine", replace(LABEL_CONFIG, input_nc=2))
    (folder / "labels.json").write_text('{"sea": [0, 0, 255], "land": [0, 255, 0]}')
    assert zoo.load(folder).palette == ((0, 0, 255), (0, 255, 0))
    (folder / "labels.json").write_text(text)
    with pytest.raises(SigeError, match=r"labels\.json cannot be read as the colours of 2 classes") as caught:
        zoo.load(folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", [None, 5, b"ddpm"])
def test_what_names_no_model(name: Any) -> None:
    for asked in (zoo.load, zoo.network, zoo.random):
        with pytest.raises(SigeError, match="is no model: give a model's name or the path of its folder"):
            asked(name)


@pytest.mark.parametrize("settings", [{"foo": 1}, {"image_size": "x"}, {"image_size": (128, 128)}])
def test_settings_that_a_network_has_not(settings: dict[str, Any]) -> None:
    with pytest.raises(SigeError, match=r"foo|image_size"):
        zoo.load(zoo.DEFAULT).configured(**settings)


def test_a_checkpoint_for_a_folder_says_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "church.pth"
    path.write_bytes(b"PK")
    with pytest.raises(SigeError, match=r"church\.pth is a file: run `sige-mlx convert .*church\.pth --out FOLDER`"):
        zoo.load(path)


def test_what_is_to_be_converted_first_says_so(tmp_path: Path) -> None:
    with pytest.raises(SigeError, match=r"^hf:owner/net is a repository: run `sige-mlx convert hf:owner/net`"):
        zoo.load("hf:owner/net")
    save(tmp_path / "net", config={"_class_name": "UNet2DModel"})
    with pytest.raises(SigeError, match=f"no family and config: run `sige-mlx convert {tmp_path}/net`$"):
        zoo.load(tmp_path / "net")


def test_a_published_model_that_was_not_converted_says_what_to_do() -> None:
    with pytest.raises(
        SigeError,
        match=r"^the weights of ddpm-church-256 are not .* get church256-ddpm-unet\.pth from http.*`sige-mlx convert",
    ):
        zoo.load("ddpm-church-256")


@pytest.mark.parametrize("call", [zoo.load, zoo.network, zoo.random])
def test_unknown_names_are_refused(call: Callable[[str], Any]) -> None:
    with pytest.raises(SigeError, match=r"^'ddpm-chruch' is neither a model's name"):
        call("ddpm-chruch")
