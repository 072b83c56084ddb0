"""Every rule of the lint refuses a mistake that no other does: each is made in the text of a real kernel."""

from __future__ import annotations

from typing import NamedTuple

import mlx.core as mx
import pytest

from metal.sim import SimError
from metal.sim.lint import MAX_BUFFERS, findings, lint
from metal.sim.rules import RULES
from tests.metal.draw import MAKERS
from tests.metal.test_source import captured


class Mutant(NamedTuple):
    """One text in place of another, at the first place where it stands."""

    rule: str
    probe: str
    old: str
    new: str


MUTANTS = [
    Mutant("ascii", "paste", "p.x.c - c", "p.x.c – c"),
    Mutant("include", "paste", "namespace sige {", "#include <cmath>\nnamespace sige {"),
    Mutant("include in braces", "paste", "namespace sige {", "namespace sige {\n#include <metal_math>"),
    Mutant("matrices", "winograd", "#include <metal_simdgroup_matrix>", ""),
    Mutant("buffers", "paste", "[[buffer(0)]],", "[[buffer(0)]],\n" + "device int* a [[buffer(9)]],\n" * MAX_BUFFERS),
    Mutant("kernel's name", "paste", "[[kernel]] void custom_kernel_sige_paste", "[[kernel]] void custom_kernel_-1"),
    Mutant("word", "norm", "float sum = 0.0f;", "double sum = 0.0f;"),
    Mutant("long double", "norm", "float sum = 0.0f;", "float sum = 0.0L;"),
    Mutant("std", "narrow", "metal::min(first", "std::min(first"),
    Mutant("lambda", "paste", "if (left <= 0)", "const auto none = [&]() { return left <= 0; };\nif (none())"),
    Mutant("function pointer", "paste", "if (left <= 0)", "int (*find)(int) = first;\nif (left <= 0)"),
    Mutant("miscompiled", "winograd", "[[kernel]]", "[[max_total_threads_per_threadgroup(32)]] [[kernel]]"),
    Mutant("cast", "winograd", "if (group < following)", "if (*(int *)numbers < following)"),
    Mutant("named cast", "depthwise", "reinterpret_cast<threadgroup T *>(window_", "reinterpret_cast<T *>(window_"),
    Mutant("result", "depthwise", "METAL_FUNC threadgroup float4 &value", "METAL_FUNC float4 &value"),
    Mutant("parameter", "paste", "const device Plane &p, const device int *grid", "Plane &p, const device int *grid"),
    Mutant("pointer", "norm", "const device NormParams *p;", "const NormParams *p;"),
    Mutant(
        "threadgroup variable", "norm", "x = metal::simd_sum(x);", "threadgroup float s[8];\nx = metal::simd_sum(x);"
    ),
    Mutant("initial value", "norm", "threadgroup float partial[8];", "threadgroup float partial[8] = {0.0f};"),
    Mutant("static variable", "norm", "float sum = 0.0f;", "static float sum = 0.0f;"),
    Mutant("program variable", "paste", "constant constexpr Place NOWHERE", "constexpr Place NOWHERE"),
    Mutant("keyword", "winograd", "METAL_FUNC int element_at(int n,", "METAL_FUNC int fragment(int n,"),
    Mutant("reserved", "winograd", "void transform() const {", "void transform() const {\nint half4x4 = 1;"),
    Mutant("form", "winograd", "void transform() const {", "void transform() const {\nint __n = 1;"),
    Mutant("library", "winograd", "namespace sige {", "#define clamp(x) x\nnamespace sige {"),
    Mutant("mlx", "winograd", "void transform() const {", "void transform() const {\nint instantiate_kernel = 1;"),
    Mutant("vector cast", "paste", "float4 v = float4(0.0f);", "float4 v = (float4)left;"),
]


def text_of(probe: str) -> str:
    call, launch = MAKERS[probe](3, mx.float16)
    launch = launch or call.launch()
    assert launch is not None
    return captured(launch).source


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda m: m.rule)
def test_a_mistake_is_refused_by_one_rule(mutant: Mutant) -> None:
    text = text_of(mutant.probe)
    assert mutant.old in text and not [*findings(text)]
    mutated = text.replace(mutant.old, mutant.new, 1)
    assert {found.rule for found in findings(mutated)} == {mutant.rule}
    with pytest.raises(SimError, match=r"^kernel k: .*, line \d+: "):
        lint("k", mutated)


def test_every_rule_has_its_mutant() -> None:
    assert sorted(mutant.rule for mutant in MUTANTS) == sorted(RULES)


@pytest.mark.parametrize("probe", MAKERS)
def test_the_kernels_break_no_rule(probe: str) -> None:
    assert not [*findings(text_of(probe))]
