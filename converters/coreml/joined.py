"""Packages of one function become one of several, whose weights are stored once.

Nearly all weights of two functions of a network are the same. coremltools' own way of joining packages reads all of
them into programs again, passes over these, and compares. Here protobufs are put side by side, and arrays of the same
bytes take one place in the file of weights. That file has a head, and for each array a description, of 64 bytes each;
all begins at multiples of 64.
"""

import hashlib
import mmap
import struct
from pathlib import Path
from types import TracebackType
from typing import Any

import coremltools as ct

from sige_mlx.converters.coreml.saved import ARRAY, SENTINEL
from sige_mlx.errors import SigeError

MODEL = Path("Data/com.apple.CoreML/model.mlmodel")
WEIGHTS = Path("Data/com.apple.CoreML/weights/weight.bin")

_HEAD = "<II56x"  # how many arrays, which version
_VERSION, _UNIT = 2, 64


def spec_of(package: Path) -> Any:
    """Returns what a package holds besides its weights."""
    spec = ct.proto.Model_pb2.Model()
    spec.ParseFromString((package / MODEL).read_bytes())
    return spec


class Joined:
    """Functions of packages that are taken in one after the other. `weights` is the new file of weights."""

    def __init__(self, weights: Path):
        self.spec = ct.proto.Model_pb2.Model()
        self._file, self._at = weights.open("wb"), _UNIT
        self._places: dict[bytes, int] = {}

    def __enter__(self) -> "Joined":
        return self

    def __exit__(self, of: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._file.seek(0)
        self._file.write(struct.pack(_HEAD, len(self._places), _VERSION))
        self._file.close()

    def take(self, package: Path, name: str) -> None:
        """Appends the only function of a package under a name. The first is what is run where none is named."""
        spec = spec_of(package)
        (function,) = spec.mlProgram.functions.values()
        self._move(function, package / WEIGHTS)
        if not self.spec.description.functions:
            self.spec.mlProgram.version = spec.mlProgram.version
            self.spec.description.metadata.CopyFrom(spec.description.metadata)
            self.spec.description.defaultFunctionName = name
        self.spec.specificationVersion = max(self.spec.specificationVersion, spec.specificationVersion)
        described = self.spec.description.functions.add(name=name)
        for part in ("input", "output", "state"):
            getattr(described, part).extend(getattr(spec.description, part))
        self.spec.mlProgram.functions[name].CopyFrom(function)

    def _move(self, function: Any, weights: Path) -> None:
        """Moves the arrays of a function to the new file."""
        held = [
            operation.attributes["val"].blobFileValue
            for block in function.block_specializations.values()
            for operation in block.operations
            if operation.type == "const" and operation.attributes["val"].HasField("blobFileValue")
        ]
        if not held:
            return
        with weights.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            for value in held:
                value.offset = self._place(data, value.offset)

    def _place(self, data: mmap.mmap, offset: int) -> int:
        """Returns where an array is in the new file."""
        sentinel, kind, nbytes, begin = struct.unpack_from(ARRAY, data, offset)
        if sentinel != SENTINEL or begin + nbytes > len(data):
            raise SigeError(f"coremltools' weights are laid out in a way that is not known: no array at {offset}")
        with memoryview(data) as view:
            made = hashlib.sha256(struct.pack("<I", kind))
            made.update(view[begin : begin + nbytes])
            place = self._places.get(made.digest())
            if place is None:
                place = self._places[made.digest()] = self._at
                self._file.seek(place)
                self._file.write(struct.pack(ARRAY, sentinel, kind, nbytes, place + _UNIT).ljust(_UNIT, b"\0"))
                self._file.write(view[begin : begin + nbytes])
                self._at = place + _UNIT + -(-nbytes // _UNIT) * _UNIT
        return place
