"""Records stay as they are, and results depend on nothing but the inputs: to the bit."""

from __future__ import annotations

import hashlib

import mlx.core as mx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sige_mlx.engine import Engine
from sige_mlx.engine.native.executor import NativeExecutor
from sige_mlx.engine.recordings import Record
from sige_mlx.errors import SigeError
from sige_mlx.graph.policy import Output
from tests.engine.compare import EVERYWHERE, edited, image, run_edit
from tests.graph.networks import Mask, RandomUNet, Spec, masks, specs
from tests.policies import OUTPUTS, policy

SPEC = Spec(16, 24, 3, (("block", 8), ("down", 12), ("attention", 0), ("up", 7)), norm_out=True, time=True)


def spot(rows: slice, columns: slice) -> Mask:
    mask = np.zeros((16, 24), np.bool_)
    mask[rows, columns] = True
    return mask


SPOT, STRIP = spot(slice(4, 7), slice(9, 13)), spot(slice(15, 16), slice(None))


def digest(record: Record) -> str:
    """A hash of every recorded array."""
    arrays = [record.arrays[k] for k in sorted(record.arrays, key=str)]
    return hashlib.sha256(b"".join(np.asarray(a).tobytes() for a in arrays)).hexdigest()


@pytest.mark.parametrize("device", EVERYWHERE)
@given(st.data(), specs(), st.sampled_from(OUTPUTS))
def test_edits_write_nothing_recorded(device: str, data: st.DataObject, spec: Spec, output: Output) -> None:
    engine = Engine(RandomUNet(spec), device, policy(8, output))
    inputs = image(engine)
    engine.record(**inputs)
    record = engine.recordings.of(0).record
    before = digest(record)
    mask = data.draw(masks(spec.height, spec.width))
    engine.edit(engine.prepare(mask), **edited(inputs, mask))
    assert digest(record) == before


@pytest.mark.parametrize("device", EVERYWHERE)
@pytest.mark.parametrize("output", OUTPUTS)
def test_edits_in_any_order_give_the_same_bits(device: str, output: Output) -> None:
    engine = Engine(RandomUNet(SPEC), device, policy(8, output))
    inputs = image(engine)
    engine.record(**inputs)
    one, other = engine.prepare(SPOT), engine.prepare(STRIP)
    first = engine.edit(one, **edited(inputs, SPOT))
    second = engine.edit(other, **edited(inputs, STRIP))
    engine(**edited(inputs, STRIP))  # another program in the same scratch memory
    assert mx.array_equal(engine.edit(one, **edited(inputs, SPOT)), first)
    assert mx.array_equal(engine.edit(other, **edited(inputs, STRIP)), second)
    assert not mx.array_equal(first, second)


@pytest.mark.parametrize("device", EVERYWHERE)
def test_what_a_caller_does_to_a_result_does_not_reach_the_record(device: str) -> None:
    engine = Engine(RandomUNet(SPEC), device, policy())
    inputs = image(engine)
    recorded = engine.record(**inputs)
    expected = np.array(recorded)
    nothing = engine.prepare(np.zeros((16, 24), np.bool_))
    recorded += 1
    unchanged = engine.edit(nothing, **inputs)
    np.testing.assert_array_equal(np.array(unchanged), expected)
    unchanged[:] = 0
    np.testing.assert_array_equal(np.array(engine.edit(nothing, **inputs)), expected)


@pytest.mark.parametrize("device", EVERYWHERE)
def test_what_a_caller_does_to_an_input_does_not_reach_the_record(device: str) -> None:
    engine = Engine(RandomUNet(SPEC), device, policy())
    inputs = image(engine)
    given_twice = {name: mx.array(x) for name, x in inputs.items()}
    engine.record(**given_twice)
    expected = run_edit(Engine(RandomUNet(SPEC), device, policy()), SPOT)
    given_twice["x"] += 1
    assert mx.array_equal(engine.edit(engine.prepare(SPOT), **edited(inputs, SPOT)), expected)


@pytest.mark.parametrize("output", OUTPUTS)
def test_any_number_of_threads_gives_the_same_bits(output: Output) -> None:
    results = []
    for threads in (1, 2, 3):
        engine = Engine(RandomUNet(SPEC), policy=policy(8, output), threads=threads)
        assert isinstance(engine.executor, NativeExecutor) and engine.executor.threads == threads
        results.append((engine(**image(engine)), run_edit(engine, SPOT)))
    for dense, edit in results[1:]:
        assert mx.array_equal(dense, results[0][0])
        assert mx.array_equal(edit, results[0][1])


@pytest.mark.parametrize("device", EVERYWHERE)
def test_steps_are_recorded_apart(device: str) -> None:
    engine = Engine(RandomUNet(SPEC), device, policy())
    for step in ("first", "second"):
        engine.record(step, **image(engine, seed=len(step)))
    prepared = engine.prepare(SPOT)
    results = [engine.edit(prepared, s, **edited(image(engine, seed=len(s)), SPOT)) for s in ("first", "second")]
    assert not mx.array_equal(*results)
    both = engine.recordings.nbytes
    engine.recordings.forget("first")
    assert 0 < engine.recordings.nbytes == both / 2
    with pytest.raises(SigeError, match=r"^step 'first' was not recorded: call record\('first', …\) on the original"):
        engine.edit(prepared, "first", **image(engine))
    engine.record("second", **image(engine, seed=5))
    assert mx.array_equal(engine.edit(prepared, "second", **edited(image(engine, seed=5), SPOT)), results[0])
    engine.recordings.forget()
    assert engine.recordings.nbytes == 0


@pytest.mark.parametrize("device", EVERYWHERE)
def test_recorded_bytes_are_known_beforehand(device: str) -> None:
    engine = Engine(RandomUNet(SPEC), device, policy())
    expected = engine.recordings.step_nbytes()
    engine.record(**image(engine))
    assert engine.recordings.nbytes == expected
