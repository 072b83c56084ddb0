"""Files of both formats, made here without PyTorch, and everything that can be wrong with them."""

from __future__ import annotations

import os
import struct
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sige_mlx.converters.checkpoint import CheckpointError, Dict, Placeholder, Tensor, numpy_arrays, read
from tests.converters.writer import (
    Call,
    Name,
    Persistent,
    legacy,
    ordered,
    rebuild,
    save,
    storage,
    write_legacy,
    write_zip,
)

FORMS = ("zip", "deflated", "legacy")
RNG = np.random.default_rng(0)
ARRAYS: dict[str, np.ndarray] = {
    "conv.weight": RNG.standard_normal((4, 3, 3, 3), np.float32),
    "conv.bias": RNG.standard_normal(4).astype(np.float16),
    "steps": np.array(7, np.int64),
    "mask": np.array([True, False]),
    "none": np.zeros((0, 3), np.float32),
}
FLOATS = np.arange(12, dtype="<f4")


def sentence(path: Path) -> str:
    """What reading `path` complains about."""
    with pytest.raises(CheckpointError) as caught:
        read(path)
    text = str(caught.value)
    assert text.startswith(f"{path}: ")
    assert text.isprintable()
    return text.removeprefix(f"{path}: ")


def tensor(value: object) -> Tensor:
    assert isinstance(value, Tensor)
    return value


@pytest.mark.parametrize("form", FORMS)
def test_state_dict(form: str, tmp_path: Path) -> None:
    checkpoint = read(save(tmp_path / "a.pth", ARRAYS, form))
    assert isinstance(checkpoint.root, Dict)
    assert checkpoint.root.attributes == {"_metadata": {"": {"version": 1}}}
    assert checkpoint.placeholders == ()
    assert list(checkpoint.root) == list(ARRAYS)
    for name, array in ARRAYS.items():
        values = checkpoint.root[name].numpy()
        assert values.dtype == array.dtype
        np.testing.assert_array_equal(values, array)


@pytest.mark.parametrize("form", ["zip", "legacy"])
def test_tensors_stay_in_the_file(form: str, tmp_path: Path) -> None:
    """Values are views of the map, not copies: two of them share memory, and nobody can write to the file."""
    root = read(save(tmp_path / "a.pth", ARRAYS, form)).root
    assert isinstance(root, Dict)
    first, second = (tensor(root["conv.weight"]).numpy() for _ in range(2))
    assert np.shares_memory(first, second)
    assert not first.flags.writeable
    with pytest.raises(ValueError, match="cannot set WRITEABLE"):
        first.flags.writeable = True


@pytest.mark.parametrize("form", ["zip", "legacy"])
def test_views_share_their_storage(form: str, tmp_path: Path) -> None:
    whole = storage("0", "Float", 12)
    whole = legacy(whole) if form == "legacy" else whole
    root = [
        rebuild(whole, (3, 4), (4, 1)),
        rebuild(whole, (4, 3), (1, 4)),  # transposed
        rebuild(whole, (2, 2), (8, 2), 1),  # every second element of rows 0 and 2, from the second on
        rebuild(whole, (5, 12), (0, 1)),  # expanded
        rebuild(whole, (), (), 11),
        rebuild(whole, (1, 12), (1 << 100, 1)),  # strides of axes of length 1 mean nothing
    ]
    if form == "zip":
        path = write_zip(tmp_path / "a.pth", root, {"0": FLOATS.tobytes()})
    else:
        path = write_legacy(tmp_path / "a.pth", root, {"0": (12, FLOATS.tobytes())})
    tensors = read(path).root
    assert isinstance(tensors, list)
    assert len({id(t.storage) for t in tensors}) == 1
    grid = FLOATS.reshape(3, 4)
    expected = [grid, grid.T, grid[::2, 1::2], np.tile(FLOATS, (5, 1)), FLOATS[11], FLOATS[None]]
    for found, values in zip(tensors, expected, strict=True):
        np.testing.assert_array_equal(found.numpy(), values)


