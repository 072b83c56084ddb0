"""Files the real torch.save wrote, compared with what torch.load makes of them."""

from __future__ import annotations

import argparse
import collections
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from sige_mlx.converters import convert
from sige_mlx.converters.checkpoint import CheckpointError, Dict, Placeholder, Tensor, read, state_dict
from sige_mlx.converters.checkpoint.tensor import NUMPY_DTYPES
from tests.converters.networks import ddpm

LEGACY = {"_use_new_zipfile_serialization": False}
FORMATS = pytest.mark.parametrize("options", [{}, LEGACY, {"pickle_protocol": 4}], ids=["zip", "legacy", "protocol 4"])


def saved(path: Path, value: object, **options: Any) -> Any:
    torch.save(value, path, **options)
    return read(path).root


def assert_same(found: Any, expected: Any) -> None:
    assert isinstance(found, Tensor)
    assert found.shape == tuple(expected.shape)
    assert f"torch.{found.dtype}" == str(expected.dtype)
    wide = expected.float() if expected.dtype == torch.bfloat16 else expected
    np.testing.assert_array_equal(found.numpy(), wide.detach().numpy())


@FORMATS
@pytest.mark.parametrize("dtype", NUMPY_DTYPES)
def test_dtypes(dtype: str, options: dict[str, Any], tmp_path: Path) -> None:
    kind = getattr(torch, dtype)
    for value in (
        torch.arange(-3, 3).to(kind).reshape(2, 3),
        torch.tensor(1, dtype=kind),
        torch.zeros(0, 3, dtype=kind),
    ):
        assert_same(saved(tmp_path / "a.pth", value, **options), value)


@FORMATS
def test_views_and_shared_storages(options: dict[str, Any], tmp_path: Path) -> None:
    base = torch.arange(24.0).reshape(2, 3, 4)
    values = [base, base[1], base.mT, base[:, ::2, 1:], base[0, 0, 3], base[:1].expand(5, 3, 4), base.permute(2, 0, 1)]
    found = saved(tmp_path / "a.pth", values, **options)
    for one, value in zip(found, values, strict=True):
        assert_same(one, value)
    assert len({id(one.storage) for one in found}) == 1


@FORMATS
def test_parameters_buffers_and_attributes(options: dict[str, Any], tmp_path: Path) -> None:
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4))
    network[0].weight.note = "an attribute"
    content: dict[str, Any] = {
        "model": network.state_dict(),
        "parameters": list(network.parameters()),
        "size": network[0].weight.shape,
    }
    found = saved(tmp_path / "a.pth", content, **options)
    assert isinstance(found["model"], Dict)
    assert found["model"].attributes["_metadata"][""] == {"version": 1}
    for name, value in network.state_dict().items():
        assert_same(found["model"][name], value)
    for one, value in zip(found["parameters"], network.parameters(), strict=True):
        assert_same(one, value)
    assert found["size"] == (4, 3, 3, 3)


