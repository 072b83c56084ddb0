"""Where in a checkpoint the weights are."""

from __future__ import annotations

from pathlib import Path

import pytest

from sige_mlx.converters.checkpoint import Checkpoint, CheckpointError, Dict, Placeholder, Storage, Tensor, state_dict
from sige_mlx.converters.checkpoint.tensor import view


def weights(*names: str, size: int = 4) -> dict[str, Tensor]:
    return {name: view(Storage(4 * size, "float32", bytes), "float32", 0, (size,), (1,)) for name in names}


def find(root: object, prefer: str = "ema") -> tuple[dict[str, Tensor], str, tuple[str, ...]]:
    found = state_dict(Checkpoint(Path("a.pth"), root, ()), prefer)
    return found.tensors, found.found_at, found.notes


def explained(root: object) -> str:
    with pytest.raises(CheckpointError) as caught:
        find(root)
    return str(caught.value)


MODEL = weights("a", "b")
EMA = weights("a", "b")


def test_plain() -> None:
    assert find(MODEL) == (MODEL, "", ())
    assert find(Dict(MODEL)) == (MODEL, "", ())


def test_plain_in_an_unknown_mapping_class() -> None:
    root = Placeholder("easydict.EasyDict")
    root.entries.update(MODEL)
    assert find(root) == (MODEL, "", ())


@pytest.mark.parametrize("key", ["model", "state_dict", "model_state_dict", "net"])
def test_nested(key: str) -> None:
    assert find({"epoch": 3, key: MODEL, "optimizer": {"state": {0: weights("x")}}}) == (MODEL, key, ())


def test_nested_twice_and_under_an_unusual_key() -> None:
    assert find({"model": {"state_dict": MODEL}}) == (MODEL, "model.state_dict", ())
    assert find({"unet": MODEL, "betas": weights("x")["x"]}) == (MODEL, "unet", ())


def test_the_average_is_preferred() -> None:
    for root in ({"model": MODEL, "ema": EMA}, {"model": MODEL, "ema": {"decay": 0.999, "shadow": EMA}}, {"ema": EMA}):
        tensors, found_at, notes = find(root)
        assert tensors["a"] is EMA["a"]
        assert found_at == "ema"
        assert notes == ()


def test_the_model_can_be_asked_for() -> None:
    assert find({"model": MODEL, "ema": EMA}, "raw") == (MODEL, "model", ())
    assert find({"model": MODEL, "ema": EMA}, "model") == (MODEL, "model", ())
    with pytest.raises(CheckpointError, match="no state dict under 'best'; --weights takes ema, raw or one of"):
        find(MODEL, "best")


def test_the_average_lacks_buffers() -> None:
    tensors, found_at, _ = find({"model": weights("a", "running_mean"), "ema": weights("a")})
    assert tensors.keys() == {"a", "running_mean"}
    assert found_at == "ema"


@pytest.mark.parametrize(
    "ema",
    [
        list(EMA.values()),
        0.999,
        weights("a", "c"),
        weights("a", "b", size=5),
        {"one": EMA, "two": EMA | weights("c")},
        {},
    ],
    ids=["list", "number", "other names", "other shapes", "two candidates", "empty"],
)
def test_an_average_of_another_kind_is_left_with_a_note(ema: object) -> None:
    tensors, found_at, notes = find({"model": MODEL, "ema": ema})
    assert tensors == MODEL
    assert found_at == "model"
    assert len(notes) == 1
    assert "'ema'" in notes[0]


def test_prefixes_are_stripped_from_each() -> None:
    wrapped = weights("module.a", "module.b")
    assert find(wrapped)[0].keys() == {"a", "b"}
    assert find({"model": wrapped, "ema": EMA})[1] == "ema"
    assert find({"model": MODEL, "ema": wrapped})[0].keys() == {"a", "b"}
    assert find(weights("module.a", "b"))[0].keys() == {"module.a", "b"}


def test_what_is_no_state_dict() -> None:
    module = Placeholder("models.UNet")
    module.state = {"_modules": {}, "training": True}
    assert "whole pickled model (models.UNet)" in explained(module)
    assert "several state dicts ('netG', 'netD')" in explained({"netG": MODEL, "netD": weights("x")})
    assert "its top level has 'epoch', 'lr'" in explained({"epoch": 3, "lr": 0.1})
    for root in (None, 3, [], [3], MODEL["a"], {}, {3: MODEL["a"]}, {"ema": 0.9}):
        assert explained(root).startswith("a.pth: it holds no state dict")


# ---- lists, other keys, parts of names


OTHER = weights("x", "y")


@pytest.mark.parametrize("kind", [list, tuple])
def test_lists_of_training_scripts(kind: type) -> None:
    """DDIM's: model, optimizer, epoch, step and, where there is one, the average."""
    optimizer = {"state": {0: {"exp_avg": MODEL["a"]}}, "param_groups": []}
    wrapped = weights("module.a", "module.b")
    assert find(kind([MODEL, optimizer, 3, 100])) == (MODEL, "0", ())
    assert find(kind([wrapped, optimizer, 3, 100, EMA])) == (EMA, "4", ())
    assert find(kind([MODEL, optimizer, 3, 100, EMA]), "raw") == (MODEL, "0", ())
    assert find(kind([MODEL, optimizer, 3, 100, EMA]), "4") == (EMA, "4", ())
    assert find(kind([3, {"net": kind([MODEL])}]))[1] == "1.net.0"
    assert find({"states": kind([MODEL, optimizer, 3, 100, EMA])}) == (EMA, "states.4", ())
    assert "several state dicts ('0', '1')" in explained(kind([MODEL, OTHER]))


