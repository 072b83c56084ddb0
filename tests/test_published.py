"""The published networks, and which of them a converted checkpoint is."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from sige_mlx import zoo
from sige_mlx.families import FAMILIES, KNOWN, Published
from sige_mlx.models.ddpm import DDPMConfig
from sige_mlx.models.resnet_generator import ResnetGeneratorConfig
from sige_mlx.models.spade import SPADEConfig
from sige_mlx.models.sub_mobile_spade import SubMobileSPADEConfig
from sige_mlx.published import PublishedFile


def test_published_networks_need_no_weights() -> None:
    for name, config in (
        ("ddpm-church-256", DDPMConfig()),
        ("gaugan-cityscapes", SPADEConfig()),
        ("gan-compression-cityscapes", SubMobileSPADEConfig()),
        ("gan-compression-cityscapes-small", SubMobileSPADEConfig(config_str="16_40_16_8_16_16_8_16")),
        ("cyclegan-horse2zebra", ResnetGeneratorConfig()),
        ("vintagify", ResnetGeneratorConfig(affine=True)),
    ):
        network = zoo.network(name)
        assert network.family == KNOWN[name][0] and network.model.config == config


def test_a_converted_model_is_named_after_the_network_it_is() -> None:
    assert zoo.name_for("spade", SPADEConfig(), Path("net.pth")) == "gaugan-cityscapes"
    assert zoo.name_for("spade", SPADEConfig(ngf=12, nhidden=24), Path("net.pth")) == "gaugan-cityscapes-0.19"
    assert zoo.name_for("ddpm", DDPMConfig(ch=64), Path("dir/ema.pth")) == "ema"


CYCLEGAN, AFFINE = ResnetGeneratorConfig(), ResnetGeneratorConfig(affine=True)


@pytest.mark.parametrize(
    ("config", "path", "name"),
    [
        (CYCLEGAN, "dir/style_monet.pth", "cyclegan-monet"),
        (CYCLEGAN, "dir/net.pth", "net"),
        (CYCLEGAN, "G_A2B_epoch33.pth", "G_A2B_epoch33"),  # the name of a file with another network
        (AFFINE, "dir/net.pth", "net"),
        (AFFINE, "G_A2B_epoch33.pth", "vintagify"),
        (CYCLEGAN, "maps/latest_net_G.pth", "maps"),
        (CYCLEGAN, "maps/latest_net_G_A.pth", "maps_A"),
        (CYCLEGAN, "maps/200_net_G_B.pth", "maps_B"),
    ],
)
def test_of_networks_that_many_have_trained_the_file_tells_which_it_is(
    config: ResnetGeneratorConfig, path: str, name: str
) -> None:
    assert zoo.name_for("resnet_generator", config, Path(path)) == name


def test_the_md5_tells_which_it_is_whatever_the_file_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    files = (PublishedFile("a.pth", "here", "0" * 32),)
    family = FAMILIES["resnet_generator"]
    published = {**family.published, "mine": Published(files, by_file=True)}
    monkeypatch.setitem(FAMILIES, "resnet_generator", replace(family, published=published))
    assert zoo.name_for("resnet_generator", CYCLEGAN, Path("style_monet.pth"), "0" * 32) == "mine"
    assert zoo.name_for("resnet_generator", CYCLEGAN, Path("style_monet.pth"), "1" * 32) == "cyclegan-monet"
    assert zoo.name_for("resnet_generator", AFFINE, Path("b.pth"), "0" * 32) == "b"  # it became another network


def test_every_published_file_is_of_one_model() -> None:
    files = [file for _, known in KNOWN.values() for file in known.files]
    assert len({file.name for file in files}) == len(files)
    sums = [file.md5 for file in files if file.md5]
    assert len(set(sums)) == len(sums) and all(re.fullmatch("[0-9a-f]{32}", md5) for md5 in sums)


def test_a_file_is_called_as_published() -> None:
    file = PublishedFile("coco_pretrained/latest_net_G.pth", "there")
    assert file.called(Path("x/coco_pretrained/latest_net_G.pth"))
    assert not file.called(Path("coco/latest_net_G.pth")) and not file.called(Path("latest_net_G.pth"))


def test_of_the_networks_of_churchs_shape_only_the_file_says_which_it_is() -> None:
    of = {
        "eb619b8a5ab95ef80f94ce8a5488dae3": "ddpm-church-256",
        "fdc68a23938c2397caba4a260bc2445f": "ddpm-church-256",
        "1921fa46b66a3665e450e42f36c2720f": "ddpm-bedroom-256",
        "646f23f4821f2459b8bafc57fd824558": "ddpm-cat-256",
        "0" * 32: "net",
    }
    for md5, name in of.items():
        assert zoo.name_for("ddpm", DDPMConfig(), Path("dir/net.pth"), md5) == name
    snapshot = f"snapshots/{'0' * 40}/diffusion_pytorch_model.bin"
    for path, name in {
        "church256-ddpm-unet.pth": "ddpm-church-256",
        "ema_diffusion_lsun_bedroom_model/model-2388000.ckpt": "ddpm-bedroom-256",
        "other/model-2388000.ckpt": "other",
        f"models--google--ddpm-ema-cat-256/{snapshot}": "ddpm-cat-256",
        f"models--google--ddpm-celebahq-256/{snapshot}": "ddpm-celebahq-256",
        f"models--other--ddpm-ema-cat/{snapshot}": "ddpm-ema-cat",
    }.items():
        assert zoo.name_for("ddpm", DDPMConfig(), Path(path), "0" * 32) == name


def test_how_to_get_weights_that_are_not_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGE_MLX_CACHE", str(tmp_path))
    for name in ("church", "bedroom", "cat"):
        with pytest.raises(ValueError, match=f"run `sige-mlx convert hf:google/ddpm-ema-{name}-256`, or get "):
            zoo.load(f"ddpm-{name}-256")
    with pytest.raises(ValueError, match=r"get spade\.pth from https.* and run `sige-mlx convert spade\.pth`,"):
        zoo.load("gaugan-cityscapes")
    with pytest.raises(ValueError, match=r"no checkpoint of gaugan-cityscapes-0\.19 was published: `sige-mlx convert`"):
        zoo.load("gaugan-cityscapes-0.19")
