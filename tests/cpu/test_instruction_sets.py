"""One library holds the kernels once for each instruction set, and chooses when it is loaded."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from sige_mlx.engine.native import library

Results = Mapping[str, Mapping[str, npt.NDArray[np.float32]]]
"""By instruction set."""

RUN = """
import sys
import numpy as np
from sige_mlx.engine.native import library
from tests.tiny import SIZE, tiny_engine

engine = tiny_engine()
x = np.random.default_rng(0).normal(size=(1, SIZE, SIZE, 3)).astype(np.float32)
t = np.array([500.0], np.float32)
dense = engine.record(x=x, t=t)
mask = np.zeros((SIZE, SIZE), np.bool_)
mask[5:12, 3:14] = True
edit = engine.edit(engine.prepare(mask), x=x + mask[..., None], t=t)
np.savez(sys.argv[1], dense=dense, edit=edit, isa=library.simd())
"""


def python(*arguments: str, isa: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "SIGE_CPU_ISA": isa}
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, env=environment, check=False)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """Of a small network, dense and edited, by instruction set."""
    found = {}
    for isa in library.instruction_sets():
        path = tmp_path_factory.mktemp(isa) / "results.npz"
        done = python("-c", RUN, str(path), isa=isa)
        assert done.returncode == 0, done.stderr
        found[isa] = np.load(path)
    return found


def test_the_one_that_is_asked_for_is_used(results: Results) -> None:
    assert {isa: str(of["isa"]) for isa, of in results.items()} == {isa: isa for isa in results}


@pytest.mark.parametrize("what", ["dense", "edit"])
def test_all_agree_to_rounding(results: Results, what: str) -> None:
    expected, *others = [of[what] for of in results.values()]
    for other in others:
        assert np.abs(other - expected).max() <= 2e-5 * np.abs(expected).max()
        assert not np.array_equal(other, expected), "the same code ran twice"


def test_the_best_one_is_used_unless_one_is_asked_for() -> None:
    done = python("-c", "from sige_mlx.engine.native import library; print(library.simd())", isa="")
    assert done.stdout.strip() == library.instruction_sets()[0], done.stderr


@pytest.mark.parametrize("isa", ["mmx", "AVX2", "neon" if "neon" not in library.instruction_sets() else "avx2"])
@pytest.mark.parametrize(
    "verb", [["bench", "--model", "blue-marble-128", "--edit", "1"], ["demo"]], ids=["bench", "demo"]
)
def test_one_that_is_not_there_is_one_sentence(isa: str, verb: list[str], tmp_path: Path) -> None:
    done = python("-c", "from sige_mlx.cli import main; main()", *verb, isa=isa)
    usable = ", ".join(library.instruction_sets())
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert done.stderr.strip().endswith(f'SIGE_CPU_ISA is "{isa}"; on this processor the CPU library can use: {usable}')
