"""Damaged and invented files: success or one `CheckpointError`, whatever is in them."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file

from sige_mlx.converters import convert
from sige_mlx.converters.checkpoint import CheckpointError, Placeholder, Tensor, read, state_dict
from sige_mlx.errors import SigeError
from tests.converters.networks import ddpm, diffusers_config, diffusers_ddpm
from tests.converters.writer import Call, Name, dumps, save, write_legacy, write_zip

FORMS = pytest.mark.parametrize("form", ["zip", "deflated", "legacy", "safetensors"])
shared_folder = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


def tensors(root: object) -> Iterator[Tensor]:
    """Every tensor anywhere in a checkpoint's object, which may have cycles."""
    seen: set[int] = set()
    stack = [root]
    while stack:
        value = stack.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, dict):
            stack += value.values()
        elif isinstance(value, list | tuple | set | frozenset):
            stack += value
        elif isinstance(value, Placeholder):
            stack += [value.args, value.state, value.entries, value.elements, value.kwargs]


def exercise(path: Path) -> None:
    """Everything the package does with a file."""
    with contextlib.suppress(CheckpointError):
        checkpoint = read(path)
        for tensor in tensors(checkpoint.root):
            with contextlib.suppress(CheckpointError):
                assert tensor.numpy().shape == tensor.shape
        with contextlib.suppress(CheckpointError):
            for tensor in state_dict(checkpoint).tensors.values():  # arrays of NumPy are among them
                with contextlib.suppress(CheckpointError):
                    assert tensor.numpy().shape == tensor.shape
    with pytest.raises(SigeError) as caught:  # none of these is a network
        convert(path, path.parent / "model")
    assert "\n" not in str(caught.value)
    assert not (path.parent / "model").exists()


def sample(path: Path, form: str) -> bytes:
    arrays: dict[str, np.ndarray] = {
        "a.weight": np.ones((2, 3), np.float32),
        "a.bias": np.zeros(2, np.float16),
        "n": np.array(3),
    }
    if form == "safetensors":
        save_file(arrays, path)
    else:
        save(path, arrays, form)
    return path.read_bytes()


@FORMS
@shared_folder
@given(flips=st.lists(st.tuples(st.integers(0, 1 << 16), st.integers(1, 255)), min_size=1, max_size=4))
def test_flipped_bytes(form: str, tmp_path: Path, flips: list[tuple[int, int]]) -> None:
    path = tmp_path / "a.pth"
    data = bytearray(sample(path, form))
    for position, mask in flips:
        data[position % len(data)] ^= mask
    path.write_bytes(data)
    exercise(path)


@FORMS
@shared_folder
@given(cut=st.integers(0, 1 << 16), filler=st.binary(max_size=30))
def test_cut_and_filled(form: str, tmp_path: Path, cut: int, filler: bytes) -> None:
    """A piece replaced by another of any length, so that everything behind it moves."""
    path = tmp_path / "a.pth"
    data = sample(path, form)
    cut %= len(data)
    path.write_bytes(data[:cut] + filler + data[cut + 8 :])
    exercise(path)


@shared_folder
@given(st.binary(max_size=300))
def test_random_files(tmp_path: Path, data: bytes) -> None:
    for magic in (b"", b"PK\3\4", b"\x80\x02"):
        path = tmp_path / "a.pth"
        path.write_bytes(magic + data)
        exercise(path)