@FORMATS
def test_a_training_checkpoint(options: dict[str, Any], tmp_path: Path) -> None:
    """Wrapped in DataParallel, with its average, optimizer, scheduler, arguments, NumPy scalars and generators."""
    network = torch.nn.Linear(3, 2)
    wrapped = torch.nn.DataParallel(network)
    optimizer = torch.optim.Adam(network.parameters())
    network(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    path = tmp_path / "a.pth"
    average = {name: value.clone() * 2 for name, value in network.named_parameters()}
    content = {
        "model": wrapped.state_dict(),
        "ema": average,
        "optimizer": optimizer.state_dict(),
        "scheduler": torch.optim.lr_scheduler.StepLR(optimizer, 1).state_dict(),
        "args": argparse.Namespace(lr=0.1, device=torch.device("cpu"), dtype=torch.float16),
        "best": np.float64(0.5),
        "history": np.arange(5),
        "rng": torch.get_rng_state(),
        "counts": collections.Counter("abca"),
        "names": {"x", "y"},
    }
    torch.save(content, path, **options)
    checkpoint = read(path)
    found = state_dict(checkpoint)
    assert found.found_at == "ema"
    for name, value in average.items():
        assert_same(found.tensors[name], value)
    for name, value in network.state_dict().items():
        assert_same(state_dict(checkpoint, "raw").tensors[name], value)
    assert isinstance(checkpoint.root, dict)
    assert checkpoint.root["names"] == {"x", "y"}
    assert isinstance(checkpoint.root["args"], Placeholder)
    assert isinstance(checkpoint.root["best"], Placeholder)
    assert "argparse.Namespace" in checkpoint.placeholders


def test_whole_modules_and_scripts_are_explained(tmp_path: Path) -> None:
    torch.save(torch.nn.Sequential(torch.nn.Linear(3, 2)), tmp_path / "a.pth")
    with pytest.raises(CheckpointError, match=r"whole pickled model \(torch.nn.modules.container.Sequential\)"):
        state_dict(read(tmp_path / "a.pth"))
    with pytest.warns(DeprecationWarning):
        torch.jit.script(torch.nn.Linear(3, 2)).save(str(tmp_path / "b.pth"))
    with pytest.raises(CheckpointError, match="TorchScript"):
        read(tmp_path / "b.pth")


def test_a_file_without_checksums(tmp_path: Path) -> None:
    before = torch.serialization.get_crc32_options()
    torch.serialization.set_crc32_options(False)
    try:
        assert_same(saved(tmp_path / "a.pth", torch.ones(3)), torch.ones(3))
    finally:
        torch.serialization.set_crc32_options(before)


FOREIGN = {
    "sparse": lambda t: t.to_sparse(),
    "of type float8_e5m2": lambda t: t.to(torch.float8_e5m2),
    "on the device 'meta', without values": lambda t: t.to("meta"),
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_tensors_of_other_kinds(kind: str, tmp_path: Path) -> None:
    """They stay out of the way, and where the network needs one, that is what is told of it."""
    other = FOREIGN[kind](torch.eye(2))
    found = saved(tmp_path / "a.pth", {"other": other, "dense": torch.ones(2)})
    assert isinstance(found["other"], Placeholder)
    assert_same(found["dense"], torch.ones(2))
    state = {name: torch.from_numpy(value) for name, value in ddpm().items()}
    bias = FOREIGN[kind](state["conv_in.bias"])
    for content in ({**state, "conv_in.bias": bias}, {**state, "conv_in.bias": torch.nn.Parameter(bias, False)}):
        torch.save({"state_dict": content}, tmp_path / "a.pth")
        with pytest.raises(CheckpointError, match=f"its tensor conv_in.bias is {kind}; weights are taken from dense"):
            convert(tmp_path / "a.pth", tmp_path / "m")
    torch.save({name: FOREIGN[kind](value) for name, value in state.items()}, tmp_path / "a.pth")
    with pytest.raises(CheckpointError, match=f"a.pth: its tensor [a-z0-9._]* is {kind}; "):
        convert(tmp_path / "a.pth", tmp_path / "m")


class Network(torch.nn.Module):
    """A class only this file knows."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(3, 2)


@pytest.mark.filterwarnings("ignore:Couldn't retrieve source code")
@pytest.mark.parametrize("options", [{}, LEGACY])
def test_a_model_beside_its_state_dict(options: dict[str, Any], tmp_path: Path) -> None:
    network = Network()
    torch.save({"net": network, "state_dict": network.state_dict()}, tmp_path / "a.pth", **options)
    found = state_dict(read(tmp_path / "a.pth"))
    assert found.found_at == "state_dict"
    assert_same(found.tensors["layer.bias"], network.layer.bias)
    torch.save({"net": network}, tmp_path / "a.pth", **options)
    with pytest.raises(CheckpointError, match="it holds under 'net' a whole pickled model"):
        state_dict(read(tmp_path / "a.pth"))


@FORMATS
@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_weights_kept_as_numpy_arrays(options: dict[str, Any], protocol: int, tmp_path: Path) -> None:
    arrays: dict[str, Any] = {
        "small": np.arange(6, dtype=np.float16).reshape(2, 3),
        "large": np.random.default_rng(0).standard_normal((300, 300)),
        "columns": np.asfortranarray(np.arange(12.0).reshape(3, 4)),
        "empty": np.zeros((0, 3), np.float32),
        "flags": np.array([True, False]),
        "steps": np.array(7),
    }
    others = {"text": np.array(["a"]), "objects": np.array([None]), "scalar": np.float64(3)}
    torch.save(
        {"epoch": 3, "weights": {**arrays, **others}}, tmp_path / "a.pth", **{**options, "pickle_protocol": protocol}
    )
    found = state_dict(read(tmp_path / "a.pth"))
    assert found.tensors.keys() == arrays.keys()
    for name, value in arrays.items():
        values = found.tensors[name].numpy()
        assert (values.dtype, values.shape) == (value.dtype, value.shape)
        np.testing.assert_array_equal(values, value)
    assert set(found.foreign) == {"text", "objects"}


@pytest.mark.parametrize("protocol", [0, 1])
def test_old_protocols_are_told(protocol: int, tmp_path: Path) -> None:
    for options in ({}, LEGACY):
        torch.save({"a": torch.ones(2), "b": 1 << 40}, tmp_path / "a.pth", pickle_protocol=protocol, **options)
        with pytest.raises(CheckpointError, match="its pickle is of protocol 0 or 1: save it with"):
            read(tmp_path / "a.pth")


def test_what_torch_export_writes(tmp_path: Path) -> None:
    program = torch.export.export(torch.nn.Linear(3, 2), (torch.ones(1, 3),))
    torch.export.save(program, tmp_path / "a.pt2")
    with pytest.raises(CheckpointError, match=r"torch.export wrote it \(.pt2\); save the state_dict\(\)"):
        read(tmp_path / "a.pt2")
