"""The text that MLX is given: ASCII without comments, of which every line can be found in `metal/`."""

from __future__ import annotations

import re
from collections.abc import Iterator

import mlx.core as mx
import pytest

from metal.sim.capture import Captured, capture
from metal.sim.tokens import place
from sige_mlx.engine.gpu import text as metal_text
from sige_mlx.engine.gpu.launch import Launch
from sige_mlx.engine.gpu.text import expanded, without_comments
from sige_mlx.errors import SigeError
from tests.metal.draw import MAKERS

FILES = [
    f"{name}/{name}.{suffix}"
    for name in ("attention", "conv", "depthwise", "norm", "paste")
    for suffix in ("h", "metal")
]


@pytest.fixture
def changed(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """Texts in place of those of files, by path."""
    texts: dict[str, str] = {}
    original = metal_text.read
    monkeypatch.setattr(metal_text, "read", lambda path: texts[path] if path in texts else original(path))
    expanded.cache_clear()
    yield texts
    expanded.cache_clear()


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("a; // b", "a; "),
        ("a /* b */ c", "a c"),
        ("a /* b\n // c\n*/ d\ne", "a \n\nd\ne"),
        ('f("// no comment", "/* nor this */"); // one', 'f("// no comment", "/* nor this */"); '),
        ('f("\\"// none", \'"\', "  two spaces"); // "one"', 'f("\\"// none", \'"\', "  two spaces"); '),
        ("a //* b\nc */ d", "a \nc */ d"),
        ("#define A(x)      \\\n    x", "#define A(x) \\\n x"),
    ],
)
def test_comments_go(text: str, left: str) -> None:
    assert without_comments(text) == left


@pytest.mark.parametrize("path", FILES)
def test_every_line_is_one_of_a_file(path: str) -> None:
    text = expanded(path)
    assert text.isascii()
    lines = text.splitlines()
    for number, line in enumerate(lines, 1):
        if line and not line.startswith("#line"):
            file, at = re.fullmatch(r"(\S+), line (\d+)", place(text, number)).groups()
            original = metal_text.read(file).splitlines()[int(at) - 1]
            assert original.strip().startswith(line.split(" ")[0]) and line in re.sub(" +", " ", original)
            assert "//" not in line and line == line.strip()
    assert len(text) < 1.05 * len("\n".join(filter(None, lines)))


@pytest.mark.parametrize("text", ["int a; // …\nint größe;", 'static_assert(true, "…");'])
def test_what_is_not_ascii_is_refused(text: str, changed: dict[str, str]) -> None:
    changed["paste/paste.h"] = f"#pragma once\n// – a comment may be anything\n\n{text}\n"
    with pytest.raises(SigeError, match=r"^metal/paste/paste\.h, line [45] holds more than ASCII: "):
        expanded("paste/paste.h")


def test_a_comment_changes_no_line(changed: dict[str, str]) -> None:
    before = expanded("paste/paste.h")
    changed["paste/paste.h"] = metal_text.read("paste/paste.h").replace("const int c =", "/* – */ const int c =", 1)
    expanded.cache_clear()
    assert expanded("paste/paste.h") == before


def captured(launch: Launch) -> Captured:
    given = launch.arguments()
    return capture(launch.compiled(), given.pop("inputs"), given.pop("template"), **given)


def test_kernels_have_names_of_their_own() -> None:
    """MLX before 0.32.1 finds compiled kernels by name alone."""
    texts: dict[str, str] = {}
    names: dict[str, str] = {}
    for maker in MAKERS.values():
        for seed in range(8):
            for dtype in (mx.float16, mx.float32):
                call, launch = maker(seed, dtype)
                launch = launch or call.launch()
                assert launch is not None
                kernel = captured(launch)
                assert re.fullmatch(r"custom_kernel_sige_[a-z0-9_]+", kernel.name, re.ASCII)
                assert kernel.source.isascii() and "//" not in kernel.source
                assert texts.setdefault(kernel.name, kernel.source) == kernel.source
                assert names.setdefault(launch.kernel.specialisation, kernel.name) == kernel.name
    assert len(texts) == len(names) > len(MAKERS)