def test_parts_of_legacy_storages(tmp_path: Path) -> None:
    part = legacy(storage("0", "Float", 12), ("1", 4, 6))
    path = write_legacy(tmp_path / "a.pth", rebuild(part, (2, 3), (3, 1)), {"0": (12, FLOATS.tobytes())})
    np.testing.assert_array_equal(tensor(read(path).root).numpy(), FLOATS[4:10].reshape(2, 3))


def test_bfloat16_is_widened_exactly(tmp_path: Path) -> None:
    values = np.array([1.0, -2.5, 3e38, 1e-40, np.inf], "<f4").view("<u4") & 0xFFFF0000
    path = write_zip(
        tmp_path / "a.pth",
        [rebuild(storage("0", "BFloat16", 5), (5,), (1,)), rebuild(storage("0", "BFloat16", 5), (), (), 1)],
        {"0": (values >> 16).astype("<u2").tobytes()},
    )
    root = read(path).root
    assert isinstance(root, list)
    np.testing.assert_array_equal(root[0].numpy(), values.view("<f4"))
    assert root[1].numpy() == -2.5


def test_parameters_sizes_and_untyped_storages(tmp_path: Path) -> None:
    plain = rebuild(storage("0", "Float", 12), (12,), (1,))
    hooks = Call(Name("collections", "OrderedDict"))
    untyped = Persistent(("storage", Name("torch.storage", "UntypedStorage"), "1", "cpu", 6))
    root = {
        "parameter": Call(Name("torch._utils", "_rebuild_parameter"), (plain, True, hooks)),
        "with state": Call(Name("torch._utils", "_rebuild_parameter_with_state"), (plain, True, hooks, {"x": 1})),
        "subclass": Call(
            Name("torch._tensor", "_rebuild_from_type_v2"),
            (plain.function, Name("torch", "Tensor"), plain.args, {"x": 1}),
        ),
        "uint16": Call(
            Name("torch._utils", "_rebuild_tensor_v3"), (untyped, 0, (3,), (1,), False, hooks, Name("torch", "uint16"))
        ),
        "size": Call(Name("torch", "Size"), ((2, 3),)),
        "conjugate": Call(plain.function, (*plain.args, {"conj": True})),
        "scalar": Call(
            Name("numpy.core.multiarray", "scalar"), (Call(Name("numpy", "dtype"), ("f8", False, True)), "8")
        ),
    }
    checkpoint = read(write_zip(tmp_path / "a.pth", root, {"0": FLOATS.tobytes(), "1": b"\1\0\2\0\3\0"}))
    content = checkpoint.root
    assert isinstance(content, dict)
    for name in ("parameter", "with state", "subclass"):
        np.testing.assert_array_equal(content[name].numpy(), FLOATS)
    np.testing.assert_array_equal(content["uint16"].numpy(), [1, 2, 3])
    assert content["size"] == (2, 3)
    assert isinstance(content["conjugate"], Placeholder)
    assert isinstance(content["scalar"], Placeholder)
    assert checkpoint.placeholders == ("torch._utils._rebuild_tensor_v2", "numpy.dtype", "numpy.core.multiarray.scalar")


