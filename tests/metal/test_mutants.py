"""The tests of the kernels tell every mistake of `mutants.py`: by the model of Metal, or by a wrong result."""

from __future__ import annotations

import mlx.core as mx
import pytest

from sige_mlx.engine.gpu import source
from sige_mlx.metal.sim import SimError
from tests.metal.compare import assert_same
from tests.metal.draw import MAKERS
from tests.metal.mutants import MUTANTS, Mutant
from tests.metal.test_kernels import FLOAT32

SEEDS = range(30)


def survives(mutant: Mutant, monkeypatch: pytest.MonkeyPatch) -> bool:
    original = source.read
    mutated = mutant.made_in(original(mutant.file))

    def read(path: str) -> str:
        return mutated if path == mutant.file else original(path)

    monkeypatch.setattr(source, "read", read)
    source.expanded.cache_clear()
    try:
        for seed in SEEDS:
            call, launch = MAKERS[mutant.probe](seed, mx.float32)
            assert_same(call, FLOAT32, launch, order=seed % 4)
    except (AssertionError, SimError) as error:
        assert "does not compile" not in str(error)  # that would be no mistake that a test found
        return False
    finally:
        monkeypatch.undo()
        source.expanded.cache_clear()
    return True


@pytest.mark.parametrize("mutant", MUTANTS, ids=str)
def test_every_mutant_is_a_text_of_its_kernel(mutant: Mutant) -> None:
    original = source.read(mutant.file)
    assert mutant.made_in(original) != original


@pytest.mark.slow
@pytest.mark.parametrize("mutant", MUTANTS, ids=str)
def test_every_mutant_is_killed(mutant: Mutant, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not survives(mutant, monkeypatch)


@pytest.mark.slow
@pytest.mark.parametrize("probe", sorted({m.probe for m in MUTANTS}))
def test_the_kernels_themselves_are_right_on_the_probes(probe: str) -> None:
    for seed in SEEDS:
        call, launch = MAKERS[probe](seed, mx.float32)
        assert_same(call, FLOAT32, launch, order=seed % 4)
