"""The NEON kernels, without a processor that has NEON: what compiler and emulator show of them is held here."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.neon import loops
from benchmarks.neon.emulated import ABSENT, Counts, Emulated, Network, emulator
from benchmarks.neon.loops import Loop
from benchmarks.prediction import cpu
from tests.engine.frozen import DENSE, MARGIN, relative, rms
from tests.models.networks import frozen_network
from tests.reference import load_case

needs_emulator = pytest.mark.skipif(emulator() is None, reason=ABSENT)

ROUNDING = 2e-5
"""Of the largest value: what instruction sets may differ by (`tests/cpu/test_instruction_sets.py`)."""


@pytest.fixture(scope="module")
def analysed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Loop]:
    """The inner loops, by kernel."""
    if loops.analyser() is None:
        pytest.skip("llvm-mca is not installed")
    return {loop.kernel: loop for loop in loops.loops(tmp_path_factory.mktemp("loops"))}


@pytest.mark.slow
def test_inner_loops_keep_the_pipes_busy(analysed: dict[str, Loop]) -> None:
    """Those of fewer rows wait for their own sums, four cycles each; products are split evenly, so that those come of
    few pixels alone."""
    enough = [*(f"WHOLE_{rows}" for rows in (4, 5, 6)), *(f"NARROW_{rows}" for rows in (8, 9, 10))]
    reached = {kernel: analysed[kernel].fmas_per_cycle for kernel in enough}
    assert min(reached.values()) >= cpu.REACHED * loops.PIPES, reached
    assert max(reached.values()) <= loops.PIPES


@pytest.mark.slow
def test_inner_loops_do_little_else(analysed: dict[str, Loop]) -> None:
    """Beside multiplications there are loads of weights and pixels, a prefetch, and counting."""
    for kernel, loop in analysed.items():
        vectors = 4 if kernel.startswith("WHOLE") else 2
        assert loop.fmas == vectors * loop.rows
        assert loop.instructions - loop.fmas <= vectors + loop.rows + 6


@pytest.mark.slow
def test_sums_stay_in_registers(analysed: dict[str, Loop]) -> None:
    assert len(analysed) == 6 + 10
    assert {kernel: loop.stack for kernel, loop in analysed.items() if loop.stack} == {}


@pytest.fixture(scope="module")
def emulated(tmp_path_factory: pytest.TempPathFactory) -> Emulated:
    return Emulated(tmp_path_factory.mktemp("emulated"))


@pytest.mark.slow
@needs_emulator
def test_c_tests_pass_on_neon(emulated: Emulated) -> None:
    assert emulated.run(emulated.tests, SIGE_TEST_PERCENT="4").startswith("neon, of neon\n")


@pytest.mark.slow
@needs_emulator
def test_a_network_gives_the_same_pictures_on_neon(emulated: Emulated) -> None:
    network = Network.small()
    for found, here in zip(emulated.outputs(network), network.here(), strict=True):
        assert np.abs(found - here).max() <= ROUNDING * np.abs(here).max()
        assert np.ptp(here) > 0.1


@pytest.mark.slow
@needs_emulator
def test_a_network_gives_the_original_s_pictures_on_neon(emulated: Emulated) -> None:
    pretrained, case = frozen_network("ddpm-small"), load_case("ddpm-small-stroke")
    given = {"t": case["timestep"].reshape(1)}
    network = Network(
        pretrained.engine(),
        pretrained.load,
        case["mask"].astype(np.bool_),
        {"x": case["x_original"], **given},
        {"x": case["x_edited"], **given},
    )
    recorded, edited = emulated.outputs(network)
    mask, expected = network.mask, case["dense_edited"]
    assert rms(recorded - case["dense_original"]) <= DENSE * rms(case["dense_original"])
    assert relative(edited[:, mask], expected[:, mask]) <= MARGIN * float(case["peer_error_in_mask"])


@pytest.fixture(scope="module")
def counts(emulated: Emulated) -> dict[str, Counts]:
    return {c.what: c for c in emulated.counts(Network.small())}


@pytest.mark.slow
@needs_emulator
@pytest.mark.skipif(emulator() == [], reason="this machine has NEON: nothing is emulated")
@pytest.mark.parametrize(("what", "instructions", "fmas"), [("recording", 0.85, 1.35), ("edit", 0.88, 1.54)])
def test_few_instructions_are_executed_beside_multiplications(
    counts: dict[str, Counts], what: str, instructions: float, fmas: float
) -> None:
    """The bounds are a tenth above what was counted. The network is small: of a large one, transforms and norms are
    a smaller part."""
    assert 0.25 < counts[what].instructions_per_mac <= instructions
    assert 1 < counts[what].fmas_per_mac <= fmas