F4 = storage("0", "Float", 12)
OUTSIDE, MALFORMED = "reaches outside its storage", "malformed shape, stride or offset"
HOSTILE = [
    (OUTSIDE, rebuild(F4, (13,), (1,))),
    (OUTSIDE, rebuild(F4, (2, 3), (7, 3))),
    (OUTSIDE, rebuild(F4, (1,), (1,), 12)),
    (OUTSIDE, rebuild(F4, (), (), 12)),
    (MALFORMED, rebuild(F4, (-1,), (1,))),
    (MALFORMED, rebuild(F4, (2,), (-1,))),
    (MALFORMED, rebuild(F4, (2,), (1,), -1)),
    (MALFORMED, rebuild(F4, (2, 2), (1,))),
    (MALFORMED, rebuild(F4, (1,) * 33, (1,) * 33)),
    (MALFORMED, rebuild(F4, (True,), (1,))),
    ("more elements than any file", rebuild(F4, (1 << 40, 1 << 40), (0, 0))),
    ("more elements than any file", rebuild(F4, (0, 1 << 62, 1 << 62), (1, 1, 1))),
    ("not in the file", rebuild(storage("../../etc/passwd", "Float", 12), (12,), (1,))),
    ("shorter than the 52 bytes", rebuild(storage("0", "Float", 13), (12,), (1,))),
    ("a storage has a malformed size", rebuild(storage("0", "Float", -1), (0,), (1,))),
    ("a storage has a malformed size", rebuild(storage("0", "Float", 1 << 100), (0,), (1,))),
    ("torch.QInt8Storage, which is not supported", rebuild(storage("0", "QInt8", 12), (12,), (1,))),
    ("no storage class", rebuild(Persistent(("storage", Name("os", "FloatStorage"), "0", "cpu", 12)), (12,), (1,))),
    ("that is no storage", Persistent(("module", "x"))),
    ("that is no storage", Persistent(7)),
    ("described in two ways", [rebuild(F4, (1,), (1,)), rebuild(storage("0", "Float", 11), (1,), (1,))]),
    ("described in two ways", [rebuild(F4, (1,), (1,)), rebuild(storage("0", "Int", 12), (1,), (1,))]),
    ("no dtype", rebuild(storage("0", "Untyped", 48), (12,), (1,))),
]


@pytest.mark.parametrize(("complaint", "root"), HOSTILE)
def test_every_number_is_checked(complaint: str, root: object, tmp_path: Path) -> None:
    path = write_zip(tmp_path / "a.pth", root, {"0": FLOATS.tobytes()})
    assert complaint in sentence(path)


def test_expansion_cannot_amplify_memory(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "a.pth", rebuild(F4, (1 << 24, 1 << 20), (0, 0)), {"0": FLOATS.tobytes()})
    expanded = tensor(read(path).root)
    with pytest.raises(CheckpointError, match="expanded over 48 bytes"):
        expanded.numpy()


LEGACY_F4 = legacy(F4)


@pytest.mark.parametrize(
    ("complaint", "header"),
    [
        ("big-endian", {"little_endian": False}),
        ("unknown version", {"protocol": 1002}),
        ("torch.save did not write it", {"magic": 5}),
    ],
)
def test_legacy_headers(complaint: str, header: dict[str, Any], tmp_path: Path) -> None:
    root = rebuild(LEGACY_F4, (12,), (1,))
    path = write_legacy(tmp_path / "a.pth", root, {"0": (12, FLOATS.tobytes())}, **header)
    assert complaint in sentence(path)


def test_legacy_storages_are_checked(tmp_path: Path) -> None:
    path = tmp_path / "a.pth"
    root = rebuild(LEGACY_F4, (12,), (1,))
    raw = FLOATS.tobytes()
    assert "11 elements instead" in sentence(write_legacy(path, root, {"0": (11, raw)}))
    assert "ends before its last tensor" in sentence(write_legacy(path, root, {"0": (12, raw[:-1])}))
    assert "does not fit its tensors" in sentence(write_legacy(path, root, {"7": (12, raw)}))
    assert "does not fit its tensors" in sentence(write_legacy(path, root, {}))
    outside = rebuild(legacy(F4, ("1", 10, 3)), (3,), (1,))
    assert "reaches outside it" in sentence(write_legacy(path, outside, {"0": (12, raw)}))
    odd = rebuild(legacy(F4, ("1", -1, 3)), (3,), (1,))
    assert "unknown way" in sentence(write_legacy(path, odd, {"0": (12, raw)}))


@pytest.mark.parametrize("form", FORMS)
def test_every_truncation_is_noticed(form: str, tmp_path: Path) -> None:
    path = save(tmp_path / "a.pth", ARRAYS, form)
    content = path.read_bytes()
    for length in range(1, len(content), 7):
        path.write_bytes(content[:length])
        assert sentence(path)


