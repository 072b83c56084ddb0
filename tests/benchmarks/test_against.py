"""`python -m benchmarks.against`: what engines are given, how they take turns, and what is made of their seconds."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from benchmarks.against import __main__ as command
from benchmarks.against import rounds
from benchmarks.against.task import Task
from benchmarks.against.worker import Worker
from sige_mlx.benchmark.workload import MIDDLE
from sige_mlx.errors import SigeError
from sige_mlx.models.sub_mobile_spade import SubMobileSPADEConfig
from sige_mlx.nn.module import parameters
from tests.tiny import CONFIG, LABEL_CONFIG, LABEL_SIZE, PD_CONFIG, TRANSLATION_CONFIG, policy_of, write_tiny_model

MOBILE_LABEL_CONFIG = SubMobileSPADEConfig(crop_size=64, num_upsampling_layers="normal", config_str="2_3_1_4_2_3_1_5")


TASKS = ["task", "pd_task", "label_task", "mobile_task", "generator_task"]


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> Task:
    return Task(str(write_tiny_model(tmp_path_factory.mktemp("models") / "tiny")), False, 10, 0, 1)


@pytest.fixture(scope="module")
def pd_task(tmp_path_factory: pytest.TempPathFactory) -> Task:
    return Task(str(write_tiny_model(tmp_path_factory.mktemp("models") / "pd", PD_CONFIG)), False, 10, 0, 1)


@pytest.fixture(scope="module")
def label_task(tmp_path_factory: pytest.TempPathFactory) -> Task:
    folder = write_tiny_model(tmp_path_factory.mktemp("models") / "labels", LABEL_CONFIG)
    return Task(str(folder), False, 10, 0, 1)


@pytest.fixture(scope="module")
def mobile_task(tmp_path_factory: pytest.TempPathFactory) -> Task:
    folder = write_tiny_model(tmp_path_factory.mktemp("models") / "mobile", MOBILE_LABEL_CONFIG)
    return Task(str(folder), False, 10, 0, 1)


@pytest.fixture(scope="module")
def generator_task(tmp_path_factory: pytest.TempPathFactory) -> Task:
    folder = write_tiny_model(tmp_path_factory.mktemp("models") / "generator", TRANSLATION_CONFIG)
    return Task(str(folder), False, 10, 0, 1)


class FakeWorker:
    """An engine whose calls take as long as `seconds` says, in turn; every dense pass gives `image`."""

    log: ClassVar[list[tuple[str, str]]] = []
    seconds: ClassVar[dict[tuple[str, str], list[float]]] = {}
    image: ClassVar[dict[str, np.ndarray]] = {}

    def __init__(self, engine: str, task: Task):
        self.engine = engine
        self.calls = [call for name, call in self.seconds if name == engine]
        self.left = {call: iter(self.seconds[engine, call]) for call in self.calls}

    def run(self, call: str) -> float:
        self.log.append((self.engine, call))
        return next(self.left[call])

    def output(self, call: str, folder: Path) -> np.ndarray:
        return self.image[self.engine]

    def close(self) -> None:
        self.log.append((self.engine, "close"))


@pytest.fixture
def fakes(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[FakeWorker]]:
    """Three rounds after one that warms up, on a machine that is twice as slow in the second of them."""
    image = np.linspace(0, 1, 12, dtype=np.float32)
    slow = np.array([99.0, 1, 2, 1])
    FakeWorker.log = []
    FakeWorker.image = {"ours": image, "torch": image + 1e-6, "sige": image}
    FakeWorker.seconds = {
        ("ours", "dense"): list(2 * slow),
        ("ours", "record"): list(2 * slow),
        ("ours", "edit"): list(0.25 * slow),
        ("ours", "edit, output everywhere"): list(0.5 * slow),
        ("torch", "dense"): list(5 * slow),
        ("torch", "dense, channels last"): list(3 * slow),
        ("sige", "record"): list(4 * slow),
        ("sige", "edit"): list(1 * slow),
    }
    monkeypatch.setattr(rounds, "Worker", FakeWorker)
    yield FakeWorker


def quiet(what: str, done: int, total: int) -> None:
    pass


def test_ratios_hold_where_the_machine_drifts(fakes: type[FakeWorker], task: Task) -> None:
    comparison = rounds.compare(task, ["ours", "torch", "sige"], 3, quiet)
    ratios = {(r.theirs, r.ours): (r.times.least, r.times.median, r.times.most) for r in comparison.ratios}
    best = ("torch", "dense, channels last")
    assert ratios == {
        (best, ("ours", "dense")): (1.5, 1.5, 1.5),
        (best, ("ours", "edit")): (12, 12, 12),
        (("sige", "record"), ("ours", "record")): (2, 2, 2),
        (("sige", "edit"), ("ours", "edit")): (4, 4, 4),
        (("sige", "edit"), ("ours", "edit, output everywhere")): (2, 2, 2),
        (("ours", "dense"), ("ours", "edit")): (8, 8, 8),
    }
    assert [r.fastest for r in comparison.ratios] == pytest.approx([1.5, 12, 2, 4, 2, 8])
    assert comparison.ms["ours", "dense"] == rounds.Spread(2000, 2000, 4000)


def test_engines_take_turns_and_are_ended(fakes: type[FakeWorker], task: Task) -> None:
    rounds.compare(task, ["ours", "torch"], 3, quiet)
    one_round = [key for key in fakes.seconds if key[0] != "sige"]
    assert fakes.log == one_round * 4 + [("torch", "close"), ("ours", "close")]


def test_an_engine_that_computes_something_else_is_refused(fakes: type[FakeWorker], task: Task) -> None:
    fakes.image["torch"] = fakes.image["ours"] * 1.1
    with pytest.raises(SigeError, match="torch computes something else"):
        rounds.compare(task, ["ours", "torch"], 3, quiet)
    assert fakes.log == [("torch", "close"), ("ours", "close")]


def test_the_published_names_in_pytorchs_layout(task: Task) -> None:
    ours = parameters(task.pretrained.model)
    state = task.state_dict()
    assert state.keys() == ours.keys()
    weight = task.pretrained.load("down.1.block.0.conv1.weight")
    assert (state["down.1.block.0.conv1.weight"] == weight.transpose(0, 3, 1, 2)).all()


def test_the_fused_names_hold_the_same_weights(task: Task) -> None:
    state, fused = task.state_dict(), task.state_dict(fused=True)
    q, k, v = (state[f"mid.attn_1.{x}.weight"] for x in "qkv")
    assert (fused["mid.attn_1.qkv.weight"] == np.concatenate([q, k, v])).all()
    assert sum(w.size for w in fused.values()) == sum(w.size for w in state.values())


@pytest.mark.parametrize("threshold", [16, 32])
def test_the_threshold_is_everyones(pd_task: Task, threshold: int) -> None:
    """Ours reads it from the policy, and SIGE's network is made from that."""
    task = dataclasses.replace(pd_task, threshold=threshold)
    assert task.policy.tiles_from == task.sige_policy.tiles_from == threshold
    apart = dataclasses.replace(pd_task, sige_threshold=threshold)
    assert (apart.policy.tiles_from, apart.sige_policy.tiles_from) == (pd_task.policy.tiles_from, threshold)
    assert pd_task.sige_policy.tiles_from == 64
    assert (task.state_dict()["conv_in.weight"] == pd_task.state_dict()["conv_in.weight"]).all()


