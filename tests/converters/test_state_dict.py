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


def test_cycles_end() -> None:
    root: dict[str, object] = {}
    root.update(model=root, state_dict=root, net=root, other=root)
    assert "no state dict" in explained(root)
    root["unet"] = MODEL
    assert find(root)[0] == MODEL
