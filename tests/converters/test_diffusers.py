"""DDPM's network in diffusers' layout: files and folders that it or the hub's library leave, what its config.json says,
and networks that diffusers itself made."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from sige_mlx.converters import convert
from sige_mlx.converters.families import LAYOUTS, recognise
from sige_mlx.converters.families.family import parameter_shapes
from sige_mlx.errors import SigeError
from sige_mlx.families import FAMILIES, KNOWN, Published
from sige_mlx.models.ddpm import DDPMConfig, DDPMUNet
from tests.converters.networks import SMALL, Arrays, ddpm, diffusers_config, diffusers_ddpm
from tests.converters.writer import save

ARRAYS = ddpm()
NAME = "diffusion_pytorch_model"
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SIGE_MLX_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def unet(
    folder: Path, arrays: Arrays = ARRAYS, name: str = f"{NAME}.safetensors", old: bool = False, **set_: Any
) -> Path:
    """A model's folder, as `save_pretrained` leaves one."""
    folder.mkdir(parents=True, exist_ok=True)
    state = diffusers_ddpm(arrays, old)
    save_file(state, folder / name) if name.endswith(".safetensors") else save(folder / name, state)
    (folder / "config.json").write_text(json.dumps(diffusers_config(**set_)))
    return folder


def pipeline(folder: Path, **scheduler: Any) -> Path:
    """A pipeline's folder."""
    unet(folder / "unet")
    (folder / "scheduler").mkdir()
    (folder / "model_index.json").write_text(
        json.dumps({"_class_name": "DDPMPipeline", "unet": ["diffusers", "UNet2DModel"]})
    )
    (folder / "scheduler" / "scheduler_config.json").write_text(
        json.dumps({"_class_name": "DDPMScheduler", **scheduler})
    )
    return folder


def into_cache(
    folder: Path, cache: Path, repository: str = "owner/net", commit: str = COMMIT, main: bool = True
) -> Path:
    """The files of `folder` as the hub's library keeps those of a repository: links to blobs in a snapshot."""
    kept = cache / f"models--{repository.replace('/', '--')}"
    for path in (path for path in folder.rglob("*") if path.is_file()):
        blob = kept / "blobs" / hashlib.sha256(path.read_bytes()).hexdigest()
        blob.parent.mkdir(parents=True, exist_ok=True)
        blob.write_bytes(path.read_bytes())
        link = kept / "snapshots" / commit / path.relative_to(folder)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(os.path.relpath(blob, link.parent))
    if main:
        (kept / "refs").mkdir(exist_ok=True)
        (kept / "refs" / "main").write_text(commit)
    return kept


def assert_converted(source: Path, folder: Path, arrays: Arrays = ARRAYS) -> Any:
    made = convert(source, folder)
    found = load_file(folder / "model.safetensors")
    assert found.keys() == arrays.keys()
    for name, values in arrays.items():
        np.testing.assert_array_equal(found[name], values.transpose(0, 2, 3, 1) if values.ndim == 4 else values)
    return made


def complaint(source: Path, **options: Any) -> str:
    with pytest.raises(SigeError) as caught:
        convert(source, source.parent / "never", **options)
    assert not (source.parent / "never").exists()
    return str(caught.value)


# ---- where the weights are


@pytest.mark.parametrize("old", [False, True], ids=["names of today", "old names"])
@pytest.mark.parametrize("ending", [".safetensors", ".bin", ".fp16.safetensors"])
def test_files_and_the_folders_that_hold_them(tmp_path: Path, ending: str, old: bool) -> None:
    folder = unet(tmp_path / "pipeline" / "unet", name=NAME + ending, old=old)
    for i, source in enumerate((folder / (NAME + ending), folder, folder.parent, folder / "config.json")):
        made = assert_converted(source, tmp_path / f"m{i}")
        assert (made.config, made.notes) == (SMALL, ())


def test_the_configuration_is_taken_from_beside_the_file(tmp_path: Path) -> None:
    config = DDPMConfig(image_size=64, ch=32, ch_mult=(1, 2, 2), attn_resolutions=(32, 64), num_res_blocks=1, in_ch=4)
    arrays = ddpm(config)
    folder = unet(tmp_path / "net", arrays, config=config)
    assert assert_converted(folder, tmp_path / "m", arrays).config == config
    assert convert(folder, tmp_path / "larger", image_size=128).config.image_size == 128
    (folder / "config.json").unlink()
    made = convert(folder, tmp_path / "n")
    assert "no config.json of diffusers lies beside it: it is taken for a network with" in " ".join(made.notes)


