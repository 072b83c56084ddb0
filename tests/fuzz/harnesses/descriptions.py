"""JSON that describes: a model's configuration, its classes, what diffusers writes beside weights, lists of shards."""

from __future__ import annotations

import json

from sige_mlx import zoo
from sige_mlx.converters import source
from sige_mlx.converters.families.diffusers_config import CLASS, Described, schedule_remarks
from sige_mlx.described import read_json
from sige_mlx.families import FAMILIES
from sige_mlx.label_classes import CITYSCAPES, classes_of
from tests.converters.networks import SMALL, SMALL_SPADE, diffusers_config
from tests.fuzz import mutate, scratch
from tests.fuzz.harness import Harness, one_sentence


def run_config(data: bytes) -> None:
    path = scratch.file("config.json", data)
    with one_sentence():
        zoo.network(path.parent)


def run_classes(data: bytes) -> None:
    with one_sentence():
        classes_of(SMALL_SPADE, scratch.file("labels.json", data))


def run_diffusers(data: bytes) -> None:
    path = scratch.file("unet.json", data)
    with one_sentence():
        settings = read_json(path, "a network's configuration")
        if isinstance(settings, dict) and CLASS in settings:
            described = Described(settings, path)
            for ask in (described.image_size, described.check_settings, lambda: described.check_network(SMALL)):
                with one_sentence():
                    ask()
            with one_sentence():
                schedule_remarks(settings, path)


def run_index(data: bytes) -> None:
    with one_sentence():
        source.find(scratch.file("model.safetensors.index.json", data))


def configs() -> list[bytes]:
    small = [(name, dict(family.small[0])) for name, family in FAMILIES.items()]
    made = [{"format": 2, "family": name, "config": config, "edit": {"tiles_from": 16}} for name, config in small]
    edit = {"tiles_from": 64, "statistics": "fresh head", "eps": 0.01, "dilation": 5, "dilation_per_level": 0}
    made.append({**made[0], "edit": edit, "source": {"file": "a.pth", "sha256": "0"}})
    old = {**small[0][1], "sparse_resolution_threshold": 32, "mask_dilate_radius": 5}
    return [json.dumps(one).encode() for one in [*made, {"family": "ddpm", "config": old}]]


def classes() -> list[bytes]:
    return [json.dumps({one.name + str(i): one.colour for i, one in enumerate(CITYSCAPES)}).encode()]


def described() -> list[bytes]:
    schedule = {"_class_name": "DDPMScheduler", "beta_start": 0.0001, "beta_end": 0.02, "beta_schedule": "linear"}
    schedule |= {"num_train_timesteps": 1000, "prediction_type": "epsilon", "trained_betas": None}
    return [json.dumps(one).encode() for one in (diffusers_config(), {**diffusers_config(), **schedule})]


def index() -> list[bytes]:
    return [json.dumps({"metadata": {"total_size": 3}, "weight_map": {"a": "labels.json", "b": "b.bin"}}).encode()]


HARNESSES = {
    "config": Harness(run_config, configs, mutate.of_json),
    "classes": Harness(run_classes, classes, mutate.of_json),
    "diffusers": Harness(run_diffusers, described, mutate.of_json),
    "index": Harness(run_index, index, mutate.of_json),
}