def test_label_networks_have_no_threshold(label_task: Task) -> None:
    with pytest.raises(SigeError, match=r"counts the layers that are in tiles: --threshold is for U-Nets$"):
        _ = dataclasses.replace(label_task, threshold=64).pretrained


def test_the_edit_is_under_the_mask(task: Task) -> None:
    assert task.mask.shape == (CONFIG.image_size,) * 2
    assert ((task.edited != task.original).any(-1)[0] == task.mask).all()
    assert task.conditions == {"t": [MIDDLE["t"]]}


def test_attention_is_given_joined(pd_task: Task) -> None:
    state = pd_task.state_dict(fused=True)
    assert pd_task.conditions == {"log_snr": [MIDDLE["log_snr"]]}
    parts = [pd_task.pretrained.load(f"mid.attn_1.{part}.weight")[:, 0, 0] for part in "qkv"]
    assert (state["mid.attn_1.qkv.weight"][..., 0, 0] == np.concatenate(parts)).all()


def test_label_maps_are_scenes(label_task: Task) -> None:
    assert label_task.mask.shape == LABEL_SIZE and label_task.conditions == {}
    for image in (label_task.original, label_task.edited):
        assert image.shape == (1, *LABEL_SIZE, 36)
        assert (image[..., :35].sum(-1) == 1).all() and 0 < image[..., 35].mean() < 0.5
    differs = (label_task.edited != label_task.original).any(-1)[0]
    assert differs.any() and not (differs & ~label_task.mask).any()


