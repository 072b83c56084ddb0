"""safetensors files: the header in JSON, whose length comes first."""

from __future__ import annotations

import json
from random import Random

from sige_mlx.converters import safetensors_file
from tests.fuzz import mutate, scratch
from tests.fuzz.harness import Harness, one_sentence


def run(data: bytes) -> None:
    path = scratch.file("a.safetensors", data)
    with one_sentence():
        for tensor in safetensors_file.read(path).values():
            with one_sentence():
                assert tensor.numpy().shape == tensor.shape
        safetensors_file.metadata(path)


def packed(header: bytes, rest: bytes) -> bytes:
    return len(header).to_bytes(8, "little") + header + rest


def seeds() -> list[bytes]:
    described = {
        "__metadata__": {"format": "pt"},
        "a.weight": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]},
        "a.bias": {"dtype": "BF16", "shape": [2], "data_offsets": [24, 28]},
        "n": {"dtype": "I64", "shape": [], "data_offsets": [28, 36]},
        "none": {"dtype": "F16", "shape": [3, 0], "data_offsets": [36, 36]},
    }
    return [packed(json.dumps(described).encode(), bytes(36))]


def mutated(rng: Random, data: bytes, others: list[bytes]) -> bytes:
    """Bytes of the file, or its header with the length that it has."""
    stop = 8 + int.from_bytes(data[:8], "little")
    if stop > len(data) or rng.random() < 0.2:
        return mutate.raw(rng, data, others)
    return packed(mutate.of_json(rng, data[8:stop], [b"{}"]), data[stop:])


HARNESSES = {"safetensors": Harness(run, seeds, mutated)}
