"""What programs call by a number is one table in Python, and the same in C and in Metal."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sige_mlx.nn.ops import ACTIVATIONS, PAD_MODES

ROOT = Path(__file__).parents[2]


def enumeration(file: str, name: str) -> dict[str, int]:
    """The members of a C enumeration that say their numbers, in lower case and without underscores."""
    (body,) = re.findall(rf"enum {name} \{{(.*?)\}}", (ROOT / file).read_text("utf-8"), re.DOTALL)
    return {key.replace("_", "").lower(): int(value) for key, value in re.findall(r"(\w+) = (\d+)", body)}


def activations() -> dict[str, int]:
    return {"identity" if a is None else type(a).__name__.lower(): i for i, a in enumerate(ACTIVATIONS)}


def test_activations_in_c() -> None:
    assert enumeration("cpu/sige_cpu.h", "sige_activation") == {f"sige{k}": i for k, i in activations().items()}


def test_activations_in_metal() -> None:
    assert enumeration("metal/activation.h", "Activation") == activations()


def test_paddings_in_c() -> None:
    numbers = {f"sigepad{mode}": i for i, mode in enumerate(PAD_MODES)}
    assert enumeration("cpu/sige_cpu.h", "sige_pad_mode") == numbers


@pytest.mark.parametrize(
    ("file", "function"), [("cpu/src/activation.h", "sige_activate"), ("metal/activation.h", "activate")]
)
def test_every_activation_is_computed(file: str, function: str) -> None:
    """A case that its switch lacks would pass values through."""
    text = (ROOT / file).read_text("utf-8")
    body = text[text.index(f" {function}(") :]
    body = body[: body.index("\n}\n")]
    cases = {case.replace("_", "").lower().removeprefix("sige") for case in re.findall(r"case (\w+):", body)}
    assert cases == activations().keys() - {"identity"}
