"""A BLAS multiplies large products where it is asked for, or where it was measured to win."""

from __future__ import annotations

import ctypes.util
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from sige_mlx.engine.native import blas
from sige_mlx.errors import SigeError

OPENBLAS = ctypes.util.find_library("openblas")

RUN = """
import sys
import numpy as np
from sige_mlx import zoo
from sige_mlx.benchmark.figures import _simd
from sige_mlx.engine import Engine
from sige_mlx.graph.policy import EditPolicy
from sige_mlx.models.ddpm import DDPMConfig, DDPMUNet

model = DDPMUNet(DDPMConfig(image_size=32, ch=128, ch_mult=(1, 2), num_res_blocks=1, attn_resolutions=(16,)))
policy = EditPolicy(32, "fresh head")
engines = [Engine(model, "cpu", policy, load=zoo.random_weights(model), threads=threads) for threads in (1, 2)]
x = np.random.default_rng(0).normal(size=(1, 32, 32, 3)).astype(np.float32)
t = np.array([500.0], np.float32)
mask = np.zeros((32, 32), np.bool_)
mask[5:20, 3:24] = True
dense = [np.asarray(engine.record(x=x, t=t)) for engine in engines]
edits = [np.asarray(engine.edit(engine.prepare(mask), x=x + mask[..., None], t=t)) for engine in engines]
np.savez(sys.argv[1], dense=dense, edit=edits, simd=_simd("cpu"))
"""


def python(*arguments: str, of: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, blas.VARIABLE: of}
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, env=environment, check=False)


@pytest.fixture
def fresh() -> Iterator[None]:
    """What was decided for this process is forgotten, before and after."""
    blas.in_use.cache_clear()
    yield
    blas.in_use.cache_clear()
    blas.use("")


@pytest.mark.skipif(OPENBLAS is None, reason="there is no OpenBLAS")
def test_openblas_gives_the_same_pictures_on_any_number_of_threads(tmp_path: Path) -> None:
    found = []
    for of in ("", OPENBLAS or ""):
        path = tmp_path / f"{bool(of)}.npz"
        done = python("-c", RUN, str(path), of=of)
        assert done.returncode == 0, done.stderr
        found.append(np.load(path))
    own, other = found
    assert str(other["simd"]).endswith(f"by {OPENBLAS}") and OPENBLAS not in str(own["simd"])
    for what in ("dense", "edit"):
        assert np.array_equal(*other[what])
        assert np.abs(other[what] - own[what]).max() <= 2e-5 * np.abs(own[what]).max()
        assert not np.array_equal(other[what], own[what]), "it was not used"


def test_what_is_no_blas_is_one_sentence() -> None:
    done = python("-c", "from sige_mlx.cli import main; main()", "demo", of="/nowhere/libblas.so")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "SIGE_CPU_BLAS: /nowhere/libblas.so is no BLAS that can be used" in done.stderr


def test_linux_uses_none_by_itself(fresh: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(blas.VARIABLE, raising=False)
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(blas, "measured", lambda path: pytest.fail("nothing is to be measured"))
    assert blas.in_use() == ""


@pytest.mark.skipif(OPENBLAS is None, reason="there is no OpenBLAS")
@pytest.mark.parametrize("verdict", [blas.WINNER, blas.LOSER, "wrong"])
def test_a_mac_measures_once_and_remembers(
    verdict: str, fresh: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv(blas.VARIABLE, raising=False)
    monkeypatch.setenv("SIGE_MLX_CACHE", str(tmp_path))
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(blas, "ACCELERATE", OPENBLAS)
    asked = []
    monkeypatch.setattr(blas, "measured", lambda path: asked.append(path) or verdict)
    for _ in range(2):
        blas.in_use.cache_clear()
        assert blas.in_use() == (OPENBLAS if verdict == blas.WINNER else "")
    assert asked == [OPENBLAS]


def test_a_mac_without_accelerate_uses_none(fresh: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(blas.VARIABLE, raising=False)
    monkeypatch.setenv("SIGE_MLX_CACHE", str(tmp_path))
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(blas, "ACCELERATE", "/nowhere/Accelerate")
    assert blas.in_use() == ""
    assert "/nowhere/Accelerate" in (tmp_path / blas.FILE).read_text("utf-8")


@pytest.mark.skipif(OPENBLAS is None, reason="there is no OpenBLAS")
@pytest.mark.parametrize(("slower", "verdict"), [(1e-9, blas.LOSER), (1e9, blas.WINNER)])
def test_it_is_used_only_where_it_wins(
    slower: float, verdict: str, fresh: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernels' own times, which come first, are made shorter or longer."""
    times: list[float] = []

    def seconds(self: object, pool: int, bound: int) -> float:
        times.append(1.0 if len(times) % 2 else slower)
        return times[-1]

    monkeypatch.setattr(blas._Trial, "seconds", seconds)
    assert blas.measured(OPENBLAS or "") == verdict
    assert len(times) == 2 * len(blas.TRIALS)


@pytest.mark.skipif(OPENBLAS is None, reason="there is no OpenBLAS")
def test_one_that_is_wrong_is_not_used(fresh: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blas, "BOUND", 0.0)
    monkeypatch.setattr(blas._Trial, "seconds", lambda self, pool, bound: 1.0)
    assert blas.measured(OPENBLAS or "") == "wrong"


def test_use_says_what_is_wrong(fresh: None) -> None:
    with pytest.raises(SigeError, match="cblas_sgemm"):
        blas.use("libm.so.6" if sys.platform == "linux" else "/usr/lib/libSystem.dylib")