names = st.sampled_from(
    [
        Name("torch._utils", "_rebuild_tensor_v2"),
        Name("torch._utils", "_rebuild_tensor"),
        Name("torch._utils", "_rebuild_tensor_v3"),
        Name("torch._utils", "_rebuild_parameter"),
        Name("torch._tensor", "_rebuild_from_type_v2"),
        Name("torch", "Size"),
        Name("torch", "float32"),
        Name("collections", "OrderedDict"),
        Name("builtins", "set"),
        Name("builtins", "getattr"),
        Name("os", "system"),
        Name("_codecs", "encode"),
        Name("numpy", "dtype"),
        Name("numpy", "ndarray"),
        Name("numpy.core.multiarray", "_reconstruct"),
        Name("numpy._core.multiarray", "_reconstruct"),
        Name("numpy._core.numeric", "_frombuffer"),
        Name("torch._utils", "_rebuild_sparse_tensor"),
    ]
)
simple = st.none() | st.booleans() | st.integers(-3, 1 << 40) | st.text(max_size=3) | st.floats()
dtypes = st.builds(
    lambda kind, order, rest: Call(Name("numpy", "dtype"), (kind, False, True), (), (3, order, *rest)),
    st.sampled_from(["f4", "f8", "i8", "O", "V4", "f16", "", "b1"]),
    st.sampled_from(["<", "|", ">", "x"]),
    st.sampled_from([(None, None, None, -1, -1, 0), (None, ("a",), {}, 4, 1, 0), ()]),
)
raws = st.binary(max_size=40).map(lambda raw: Call(Name("_codecs", "encode"), (raw.decode("latin1"), "latin1")))
arrays = st.builds(
    lambda shape, dtype, fortran, raw: Call(
        Name("numpy.core.multiarray", "_reconstruct"), (), (), (1, shape, dtype, fortran, raw)
    ),
    st.lists(st.integers(-1, 5) | st.just(1 << 60), max_size=3).map(tuple),
    dtypes | simple,
    st.booleans(),
    raws | simple,
)
objects = st.recursive(
    simple | names | arrays,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=4).map(tuple),
        st.dictionaries(st.text(max_size=8), inner, max_size=4),
        st.builds(Call, names | inner, st.lists(inner, max_size=7).map(tuple)),
        st.builds(Call, names, st.just(()), st.lists(st.tuples(inner, inner), max_size=2).map(tuple), inner),
    ),
    max_leaves=25,
)
WRITERS: tuple[Callable[[Path, object], Path], ...] = (
    lambda path, root: write_zip(path, root, {"0": b"\0" * 64}),
    lambda path, root: write_legacy(path, root, {}),
)


@shared_folder
@given(objects, st.sampled_from(WRITERS))
def test_invented_objects(tmp_path: Path, root: object, write: Callable[[Path, object], Path]) -> None:
    exercise(write(tmp_path / "a.pth", dumps(root)))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 1 << 70) | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=10,
)
settings_of_diffusers = sorted(diffusers_config())


def whatever(source: Path) -> None:
    """A conversion succeeds, or is one sentence that may be printed and leaves nothing."""
    model = source.parent / "model"
    try:
        convert(source, model)
    except SigeError as error:
        assert str(error).isprintable() and len(str(error)) < 2200
        assert not model.exists()
    else:
        shutil.rmtree(model)


def network(folder: Path, config: bytes, scheduler: bytes | None = None) -> Path:
    """A folder of diffusers with these files beside its weights."""
    folder.mkdir(exist_ok=True)
    if not (folder / "diffusion_pytorch_model.safetensors").exists():
        save_file(diffusers_ddpm(ddpm()), folder / "diffusion_pytorch_model.safetensors")
    (folder / "config.json").write_bytes(config)
    if scheduler is not None:
        (folder / "scheduler_config.json").write_bytes(scheduler)
    return folder


@shared_folder
@given(st.dictionaries(st.sampled_from(settings_of_diffusers), json_values, min_size=1) | st.binary(max_size=200))
def test_descriptions_of_networks(tmp_path: Path, changed: dict[str, Any] | bytes) -> None:
    text = changed if isinstance(changed, bytes) else json.dumps({**diffusers_config(), **changed}).encode()
    whatever(network(tmp_path / "net", text))


@shared_folder
@given(st.dictionaries(st.text(max_size=8), json_values, max_size=3) | json_values, st.binary(max_size=100))
def test_lists_of_shards(tmp_path: Path, listed: Any, raw: bytes) -> None:
    index = tmp_path / "diffusion_pytorch_model.safetensors.index.json"
    for text in (json.dumps({"weight_map": listed}).encode(), json.dumps(listed).encode(), raw):
        index.write_bytes(text)
        whatever(index)


settings_of_schedulers = ["prediction_type", "beta_start", "trained_betas", "beta_schedule", "_class_name"]


@shared_folder
@given(st.dictionaries(st.sampled_from(settings_of_schedulers), json_values) | json_values | st.binary(max_size=99))
def test_schedules(tmp_path: Path, said: Any) -> None:
    text = said if isinstance(said, bytes) else json.dumps(said).encode()
    whatever(network(tmp_path / "net", json.dumps(diffusers_config()).encode(), text))
