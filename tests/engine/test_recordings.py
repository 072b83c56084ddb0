"""Recordings fit: by the codec and in the place that a budget asks for, and no more of them than what is read."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import mlx.core as mx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sige_mlx.engine import Engine, recordings
from sige_mlx.engine.recordings import Codec
from sige_mlx.errors import SigeError
from sige_mlx.graph.policy import STATISTICS, Output, Statistics
from tests.engine.compare import edited, image, nmse
from tests.graph.networks import RandomUNet, Spec, masks, specs
from tests.policies import OUTPUTS, policy

SPEC = Spec(32, 24, 3, (("block", 8), ("down", 12), ("attention", 0), ("up", 7)), norm_out=True, time=True)
LOSS: dict[Codec, float] = {"float32": 0.0, "float16": 1e-6, "int8": 1e-4}
"""Normalised mean squared errors of an edit that codecs stay far below: 60 and 40 dB."""

SPOT = np.zeros((32, 24), np.bool_)
SPOT[9:14, 11:17] = True


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SIGE_MLX_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def engine(codec: Codec = "float32", output: Output = "tiles") -> Engine:
    made = Engine(RandomUNet(SPEC), policy=policy(8, output))
    made.recordings.codec = codec
    return made


@pytest.mark.parametrize("codec", LOSS)
@pytest.mark.parametrize("output", OUTPUTS)
def test_codecs_lose_little_of_an_edit(codec: Codec, output: Output) -> None:
    results, outputs = [], []
    for how in ("float32", codec):
        made = engine(how, output)
        inputs = image(made)
        outputs.append(made.record(**inputs))
        assert made.recordings.nbytes == made.recordings.step_nbytes(how)
        results.append(made.edit(made.prepare(SPOT), **edited(inputs, SPOT)))
        outside = ~made.prepare(SPOT).tiling.at((32, 24)).pixels()
        if output == "tiles":  # which are of the recorded output, and that is kept as it is
            assert np.array_equal(np.asarray(results[-1])[outside], np.asarray(outputs[-1])[outside])
    assert mx.array_equal(*outputs)
    assert nmse(*results) <= LOSS[codec]


def test_codecs_take_less_memory() -> None:
    sizes = [engine().recordings.step_nbytes(codec) for codec in LOSS]
    assert sizes[1] < 0.65 * sizes[0] and sizes[2] < 0.5 * sizes[0]


def test_the_first_codec_that_fits_the_budget_is_taken() -> None:
    made = engine().recordings
    for codec in LOSS:
        made.budget = 3 * made.step_nbytes(codec)
        assert made.check(3) == made.codec == codec
    assert made.limit == made.budget


def test_without_a_budget_it_is_a_quarter_of_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    made = engine().recordings
    monkeypatch.setattr(recordings, "physical_memory", lambda: 12 * made.step_nbytes("float32"))
    assert made.check(3) == "float32"
    assert made.check(4) == "float16"


def test_a_device_may_lack_codecs() -> None:
    made = Engine(RandomUNet(SPEC), "reference", policy(8)).recordings
    with pytest.raises(
        SigeError, match=r"^this engine keeps recordings in float32, not in 'int8'; others, .* the CPU's"
    ):
        made.codec = "int8"
    made.budget = made.step_nbytes()
    assert made.check(1) == "float32"
    with pytest.raises(SigeError, match=r"\(int8, and recordings on the disk, are the CPU's\): take at most 1$"):
        made.check(2)


@pytest.mark.parametrize("codec", LOSS)
def test_steps_that_do_not_fit_in_memory_are_on_the_disk(codec: Codec, cache: Path) -> None:
    """Edits, commits and undoing give the same bits from there, and there is nothing to see in the folder."""
    here, there = engine(codec), engine(codec)
    here.recordings.budget = 2**40
    there.recordings.budget = there.recordings.step_nbytes(codec)
    inputs = [image(here, seed) for seed in range(3)]
    for made in (here, there):
        for step, of in enumerate(inputs):
            made.record(step, **of)
    each = here.recordings.step_nbytes(codec)
    assert here.recordings.kept == (3 * each, 0) and there.recordings.kept == (each, 2 * each)
    assert os.listdir(cache) == []
    for step, of in enumerate(inputs):
        changed = edited(of, SPOT)
        results = []
        for made in (here, there):
            prepared = made.prepare(SPOT)
            first = made.edit(prepared, step, **changed)
            committed, change = made.commit(prepared, step, **changed)
            after = made.edit(prepared, step, **edited(of, SPOT, 5))
            made.swap(step, change)
            results.append((first, committed, after, made.edit(prepared, step, **changed)))
        assert all(mx.array_equal(a, b) for a, b in zip(*results, strict=True))
    there.recordings.forget()
    assert there.recordings.kept == (0, 0)


def test_what_fits_nowhere_is_refused_in_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    made = engine().recordings
    each = made.step_nbytes("int8")
    made.budget = 2 * each
    monkeypatch.setattr(recordings, "room", lambda folder: 3 * each)
    assert made.check(5) == "int8"
    with pytest.raises(SigeError, match=r"^6 steps of this model keep .* may be used: take at most 5$"):
        made.check(6)


def test_a_full_disk_is_told_in_one_sentence(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = engine()
    made.recordings.budget = 0
    cache.parent.mkdir(exist_ok=True)
    cache.write_text("no folder")
    with pytest.raises(SigeError, match=r"^a recorded step of \d+ MiB cannot be put into .*: .*SIGE_MLX_CACHE"):
        made.record(**image(made))
    assert made.recordings.kept == (0, 0)


@settings(max_examples=20)
@given(st.data(), specs(), st.sampled_from(OUTPUTS), st.sampled_from(STATISTICS), st.sampled_from([*LOSS]))
def test_a_recording_for_one_edit_has_all_that_it_reads(
    data: st.DataObject, spec: Spec, output: Output, statistics: Statistics, codec: Codec
) -> None:
    made = Engine(RandomUNet(spec), policy=policy(8, output, statistics))
    made.recordings.codec = codec
    inputs, prepared = image(made), made.prepare(data.draw(masks(spec.height, spec.width)))
    changed = edited(inputs, np.broadcast_to(prepared.tiling.mask[0], (spec.height, spec.width)))
    made.record(**inputs)
    whole, expected = made.recordings.nbytes, made.edit(prepared, **changed)
    output_of_step = made.record_for(prepared, **inputs)
    assert mx.array_equal(output_of_step, made(**inputs))
    assert made.recordings.nbytes <= whole
    assert mx.array_equal(made.edit(prepared, **changed), expected)


def test_a_recording_for_one_edit_is_small_and_serves_no_other() -> None:
    made = engine()
    inputs, prepared = image(made), made.prepare(SPOT)
    made.record_for(prepared, **inputs)
    assert made.recordings.nbytes < made.recordings.step_nbytes() / 2
    with pytest.raises(SigeError, match=r"^step 0 was recorded for one edit only"):
        made.edit(made.prepare(~SPOT), **inputs)
    with pytest.raises(SigeError, match=r"^step 0 was recorded for one edit only"):
        made.commit(prepared, **inputs)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="a machine without /proc")
@pytest.mark.parametrize("codec", LOSS)
def test_the_process_takes_the_memory_that_recordings_say(codec: Codec) -> None:
    """Half of the steps are on the disk, from where edits have read."""
    script = """
import sys
from pathlib import Path
import mlx.core as mx
from sige_mlx import zoo
from sige_mlx.benchmark.blob import blob_mask
from sige_mlx.benchmark.workload import engine_for, workload

def resident():
    return 4096 * int(Path("/proc/self/statm").read_text().split()[1])

engine = engine_for(zoo.DEFAULT, "cpu", 1)
work = workload(engine)
engine.recordings.codec = sys.argv[1]
engine.recordings.budget = 10 * engine.recordings.step_nbytes()
edit = engine.prepare(blob_mask(engine.image_size, 5, 2, 0))
engine.record(**work.original)
mx.eval(engine.edit(edit, **work.edited(edit.tiling.mask[0])))
engine.recordings.forget()
before = resident()
for step in range(20):
    engine.record(step, **work.original)
for step in range(20):
    mx.eval(engine.edit(edit, step, **work.edited(edit.tiling.mask[0])))
print(resident() - before, *engine.recordings.kept)
"""
    ended = subprocess.run([sys.executable, "-c", script, codec], capture_output=True, text=True, check=True)
    resident, memory, disk = map(int, ended.stdout.split())
    assert memory == disk > 0
    assert resident == pytest.approx(memory, rel=0.05)