def test_whole_safetensors_come_first(tmp_path: Path) -> None:
    folder = unet(tmp_path / "net")
    for name, seed in ((f"{NAME}.bin", 1), (f"{NAME}.fp16.safetensors", 2), ("optimizer.bin", 3), ("other.pth", 4)):
        unet(folder, ddpm(seed=seed), name)
    assert_converted(folder, tmp_path / "m")
    (folder / f"{NAME}.safetensors").unlink()
    assert_converted(folder, tmp_path / "n", ddpm(seed=1))
    (folder / f"{NAME}.bin").unlink()
    assert_converted(folder, tmp_path / "o", ddpm(seed=2))


@pytest.mark.parametrize(("kind", "variant"), [("safetensors", ""), ("bin", ""), ("safetensors", ".fp16")])
def test_shards(tmp_path: Path, kind: str, variant: str) -> None:
    folder = unet(tmp_path / "net", name="unused.ckpt")
    (folder / "unused.ckpt").unlink()
    state = list(diffusers_ddpm(ARRAYS).items())
    where: dict[str, str] = {}
    for i in range(3):
        part, name = dict(state[i::3]), f"{NAME}{variant}-{i + 1:05d}-of-00003.{kind}"
        save_file(part, folder / name) if kind == "safetensors" else save(folder / name, part)
        where |= dict.fromkeys(part, name)
    index = folder / f"{NAME}.{kind}.index{variant}.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": where}))
    for i, source in enumerate((folder, index, folder / where[state[0][0]])):
        assert_converted(source, tmp_path / f"m{i}")
    (folder / where[state[1][0]]).unlink()
    assert "which is not there: the download is incomplete" in complaint(folder)
    index.write_text(json.dumps({"weight_map": {"a": "../other.safetensors"}}))
    assert "'../other.safetensors', which is no file beside it" in complaint(folder)
    for text in ("{}", "[]", "{", '{"weight_map": {"a": 3}}'):
        index.write_text(text)
        assert str(index) in complaint(folder)


def test_the_hubs_cache(tmp_path: Path, cache: Path) -> None:
    kept = into_cache(pipeline(tmp_path / "made"), tmp_path / "hub")
    snapshot = kept / "snapshots" / COMMIT
    for i, source in enumerate((kept, snapshot, snapshot / "unet", snapshot / "unet" / f"{NAME}.safetensors")):
        assert_converted(source, tmp_path / f"m{i}")
    assert convert(kept).folder == cache / "net"
    into_cache(unet(tmp_path / "other", ddpm(seed=1)), tmp_path / "hub", commit="f" * 40, main=False)
    assert_converted(kept, tmp_path / "main")  # which is not the newest
    (kept / "refs" / "main").unlink()
    assert "holds no snapshot of main; there are 2 in its folder snapshots" in complaint(kept)