def test_scales_and_shifts_are_given_apart_and_together(label_task: Task) -> None:
    state, fused = label_task.state_dict(), label_task.state_dict(fused=True)
    layer = "up_0.norm_0.mlp_{}.weight"
    gamma, beta = state[layer.format("gamma")], state[layer.format("beta")]
    assert (fused[layer.format("gamma_beta")] == np.concatenate([gamma, beta])).all()
    counted = [name for name in state if name.endswith("num_batches_tracked")]
    assert counted and all(state[name].dtype == np.int64 and name in fused for name in counted)


def test_our_engine_in_a_process_of_its_own(task: Task, tmp_path: Path) -> None:
    worker = Worker("ours", task)
    try:
        assert worker.calls == ["dense", "record", "prepare", "edit", "edit, output everywhere"]
        assert all(worker.run(call) > 0 for call in worker.calls)
        dense = worker.output("dense", tmp_path)
        expected = task.pretrained.engine("cpu", threads=1)(x=task.edited, **task.conditions)
        assert (dense == np.asarray(expected)).all()
    finally:
        worker.close()


def invoke(*arguments: Any) -> Any:
    app = typer.Typer()
    app.command()(command.main)
    return CliRunner().invoke(app, [str(a) for a in arguments])


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--peers", "abacus"], "the peer 'abacus' is not known: choose of torch, onnxruntime, openvino"),
        (["-m", "nowhere", "--peers", ""], "neither a model's name"),
    ],
)
def test_bad_input_is_one_sentence(arguments: list[str], sentence: str) -> None:
    ended = invoke(*arguments)
    assert ended.exit_code == 1 and sentence in ended.stderr and ended.stdout == ""


def test_json_and_table_tell_the_same(fakes: type[FakeWorker], task: Task) -> None:
    arguments = ["-m", task.model, "--peers", "torch", "--edit", 10, "--rounds", 3, "--sige", "CLONE"]
    numbers = json.loads(invoke(*arguments, "--json").stdout)
    assert numbers["ms"]["ours edit"] == {"median": 250, "least": 250, "most": 500}
    assert numbers["ratios"]["sige edit / ours edit"]["median"] == 4
    assert numbers["dense_difference"]["torch dense"] < 1e-4
    assert numbers["threshold"] == policy_of(CONFIG).tiles_from
    assert json.loads(invoke(*arguments, "--json", "--threshold", 16).stdout)["threshold"] == 16
    table = invoke(*arguments).stdout
    assert "tiles from planes of 32 on" in table
    assert "sige edit / ours edit" in table and "4.00x" in table


@pytest.mark.slow
@pytest.mark.parametrize("which", TASKS)
def test_pytorch_computes_the_same_network(which: str, request: pytest.FixtureRequest) -> None:
    pytest.importorskip("torch")
    comparison = rounds.compare(request.getfixturevalue(which), ["ours", "torch"], 1, quiet)
    assert comparison.differences["torch", "dense"] < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
@pytest.mark.parametrize("which", TASKS)
def test_engines_of_exported_networks_compute_the_same(which: str, engine: str, request: pytest.FixtureRequest) -> None:
    for module in ("torch", "onnx", "onnxscript", engine):
        pytest.importorskip(module)
    comparison = rounds.compare(request.getfixturevalue(which), ["ours", engine], 1, quiet)
    assert comparison.differences[engine, "dense"] < 1e-5


def test_transposed_convolutions_are_given_as_pytorch_has_them(generator_task: Task) -> None:
    weight = generator_task.pretrained.load("up.0.conv.weight")
    assert (generator_task.state_dict()["model.12.weight"] == weight.transpose(3, 0, 1, 2)).all()


@pytest.mark.slow
def test_sige_has_no_generator(generator_task: Task) -> None:
    pytest.importorskip("torch")
    with pytest.raises(SigeError, match="SIGE has no network of the family resnet_generator: leave out --sige"):
        Worker("sige", generator_task)


@pytest.mark.slow
def test_a_folder_that_is_no_clone_is_one_sentence(task: Task, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    lost = Task(task.model, False, 10, 0, 1, sige=str(tmp_path))
    with pytest.raises(SigeError, match="is no clone of SIGE"):
        Worker("sige", lost)
