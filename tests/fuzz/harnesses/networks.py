"""What a checkpoint's names and shapes make of a network, as JSON from name to shape."""

from __future__ import annotations

import dataclasses
import json
import re
from functools import lru_cache
from random import Random

from sige_mlx.converters.families import LAYOUTS, recognise
from sige_mlx.families import FAMILIES, build
from sige_mlx.nn.module import parameters
from tests.fuzz import mutate
from tests.fuzz.harness import Harness, one_sentence

ONCE = [dataclasses.replace(family, layouts=lru_cache(64)(family.layouts)) for family in LAYOUTS]
"""Most changed names tell the same configuration as before: to build its network again would take two thirds of the
time."""


def run(data: bytes) -> None:
    try:
        named = json.loads(data)
    except (ValueError, RecursionError):
        return
    if not isinstance(named, dict):
        return
    shapes = {}
    for name, shape in named.items():
        if isinstance(shape, list) and len(shape) <= 32 and all(type(n) is int and 0 <= n < 1 << 48 for n in shape):
            shapes[name] = tuple(shape)
    with one_sentence():
        recognise(shapes, ONCE)


def seeds() -> list[bytes]:
    made = []
    for name, family in FAMILIES.items():
        fields = dict(family.small[0])
        model = build(name, {key: list(v) if isinstance(v, tuple) else v for key, v in fields.items()})
        config = model.config
        layouts = next(layout for layout in LAYOUTS if layout.name == name).layouts(config)
        made += [json.dumps(layout.tensors).encode() for layout in layouts]
        assert parameters(model)
    return made


def mutated(rng: Random, data: bytes, others: list[bytes]) -> bytes:
    """A number in a name, or anything in the JSON."""
    if rng.random() < 0.3:
        places = [found.span() for found in re.finditer(rb"\.\d+\.", data)]
        if places:
            start, stop = rng.choice(places)
            digits = rng.choice((b"0", b"1", b"9", b"64", b"99999", b"9" * 30, b"9" * 5000, b"01", "²".encode()))
            return data[: start + 1] + digits + data[stop - 1 :]
    return mutate.of_json(rng, data, others)


HARNESSES = {"networks": Harness(run, seeds, mutated)}