def test_a_published_repository_gives_its_name(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = KNOWN["ddpm-cat-256"][1].files
    small = {"ddpm-cat-256": Published(files, {**vars(SMALL)}, by_file=True)}
    monkeypatch.setitem(FAMILIES, "ddpm", replace(FAMILIES["ddpm"], published=small))
    made = convert(into_cache(unet(tmp_path / "made"), tmp_path / "hub", "google/ddpm-ema-cat-256"))
    assert made.folder == cache / "ddpm-cat-256"
    assert made.notes[-1] == "by where it lies this is hf:google/ddpm-ema-cat-256, a file of ddpm-cat-256"


def test_folders_without_weights_or_with_several(tmp_path: Path) -> None:
    folder = tmp_path / "net"
    folder.mkdir()
    assert "net: holds no checkpoint (such as diffusion_pytorch_model.safetensors)" in complaint(folder)
    save(folder / "a.pth", ARRAYS)
    assert_converted(folder, tmp_path / "m")
    save(folder / "b.ckpt", ARRAYS)
    assert "net: holds several checkpoints (a.pth, b.ckpt): give one of them" in complaint(folder)
    (tmp_path / "unpacked" / "archive" / "data").mkdir(parents=True)
    (tmp_path / "unpacked" / "archive" / "data.pkl").touch()
    for source in (tmp_path / "unpacked", tmp_path / "unpacked" / "archive"):
        assert "is what a PyTorch checkpoint unpacks to" in complaint(source)
    (tmp_path / "loop").symlink_to("loop")
    assert "loop: cannot be read" in complaint(tmp_path / "loop")


# ---- what config.json says


SETTINGS: list[tuple[dict[str, Any], str]] = [
    ({"flip_sin_to_cos": True}, "flip_sin_to_cos is true; false would be right"),
    ({"flip_sin_to_cos": "unset"}, "flip_sin_to_cos is true unless it is set; false would"),
    ({"freq_shift": 0}, "freq_shift is 0; 1 would"),
    ({"downsample_padding": 1}, "downsample_padding is 1; 0 would"),
    ({"norm_eps": 1e-5}, "norm_eps is 1e-05; 1e-06 would"),
    ({"norm_num_groups": 16}, "norm_num_groups is 16; 32 would"),
    ({"attn_norm_num_groups": 8}, "attn_norm_num_groups is 8; null or 32 would"),
    ({"act_fn": "relu"}, 'act_fn is "relu"; "silu" or "swish" would'),
    ({"attention_head_dim": 8}, "attention_head_dim is 8; null or 64 would"),
    ({"attention_head_dim": "unset"}, "attention_head_dim is 8 unless it is set; null or 64 would"),
    ({"time_embedding_type": "fourier"}, 'time_embedding_type is "fourier"; "positional" would'),
    ({"time_embedding_dim": 512}, "time_embedding_dim is 512; null or 128 would"),
    ({"resnet_time_scale_shift": "scale_shift"}, 'resnet_time_scale_shift is "scale_shift"; "default" would'),
    ({"add_attention": False}, "add_attention is false; true would"),
    ({"class_embed_type": "timestep"}, 'class_embed_type is "timestep"; null would'),
    ({"num_class_embeds": 10}, "num_class_embeds is 10; null would"),
    ({"center_input_sample": True}, "center_input_sample is true; false would"),
    ({"mid_block_scale_factor": 1.4142}, "mid_block_scale_factor is 1.4142; 1 would"),
    ({"mid_block_type": None}, 'mid_block_type is null; "UNetMidBlock2D" would'),
    ({"downsample_type": "resnet"}, 'downsample_type is "resnet"; "conv" would'),
    ({"sample_size": [32, 64]}, "sample_size is [32, 64]; one whole number"),
    ({"down_block_types": ["DownBlock2D", "SkipDownBlock2D"]}, "blocks DownBlock2D and AttnDownBlock2D alone would"),
    ({"down_block_types": ["AttnDownBlock2D", "DownBlock2D"]}, "up_block_types is "),
    ({"down_block_types": "DownBlock2D"}, 'down_block_types is "DownBlock2D"; a list would'),
    ({"block_out_channels": [48, 96]}, "block_out_channels is [48, 96]; multiples of 32 would"),
    ({"block_out_channels": [32, 48]}, "block_out_channels is [32, 48]; multiples of the first would"),
    ({"block_out_channels": [32, 96]}, "block_out_channels is [32, 96]; [32, 64] would"),
    ({"layers_per_block": 2}, "layers_per_block is 2; 1 would"),
    ({"in_channels": 1}, "in_channels is 1; 3 would"),
    ({"_class_name": "UNet2DConditionModel"}, "describes a UNet2DConditionModel; of diffusers' networks UNet2DModel"),
    ({"_class_name": {"a": "\x1b[31m"}}, "describes a {'a': "),
]


@pytest.mark.parametrize(("settings", "sentence"), SETTINGS)
def test_what_makes_it_another_network_is_named(tmp_path: Path, settings: dict[str, Any], sentence: str) -> None:
    text = complaint(unet(tmp_path / "net", **settings))
    assert text.startswith(f"{tmp_path / 'net' / 'config.json'}: ") and sentence in text
    assert text.isprintable() and len(text) < 600


def test_settings_are_named_before_tensors_that_do_not_fit(tmp_path: Path) -> None:
    folder = unet(tmp_path / "net", resnet_time_scale_shift="scale_shift")
    state = load_file(folder / f"{NAME}.safetensors")
    name = "mid_block.resnets.0.time_emb_proj.weight"
    save_file({**state, name: np.concatenate([state[name]] * 2)}, folder / f"{NAME}.safetensors")
    assert "resnet_time_scale_shift" in complaint(folder)
    (folder / "config.json").write_text(json.dumps(diffusers_config()))
    assert f"1 mis-shaped: {name} is (128, 128), not (64, 128)" in complaint(folder)


def test_what_changes_nothing_is_taken(tmp_path: Path) -> None:
    unset = {"_diffusers_version": "9.9", "dropout": 0.1, "time_embedding_dim": 128, "attention_head_dim": 64}
    assert not assert_converted(unet(tmp_path / "a", **unset), tmp_path / "m").notes
    made = assert_converted(unet(tmp_path / "b", new_setting="x\x1b", another=None), tmp_path / "n")
    assert made.notes == ("config.json: its setting new_setting is not known here",)


def test_files_beside_it_that_describe_nothing(tmp_path: Path) -> None:
    folder = unet(tmp_path / "net")
    for i, text in enumerate(("[]", "{}", '{"hidden": 3}')):
        (folder / "config.json").write_text(text)
        assert_converted(folder, tmp_path / f"m{i}")
    for content in (b"{", b"\xff\xfe\0\0" * 1000, b"[" * 100_000, b" " * (2 << 20)):
        (folder / "config.json").write_bytes(content)
        text = complaint(folder)
        assert "config.json cannot be read as a network's configuration: " in text and len(text) < 500
        save(tmp_path / "net" / "own.pth", ARRAYS)
        convert(tmp_path / "net" / "own.pth", tmp_path / "own", force=True)  # which it has nothing to do with
    (folder / "config.json").write_text(json.dumps(diffusers_config(sample_size=96, flip_sin_to_cos=True)))
    assert convert(folder / "own.pth", tmp_path / "own", force=True).config == SMALL


def test_a_schedule_that_the_samplers_do_not_have_is_told(tmp_path: Path) -> None:
    usual = {"beta_start": 0.0001, "beta_end": 0.02, "beta_schedule": "linear", "prediction_type": "epsilon"}
    assert not assert_converted(pipeline(tmp_path / "usual", **usual), tmp_path / "m").notes
    folder = pipeline(tmp_path / "other", prediction_type="v_prediction", beta_schedule="squaredcos_cap_v2")
    told = assert_converted(folder, tmp_path / "n").notes
    assert 'its prediction_type is "v_prediction", and the samplers here take "epsilon"' in told[0]
    assert "beta_schedule" in told[1] and len(told) == 2
    assert assert_converted(folder / "unet", tmp_path / "o").notes == told


def test_a_pipeline_whose_files_lie_in_one_folder(tmp_path: Path) -> None:
    """As the authors' repositories on the hub have them."""
    folder = unet(tmp_path / "net")
    unet(folder, name=f"{NAME}.bin")
    (folder / "model_index.json").write_text(json.dumps({"_class_name": "DDPMPipeline"}))
    (folder / "scheduler_config.json").write_text(json.dumps({"beta_schedule": "linear", "beta_end": 0.012}))
    assert ["beta_end" in note for note in assert_converted(folder, tmp_path / "m").notes] == [True]


@pytest.mark.parametrize("old", [False, True])
def test_the_papers_network(old: bool) -> None:
    shapes = parameter_shapes(DDPMUNet(DDPMConfig()))
    empty = {name: np.broadcast_to(np.float32(0), shape) for name, shape in shapes.items()}
    theirs = {name: value.shape for name, value in diffusers_ddpm(empty, old).items()}
    match = recognise(theirs, LAYOUTS)
    assert (match.config, match.layout.tensors, len(theirs)) == (DDPMConfig(), theirs, 450)
    name = "up_blocks.1.attentions.2." + ("proj_attn" if old else "to_out.0") + ".weight"
    with pytest.raises(SigeError, match=f"ddpm comes nearest, with 1 missing: {name}$"):
        recognise({n: shape for n, shape in theirs.items() if n != name}, LAYOUTS)
