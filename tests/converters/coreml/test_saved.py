"""Reading packages without coremltools: what it finds, and what it says of damaged ones."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import numpy as np
import pytest

from sige_mlx.converters.coreml import saved
from sige_mlx.errors import SigeError

CONVERTERS = Path(saved.__file__).resolve().parent
EXPORTER = {
    "builder",
    "estimate",
    "functions",
    "joined",
    "on_mac",
    "package",
    "reading",
    "statistics",
    "tiles",
    "translate",
}
"""These modules of the exporter need coremltools, and the one that has Core ML run packages."""


def test_coremltools_is_imported_by_the_exporter_alone() -> None:
    found = set()
    for folder in (CONVERTERS.parents[1] / "sige_mlx", CONVERTERS.parents[1] / "converters"):
        for path in folder.rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
                names += [name.name for name in node.names] if isinstance(node, ast.Import) else []
                if any(name.partition(".")[0] == "coremltools" for name in names):
                    found.add(path.stem)
    assert found <= EXPORTER and "package" in found


def message(number: int, *parts: bytes) -> bytes:
    """A field of bytes of a protobuf message."""
    data = b"".join(parts)
    return bytes(varint(number << 3 | 2)) + bytes(varint(len(data))) + data


def varint(value: int) -> list[int]:
    found = []
    while value > 127:
        found.append(value & 127 | 128)
        value >>= 7
    return [*found, value]


def integer(number: int, value: int) -> bytes:
    return bytes(varint(number << 3)) + bytes(varint(value & 0xFFFF_FFFF_FFFF_FFFF))


def kind(dtype: int, *shape: int) -> bytes:
    dimensions = [message(3, message(1, integer(1, n))) for n in shape]
    return message(1, integer(1, dtype), integer(2, len(shape)), *dimensions)


def program() -> bytes:
    """A function that adds (-1, 2) to its input."""
    values = message(1, message(2, message(1, bytes(varint(0xFFFF_FFFF_FFFF_FFFF)), bytes(varint(2)))))
    held = message(2, kind(23, 2)) + message(3, values)
    attribute = message(5, message(1, b"val"), message(2, held))
    constant = message(3, message(1, b"const"), message(3, message(1, b"c"), message(2, kind(23, 2))), attribute)
    inputs = [
        message(2, message(1, name), message(2, message(1, message(1, of))))
        for name, of in ((b"x", b"a"), (b"y", b"c"))
    ]
    add = message(3, message(1, b"add"), *inputs, message(3, message(1, b"b"), message(2, kind(23, 2))))
    block = message(3, message(1, b"CoreML7"), message(2, message(2, b"b"), constant, add))
    function = message(1, message(1, b"a"), message(2, kind(23, 2))) + block
    return integer(1, 8) + message(502, message(2, message(1, b"main"), message(2, function)))


def package(folder: Path, model: bytes, path: str = "com.apple.CoreML/model.mlmodel") -> Path:
    out = folder / "a.mlpackage"
    place = out / "Data" / path
    place.parent.mkdir(parents=True)
    place.write_bytes(model)
    manifest = {"itemInfoEntries": {"1": {"path": path}}, "rootModelIdentifier": "1"}
    (out / "Manifest.json").write_text(json.dumps(manifest))
    return out


def test_a_program_is_run(tmp_path: Path) -> None:
    from sige_mlx.converters.coreml import interpreter

    held = saved.read(package(tmp_path, program()))
    assert held.version == 8 and held.about == {}
    ran = interpreter.run(held.functions["main"], {"a": np.array([5, 6])})
    assert ran.outputs["b"].tolist() == [4, 8] and ran.counts == {"add": 1}
    with pytest.raises(SigeError, match=r"^a is \(3,\): it must be \(2,\)$"):
        interpreter.run(held.functions["main"], {"a": np.zeros(3)})
    with pytest.raises(SigeError, match=r"^a is not given: "):
        interpreter.run(held.functions["main"], {})


def test_damaged_packages_are_one_sentence(tmp_path: Path) -> None:
    """Cut anywhere, and with any byte changed, a package is read or refused."""
    whole, rng = program(), np.random.default_rng(0)
    changed = [whole[:n] for n in range(0, len(whole), 3)]
    for at in range(len(whole)):
        changed.append(whole[:at] + bytes([int(rng.integers(256))]) + whole[at + 1 :])
    refused = 0
    for i, data in enumerate(changed):
        (folder := tmp_path / str(i)).mkdir()
        try:
            saved.read(package(folder, data))
        except SigeError as error:
            assert "cannot be read as a package for Core ML" in str(error) and "\n" not in str(error)
            refused += 1
    assert refused > len(changed) // 4


def test_what_is_no_package(tmp_path: Path) -> None:
    with pytest.raises(SigeError, match="cannot be read as a package for Core ML: No such file"):
        saved.read(tmp_path / "none.mlpackage")
    (tmp_path / "elsewhere").write_bytes(program())
    out = package(tmp_path, program())
    manifest = {"itemInfoEntries": {"1": {"path": "../../elsewhere"}}, "rootModelIdentifier": "1"}
    (out / "Manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(SigeError, match="its model is outside of it"):
        saved.read(out)
