"""Configurations and names of classes from anywhere: read within bounds, and one short sentence for what is wrong."""

from __future__ import annotations

import json
import math
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sige_mlx import zoo
from sige_mlx.described import read_json
from sige_mlx.errors import SigeError
from tests.test_zoo import CONFIG, save
from tests.tiny import LABEL_CONFIG, write_tiny_model

HUGE = b'{"family": "' + b"\x1b\xff" * (2 << 20)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (HUGE, "it has more than 1024 kB"),
        (HUGE[:1000], "it is no text in UTF-8"),
        (b"[" * 100_000, "it is nested too deeply"),
        (b'{"family": "ddpm", "config": {"ch": %s}}' % (b"[" * 950 + b"]" * 950), "it is nested too deeply"),
        (b'{"family": "ddpm", "config": {}, "format": 2, "edit": []}', "its settings are [], no object of fields"),
        (b'{"family": "ddpm", "config": []}', "its settings are [], no object of fields"),
        (b'{"family": "ddpm", "config": {"num_sparse_layers": 3}}', "num_sparse_layers"),
        (b'{"family": "spade", "config": {"num_sparse_layers": 999999}}', "its last 999999 of 7 blocks"),
        (json.dumps({"format": 3, "family": "ddpm", "config": CONFIG}).encode(), "has format 3 and this version"),
        (json.dumps({"format": "1", "family": "ddpm", "config": CONFIG}).encode(), "has format '1' and this version"),
        (json.dumps({"format": True, "family": "ddpm", "config": CONFIG}).encode(), "has format True and this version"),
        (json.dumps({"family": "\x1b[31m" * 9999, "config": {}}).encode(), "the model family '"),
        (json.dumps({"family": "ddpm", "config": {"\x1b[31m" * 9999: 1}}).encode(), "is no setting of such a network"),
        (json.dumps({"family": "ddpm", "config": {**CONFIG, "ch": 32 << 60}}).encode(), "config.json: "),
    ],
)
def test_descriptions_are_read_within_bounds(tmp_path: Path, content: bytes, sentence: str) -> None:
    (save(tmp_path / "mine") / "config.json").write_bytes(content)
    with pytest.raises(SigeError) as caught:
        zoo.load(tmp_path / "mine")
    text = str(caught.value)
    assert sentence in text and str(tmp_path / "mine") in text and text.isprintable() and len(text) < 2200


@pytest.mark.parametrize(
    ("family", "field", "value"),
    [
        ("ddpm", "num_res_blocks", 10**9),
        ("pd", "num_res_blocks", 2**63),
        ("resnet_generator", "n_blocks", 10**30),
        ("ddpm", "ch_mult", [0, 0]),
        ("ddpm", "in_ch", 0),
        ("pd", "temb_ch", 0),
        ("pd", "ch_mult", {"a": 1}),
        ("spade", "ngf", 10**30),
        ("sub_mobile_spade", "config_str", "16_" * 7 + "9" * 30),
        ("ddpm", "image_size", 10**30),
        ("ddpm", "resamp_with_conv", "yes"),
        ("ddpm", "attn_resolutions", ["a"]),
        ("ddpm", "sparse_resolution_threshold", "x"),
        ("ddpm", "sparse_resolution_threshold", math.nan),
        ("pd", "sparse_resolution_threshold", 0),
        ("ddpm", "eps", 10**400),
        ("ddpm", "eps", math.nan),
        ("resnet_generator", "eps", -1),
        ("ddpm", "mask_dilate_radius", -1),
        ("ddpm", "mask_dilate_radius", 1.5),
        ("resnet_generator", "image_size", [1 << 20, 1 << 20]),
        ("spade", "downsample_dilate_radius", "x"),
        ("spade", "num_sparse_layers", 1.5),
        ("spade", "num_sparse_layers", True),
        ("spade", "no_instance", "x"),
        ("spade", "crop_size", 10**30),
        ("spade", "aspect_ratio", 1e-300),
        ("spade", "aspect_ratio", math.inf),
    ],
)
def test_networks_that_nobody_can_build(tmp_path: Path, family: str, field: str, value: Any) -> None:
    save(tmp_path / "mine", config={"family": family, "config": {field: value}})
    with pytest.raises(SigeError, match=f"^{tmp_path}/mine/config.json: "):
        zoo.network(tmp_path / "mine")


def test_names_of_classes_are_printable(tmp_path: Path) -> None:
    folder = write_tiny_model(tmp_path / "mine", replace(LABEL_CONFIG, input_nc=2))
    (folder / "labels.json").write_text(json.dumps({"\x1b[31msea": [0, 0, 255], "x" * 9999: [0, 255, 0]}))
    sea, land = (c.name for c in zoo.load(folder).classes)
    assert sea == r"\x1b[31msea" and len(land) < 150


def test_a_pipe_is_no_description(tmp_path: Path) -> None:
    """Reading one would wait for ever."""
    os.mkfifo(tmp_path / "labels.json")
    with pytest.raises(SigeError, match=r"labels\.json cannot be read as colours: it is no regular file"):
        read_json(tmp_path / "labels.json", "colours")
