"""Every name that `import sige_mlx` offers is documented with a call, and that call is made here as it is written."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import mlx.core as mx
import pytest

import sige_mlx
from sige_mlx import nn
from tests.converters.networks import ddpm
from tests.converters.writer import save
from tests.documents import blocks, spread_pictures
from tests.graph.blocks import conv
from tests.graph.networks import Net

WITHOUT = {"ConvertedModel", "EditResult", "Graph", "Model", "PreparedEdit", "SigeError"}
"""Nobody makes these: other calls give or raise them, and show it."""

SESSIONS = (sige_mlx.EditSession, sige_mlx.LabelSession, sige_mlx.TranslationSession)
SHOWN = {
    **{name: getattr(sige_mlx, name) for name in sige_mlx.__all__},
    **{f"Model.{name}": getattr(sige_mlx.Model, name) for name in ("session", "open")},
    **{
        f"{kind.__name__}.{name}": getattr(kind, name)
        for kind in SESSIONS
        for name in ("edit", "commit", "revert", "undo", "redo", "save", "open", "record_in_background")
    },
    **{f"EditSession.{name}": getattr(sige_mlx.EditSession, name) for name in ("dense", "look")},
    **{f"Engine.{name}": getattr(sige_mlx.Engine, name) for name in ("__call__", "commit")},
}
EXAMPLES = {
    name: [block.text for block in blocks(textwrap.dedent(f"\n{inspect.getdoc(value)}\n"))]
    for name, value in SHOWN.items()
    if not isinstance(value, ModuleType)
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With the files that examples read."""
    return spread_pictures(tmp_path_factory.mktemp("examples"))


@pytest.fixture(scope="module")
def session(folder: Path) -> Any:
    """One that has a commit to undo, and a file of its own."""
    session = sige_mlx.load("blue-marble-128").session(folder / "sea.png", steps=2)
    session.edit(folder / "island.png")
    session.commit()
    session.save(folder / "sea.sige")
    return session


@pytest.fixture
def names(session: Any) -> Iterator[dict[str, Any]]:
    """What examples take for granted: a session, and a network with two pictures for it."""
    model = Net((16, 16, 3), lambda m, x: m.b(nn.silu(m.a(x))), a=conv(3, 8), b=conv(8, 3))
    engine, original = sige_mlx.Engine(model), mx.zeros((1, 16, 16, 3))
    edited = mx.array(original)
    edited[:, 4:8, 4:8] = 1
    engine.record(x=original)
    prepared = engine.prepare(sige_mlx.masks.difference_mask(original, edited, eps=0.01)[0])
    own = {"model": model, "engine": engine, "original": original, "edited": edited, "prepared": prepared}
    yield {"sige_mlx": sige_mlx, "session": session, **own}


@pytest.mark.parametrize("name", [name for name in EXAMPLES if name.partition(".")[0] not in WITHOUT or "." in name])
def test_an_example(name: str, names: dict[str, Any], folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    if name == "TokenSession":
        pytest.importorskip("mflux")
    if name == "convert":
        save(folder / "checkpoint.pth", ddpm())
    assert EXAMPLES[name], f"{name} is documented without a call"
    for text in EXAMPLES[name]:
        exec(compile(text, name, "exec"), names)


def test_names_that_nobody_calls_are_documented() -> None:
    assert set(sige_mlx.__all__) >= WITHOUT
    for name in WITHOUT:
        assert len(inspect.getdoc(getattr(sige_mlx, name)) or "") > 40


@pytest.mark.parametrize("name", sorted(SHOWN))
def test_signatures_are_typed(name: str) -> None:
    """Whoever has a type checker is told what goes in and what comes out."""
    value = SHOWN[name]
    if isinstance(value, ModuleType) or (isinstance(value, type) and issubclass(value, Exception)):
        return
    parameters = inspect.signature(value).parameters.values()
    assert [p.name for p in parameters if p.annotation is p.empty and p.name not in ("self", "cls")] == []
    assert (Path(sige_mlx.__file__).parent / "py.typed").exists()