def test_zip_archives_of_other_kinds(tmp_path: Path) -> None:
    path = tmp_path / "a.pth"
    script = write_zip(path, {}, {}, records={"constants.pkl": b"", "code/model.py": b""})
    assert "TorchScript" in sentence(script)
    assert "big-endian" in sentence(write_zip(path, {}, {}, records={"byteorder": b"big"}))
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("folder/model.pth", b"x")
    assert "'folder/model.pth': unpack it first" in sentence(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.npy", b"x")
    assert "an .npz of NumPy arrays" in sentence(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("word/document.xml", b"x")
    assert "no PyTorch checkpoint" in sentence(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("empty", b"")
    listing = path.read_bytes().replace(struct.pack("<2H", 1, 1), bytes(4))  # of an archive that lists no entry
    path.write_bytes(listing)
    assert "no PyTorch checkpoint" in sentence(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a/data.pkl", b"N.")
        archive.writestr("b/data.pkl", b"N.")
    assert "no PyTorch checkpoint" in sentence(path)


def test_files_of_other_kinds(tmp_path: Path) -> None:
    path = tmp_path / "a.pth"
    for content, complaint in {
        b"<!DOCTYPE html><html><head>": "a web page",
        b"\n <html>not found</html>": "a web page",
        b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n": "git lfs pull",
        b'{"error": "no such file"}': "a text file",
        struct.pack("<Q", 20) + b'{"a": {"dtype": "F32"': "a safetensors file",
        b"\x89HDF\r\n\x1a\n": "HDF5",
        b"\x1f\x8b\x08\x00": "gzip",
        b"\x89PNG\r\n\x1a\n": "a picture",
        b"\x80\x02}q\x00.": "torch.save did not write it",
        b"\x00\x01\x02\x03": "no PyTorch checkpoint",
        b"PK\x03\x04": "truncated",
        b"BZh91AY": "bzip2",
        b"\x28\xb5\x2f\xfd\x24": "Zstandard",
    }.items():
        path.write_bytes(content)
        assert complaint in sentence(path), content
    for form in (tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT):
        for name, complaint in (
            ("sys_info", "tar archive, as PyTorch wrote before 0.1.10"),
            ("./pickle", "tar archive, as PyTorch wrote before 0.1.10"),
            ("models/church.pth", "a tar archive (it begins with 'models/church.pth'): unpack it first"),
            ("a\x1b[31m.pth", r"a tar archive (it begins with 'a\x1b[31m.pth'): unpack it first"),
        ):
            with tarfile.open(path, "w", format=form) as archive:
                archive.add(__file__, name)
            assert complaint in sentence(path)


def test_no_file_at_all(tmp_path: Path) -> None:
    assert "No such file" in sentence(tmp_path / "missing.pth")
    assert "is a folder" in sentence(tmp_path)
    empty = tmp_path / "empty.pth"
    empty.touch()
    assert "is empty" in sentence(empty)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    assert "no regular file" in sentence(pipe)


def test_bytes_of_one_tensor_that_are_others(tmp_path: Path) -> None:
    path = save(tmp_path / "a.pth", ARRAYS)
    data = bytearray(path.read_bytes())
    data[data.find(ARRAYS["conv.weight"].tobytes()) + 9] ^= 1
    path.write_bytes(data)
    root = read(path).root
    assert isinstance(root, Dict)
    np.testing.assert_array_equal(root["conv.bias"].numpy(), ARRAYS["conv.bias"])
    with pytest.raises(CheckpointError, match="'archive/data/0' is damaged"):
        root["conv.weight"].numpy()


def test_classes_that_are_kept_outside(tmp_path: Path) -> None:
    """Before PyTorch 1.6 a whole module was kept with its source text."""
    module = Persistent(("module", Name("models", "UNet"), "unet.py", "class UNet: ..."))
    root = {"net": Call(module, (), (), {"_modules": {}}), "weights": rebuild(legacy(F4), (12,), (1,))}
    found = read(write_legacy(tmp_path / "a.pth", root, {"0": (12, FLOATS.tobytes())})).root
    assert isinstance(found, dict)
    assert (found["net"].name, found["net"].state) == ("models.UNet", {"_modules": {}})
    np.testing.assert_array_equal(found["weights"].numpy(), FLOATS)


def array(dtype: str, shape: object, raw: object, order: str = "<", **changed: Any) -> Call:
    """A NumPy array as it is pickled."""
    rest = changed.get("rest", (None, None, None, -1, -1, 0))
    kind = Call(Name("numpy", "dtype"), (dtype, False, True), (), (3, order, *rest))
    start = (Name("numpy", "ndarray"), (0,), "b")
    return Call(Name("numpy.core.multiarray", "_reconstruct"), start, (), (1, shape, kind, False, raw))


def latin1(raw: bytes) -> Call:
    """Bytes as protocol 2 has them."""
    return Call(Name("_codecs", "encode"), (raw.decode("latin1"), "latin1"))


def test_numpy_arrays_are_read_where_they_are(tmp_path: Path) -> None:
    large = RNG.standard_normal((200, 300), np.float32)
    root = {"a": array("f4", (3, 4), latin1(FLOATS.tobytes())), "b": array("f4", large.shape, latin1(large.tobytes()))}
    found = read(write_zip(tmp_path / "a.pth", root, {})).root
    assert isinstance(found, dict)
    for name, values in (("a", FLOATS.reshape(3, 4)), ("b", large)):
        np.testing.assert_array_equal(tensor(numpy_arrays.array(found[name])).numpy(), values)


@pytest.mark.parametrize(
    "value",
    [
        array("f4", (13,), latin1(FLOATS.tobytes())),
        array("f4", (-12,), latin1(FLOATS.tobytes())),
        array("f4", (True,), latin1(FLOATS.tobytes()[:4])),
        array("f4", ("x",), latin1(FLOATS.tobytes())),
        array("f4", (1 << 40, 1 << 40), latin1(b"a" * 70_000)),
        array("f4", (1,) * 33, latin1(FLOATS.tobytes()[:4])),
        array("u1", (0, 1 << 62, 1 << 62), latin1(b"")),
        array("f4", (17_500,), latin1(b"\xff" * 70_001)),
    ],
)
def test_numpy_arrays_that_are_damaged(value: Call, tmp_path: Path) -> None:
    found = read(write_zip(tmp_path / "a.pth", [value], {})).root
    assert isinstance(found, list)
    with pytest.raises(CheckpointError, match=r"NumPy array|malformed shape|more elements"):
        tensor(numpy_arrays.array(found[0])).numpy()


@pytest.mark.parametrize(
    "value",
    [
        array("f4", (3,), latin1(FLOATS.tobytes()), order=">"),
        array("O", (3,), [1, 2, 3]),
        array("f4", [3], latin1(FLOATS.tobytes())),
        array("V8", (3,), latin1(FLOATS.tobytes()), rest=(None, ("a", "b"), {}, 8, 1, 0)),
        array("M8", (3,), latin1(FLOATS.tobytes())),
        Call(Name("numpy.core.multiarray", "_reconstruct"), (), (), 3),
    ],
)
def test_arrays_of_anything_but_plain_numbers(value: Call, tmp_path: Path) -> None:
    found = read(write_zip(tmp_path / "a.pth", [value], {})).root
    assert isinstance(found, list)
    assert numpy_arrays.array(found[0]) is None and numpy_arrays.is_array(found[0])


def test_order_and_extra_content_do_not_matter(tmp_path: Path) -> None:
    """Optimizer state, arguments, hyper-parameters of unknown classes: read, and out of the way."""
    root = {
        "args": Call(Name("argparse", "Namespace"), (), (), {"lr": 0.1}),
        "weights": ordered({"w": rebuild(F4, (12,), (1,))}),
        "epoch": 3,
    }
    checkpoint = read(write_zip(tmp_path / "a.pth", root, {"0": FLOATS.tobytes()}))
    assert checkpoint.placeholders == ("argparse.Namespace",)
    assert isinstance(checkpoint.root, dict)
    assert checkpoint.root["args"].state == {"lr": 0.1}
    assert checkpoint.root["epoch"] == 3
