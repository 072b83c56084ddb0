"""The tests of the kernels tell every mistake of `mutants.py`: by the model of Metal, or by a wrong result."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import mlx.core as mx
import pytest

from benchmarks.simulated.device import Simulated
from metal.sim import SimError
from sige_mlx.engine.gpu import text as metal_text
from sige_mlx.engine.gpu.trust import tried
from tests.metal.compare import assert_same
from tests.metal.draw import MAKERS
from tests.metal.mutants import BARRIER, MUTANTS, Mutant
from tests.metal.test_kernels import FLOAT32

SEEDS = range(30)


@contextmanager
def made(mutant: Mutant) -> Iterator[None]:
    """With the mistake in the kernels."""
    original = metal_text.read
    mutated = mutant.made_in(original(mutant.file))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(metal_text, "read", lambda path: mutated if path == mutant.file else original(path))
        metal_text.expanded.cache_clear()
        yield
    metal_text.expanded.cache_clear()


def survives(mutant: Mutant) -> bool:
    with made(mutant):
        try:
            for seed in SEEDS:
                call, launch = MAKERS[mutant.probe](seed, mx.float32)
                assert_same(call, FLOAT32, launch, order=seed % 4)
        except (AssertionError, SimError) as error:
            assert "does not compile" not in str(error)  # that would be no mistake that a test found
            return False
    return True


@pytest.mark.parametrize("mutant", MUTANTS, ids=str)
def test_every_mutant_is_a_text_of_its_kernel(mutant: Mutant) -> None:
    original = metal_text.read(mutant.file)
    assert mutant.made_in(original) != original


@pytest.mark.slow
@pytest.mark.parametrize("mutant", MUTANTS, ids=str)
def test_every_mutant_is_killed(mutant: Mutant) -> None:
    assert not survives(mutant)


@pytest.mark.slow
@pytest.mark.parametrize("mutant", [m for m in MUTANTS if BARRIER not in m.old and m.plain_to_see], ids=str)
def test_no_mutant_is_trusted(mutant: Mutant) -> None:
    """Whatever call a user's first is. Where a barrier lacks, a real GPU may compute the right thing all the same; and
    few small inputs have a threadgroup with tiles of two images, or pixels beyond an exponential's range."""
    with made(mutant):
        for seed in range(4):
            call, launch = MAKERS[mutant.probe](seed, mx.float16)
            launch = launch or call.launch()
            if getattr(call, "phase_shift", None) == 0 and "shift" in mutant.old:
                continue  # no call of this kernel shifts a phase
            assert launch is not None
            wrong = tried(Simulated(), launch, call).wrong
            assert wrong and "does not compile" not in wrong


@pytest.mark.slow
@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("dtype", [mx.float16, mx.float32], ids=str)
def test_the_kernels_themselves_are_trusted(name: str, dtype: mx.Dtype) -> None:
    for seed in range(8):
        call, launch = MAKERS[name](seed, dtype)
        launch = launch or call.launch()
        assert launch is not None
        assert not tried(Simulated(), launch, call).wrong


@pytest.mark.slow
@pytest.mark.parametrize("probe", sorted({m.probe for m in MUTANTS}))
def test_the_kernels_themselves_are_right_on_the_probes(probe: str) -> None:
    for seed in SEEDS:
        call, launch = MAKERS[probe](seed, mx.float32)
        assert_same(call, FLOAT32, launch, order=seed % 4)