def test_the_state_of_an_optimizer_is_no_state_dict() -> None:
    assert find({"weights": MODEL, "optim": {"state": {"a": OTHER}, "param_groups": []}}) == (MODEL, "weights", ())


@pytest.mark.parametrize(
    "key",
    [
        "model_ema",
        "ema_state_dict",
        "state_dict_ema",
        "ema_model",
        "ema_0.9999",
        "EMACallback",
        "netEMA",
        "shadow",
        "swa_model",
    ],
)
def test_averages_by_any_name(key: str) -> None:
    root = {"state_dict": MODEL, key: EMA, "ema_decay": 0.999}
    assert find(root) == (EMA, key, ())
    assert find(root, "raw") == (MODEL, "state_dict", ())
    assert find(root, key)[0] == EMA
    assert find({"model": {"net": MODEL}, "callbacks": {key: {"weights": EMA}}})[0] == EMA


@pytest.mark.parametrize("key", ["schema", "cinema_net", "shadowless", "theme"])
def test_words_that_only_look_like_an_average(key: str) -> None:
    assert find({"model": MODEL, key: EMA}) == (MODEL, "model", ())


def test_an_average_that_is_an_object() -> None:
    average = Placeholder("train.EMA")
    average.state = {"decay": 0.9, "shadow": EMA}
    assert find({"model": MODEL, "averager": average}) == (EMA, "averager.shadow", ())


def test_averages_without_names() -> None:
    """In the order of the model's parameters, which leaves out what is no parameter."""
    model = {**weights("a", size=4), **weights("norm.running_mean", "norm.running_var"), **weights("b", size=5)}
    average = [*weights("0", size=4).values(), *weights("1", size=5).values()]
    tensors, found_at, notes = find({"model": model, "ema": {"decay": 0.9, "shadow_params": average}})
    assert (tensors["a"], tensors["b"], found_at, notes) == (average[0], average[1], "ema", ())
    for wrong in (average[::-1], average[:1], [*average, 3]):
        tensors, found_at, notes = find({"model": model, "ema": {"shadow_params": wrong}})
        assert (tensors, found_at, len(notes)) == (model, "model", 1)
    assert "it holds averaged weights alone, under 'ema.shadow_params'" in explained(
        {"ema": {"shadow_params": average}}
    )


def test_averages_among_the_names() -> None:
    own, average = weights("model.net.a", "model.net.b"), weights("model_ema.net.a", "model_ema.net.b")
    counts = {"model_ema.decay": view(Storage(4, "float32", bytes), "float32", 0, (), ())}
    tensors, found_at, _ = find({"state_dict": {**own, **average, **counts, **weights("betas")}})
    assert (tensors["net.a"], found_at) == (average["model_ema.net.a"], "state_dict.model_ema")
    dotless = weights("model_ema.neta", "model_ema.netb")
    assert find({**own, **dotless})[0]["net.b"] == dotless["model_ema.netb"]
    average = weights("ema.a", "ema.b")
    assert find({**MODEL, **average})[0] == {"a": average["ema.a"], "b": average["ema.b"]}
    assert find({**MODEL, **average}, "raw")[0] == MODEL


def test_a_partial_average_is_told() -> None:
    tensors, _, notes = find({"model": weights("a", "b", "c"), "ema": weights("a")})
    assert tensors.keys() == {"a", "b", "c"}
    assert notes == ("2 of 3 tensors are not averaged under 'ema' and are the model's own: 'b', 'c'",)


def known(tensors: dict[str, Tensor]) -> bool:
    return tensors.keys() == {"a", "b"}


def test_the_known_one_of_several_networks() -> None:
    def chosen(root: object, prefer: str = "ema") -> tuple[str, tuple[str, ...]]:
        found = state_dict(Checkpoint(Path("a.pth"), root, ()), prefer, known)
        return found.found_at, found.notes

    assert chosen({"g": MODEL, "d": OTHER}) == ("g", ("of the state dicts 'g', 'd' that of a known network is taken",))
    assert chosen({"g": MODEL, "d": OTHER, "g_ema": EMA})[0] == "g_ema"
    assert chosen({"g": MODEL, "d": OTHER}, "d") == ("d", ())
    among = {**weights("generator.a", "generator.b"), **weights("critic.x")}
    assert chosen({"state_dict": among})[0] == "state_dict.generator"
    assert chosen({"state_dict": among})[1] == (
        "of its tensors those under 'generator' are taken; others are under 'critic'",
    )
    assert chosen(among, "critic")[0] == "critic"
    both = {**weights("net_A.a", "net_A.b"), **weights("net_B.a", "net_B.b")}
    with pytest.raises(CheckpointError, match=r"several networks \('net_A', 'net_B'\): choose one with --weights KEY"):
        chosen(both)
    assert chosen(both, "net_B")[0] == "net_B"


def test_names_of_python_2() -> None:
    assert find({b"model": {name.encode(): tensor for name, tensor in MODEL.items()}, b"\xff": 3}) == (
        MODEL,
        "model",
        (),
    )


def test_whole_models_are_told_wherever_they_are() -> None:
    module = Placeholder("models.UNet")
    module.state = {"_modules": {"a": MODEL}, "_parameters": MODEL}
    assert "it holds under 'model' a whole pickled model (models.UNet)" in explained({"model": module, "epoch": 3})
    assert "it holds under '1' a whole pickled model" in explained([3, module])
    assert find({"model": module, "weights": MODEL}) == (MODEL, "weights", ())


def test_cycles_end() -> None:
    root: dict[str, object] = {}
    root.update(model=root, state_dict=root, net=root, other=root)
    assert "no state dict" in explained(root)
    root["unet"] = MODEL
    assert find(root)[0] == MODEL
