"""The engine's own checks: every wrong input gets one sentence."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest

from sige_mlx.engine import Engine
from sige_mlx.engine.native import library
from sige_mlx.engine.native.weights import PackedWeights
from sige_mlx.errors import SigeError
from sige_mlx.graph.program import Kind
from sige_mlx.nn.module import parameters
from tests.engine.compare import image, nmse
from tests.engine.rounding import exact
from tests.graph.blocks import conv
from tests.graph.networks import Net, RandomUNet, Spec
from tests.policies import policy

SPEC = Spec(16, 24, 3, (("block", 8), ("down", 12), ("up", 7)), norm_out=True, time=True)


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine(RandomUNet(SPEC), policy=policy())


@pytest.mark.parametrize(
    ("inputs", "sentence"),
    [
        ({}, r"^the network takes x, t; it was given nothing$"),
        ({"x": np.zeros((1, 16, 24, 3))}, r"^the network takes x, t; it was given x$"),
        ({"x": np.zeros((1, 16, 24, 3)), "time": [0]}, r"^the network takes x, t; it was given x, time$"),
        (
            {"x": np.zeros((1, 16, 16, 3)), "t": [0]},
            r"^x is \(1, 16, 16, 3\): this engine was made for \(1, 16, 24, 3\)$",
        ),
        ({"x": np.zeros((16, 24, 3)), "t": [0]}, r"^x is \(16, 24, 3\): this engine was made for \(1, 16, 24, 3\)$"),
        ({"x": np.zeros((1, 16, 24, 3)), "t": [0, 1]}, r"^t is \(2,\): this engine was made for \(1,\)$"),
    ],
)
def test_wrong_inputs(engine: Engine, inputs: dict[str, Any], sentence: str) -> None:
    prepared = engine.prepare(np.eye(16, 24, dtype=np.bool_))
    engine.record(**image(engine))
    for call in (engine, engine.record, lambda **given: engine.edit(prepared, **given)):
        with pytest.raises(SigeError, match=sentence):
            call(**inputs)


def test_a_failed_recording_keeps_the_last_one() -> None:
    engine = Engine(RandomUNet(SPEC))
    engine.record(**image(engine))
    with pytest.raises(SigeError):
        engine.record(x=np.zeros((1, 2, 2, 3)), t=[0])
    prepared = engine.prepare(np.eye(16, 24, dtype=np.bool_))
    assert engine.edit(prepared, **image(engine)).shape == (1, 16, 24, 2)


@pytest.mark.parametrize(
    ("shape", "sentence"),
    [
        ((24, 16), r"^the mask is 24x16 and the network's image 16x24: they must agree$"),
        ((24,), r"^the mask is \(24,\): "),
        ((), r"^the mask is \(\): "),
        ((2, 16, 24), r"^the mask is \(2, 16, 24\): it must be \(H, W\), or \(1, H, W\) for this batch$"),
        ((1, 1, 16, 24), r"^the mask is \(1, 1, 16, 24\): "),
    ],
)
def test_wrong_masks(engine: Engine, shape: tuple[int, ...], sentence: str) -> None:
    with pytest.raises(SigeError, match=sentence):
        engine.prepare(np.ones(shape, np.bool_))


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"device": "tpu"}, r"^device 'tpu' is none: choose cpu, gpu or reference$"),
        ({"threads": -1}, r"^threads is -1: it must be 0 or more$"),
        ({"threads": 1.5}, r"^threads is 1.5: it must be a whole number, 0 or more$"),
        ({"threads": True}, r"^threads is True: it must be a whole number"),
        ({"tile": 0}, r"^tile is 0: it must be 1 or more$"),
        ({"batch": 0}, r"^batch is 0: it must be 1 or more$"),
    ],
)
def test_wrong_options(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(SigeError, match=sentence):
        Engine(RandomUNet(SPEC), **options)


def test_edits_of_another_engine_are_refused(engine: Engine) -> None:
    """Its program knows the sizes of other arrays."""
    other = Engine(RandomUNet(SPEC), policy=policy(16))
    engine.record(**image(engine))
    for mask in (np.eye(16, 24, dtype=np.bool_), np.zeros((16, 24), np.bool_)):
        with pytest.raises(SigeError, match=r"^the edit was prepared by another engine: prepare it with this one$"):
            engine.edit(other.prepare(mask), **image(engine))


def test_profiles_name_every_op(engine: Engine) -> None:
    inputs = image(engine)
    engine.record(**inputs)
    for prepared in (None, engine.prepare(np.eye(16, 24, dtype=np.bool_))):
        program, seconds = engine.profile(prepared, **inputs)
        assert len(program.ops) == len(program.names) == len(seconds)
        assert (seconds >= 0).all() and seconds.sum() > 0


def test_what_has_no_profile(engine: Engine) -> None:
    engine.record(**image(engine))
    with pytest.raises(SigeError, match=r"can be profiled, on device 'cpu'$"):
        engine.profile(engine.prepare(np.zeros((16, 24), np.bool_)), **image(engine))
    with pytest.raises(SigeError, match=r"can be profiled, on device 'cpu'$"):
        Engine(RandomUNet(SPEC), "reference").profile(**image(engine))


def test_integers_and_lists_are_taken_as_floats(engine: Engine) -> None:
    inputs = {"x": np.ones((1, 16, 24, 3), np.uint8), "t": [7]}
    assert nmse(engine(**inputs), engine(x=np.ones((1, 16, 24, 3), np.float32), t=np.array([7.0]))) == 0


def test_arrays_need_not_be_contiguous(engine: Engine) -> None:
    inputs = image(engine)
    turned = {**inputs, "x": np.asfortranarray(inputs["x"])}
    assert nmse(engine(**turned), engine(**inputs)) == 0


def test_arrays_of_numpy_are_read_but_not_kept(engine: Engine) -> None:
    original = image(engine)
    edited = {**original, "x": original["x"].copy()}
    edited["x"][:, 4:8, 4:8] += 1
    mask = (edited["x"] != original["x"]).any(axis=(0, 3))
    whole = np.asarray(engine.record(**{name: mx.array(x) for name, x in original.items()}))
    part = np.asarray(engine.edit(engine.prepare(mask), **{name: mx.array(x) for name, x in edited.items()}))
    engine.record(**original)
    original["x"][...] = 0
    np.testing.assert_array_equal(engine.edit(engine.prepare(np.zeros_like(mask)), **original), whole)
    np.testing.assert_array_equal(engine.edit(engine.prepare(mask), **edited), part)


def test_weights_come_from_the_loader_alone() -> None:
    """So that a model of gigabytes is read one parameter at a time, and never held twice."""
    model = RandomUNet(SPEC)
    reference = Engine(model, "reference")
    expected = exact(reference, image(reference))[0]
    asked: list[str] = []
    params = {name: np.array(p) for name, p in parameters(model).items()}

    def load(name: str) -> np.ndarray:
        asked.append(name)
        return params[name]

    other = RandomUNet(SPEC, seed=1)
    for device in ("cpu", "reference"):
        asked.clear()
        loaded = Engine(other, device, load=load)
        assert sorted(set(asked)) == sorted(params)
        expected.assert_near(loaded(**image(loaded)))


def test_half_precision_weights_are_widened() -> None:
    model = RandomUNet(SPEC)
    halves = {name: np.array(p).astype(np.float16) for name, p in parameters(model).items()}
    native, reference = (Engine(model, device, load=halves.__getitem__) for device in ("cpu", "reference"))
    exact(reference, image(reference))[0].assert_near(native(**image(native)))


def test_packed_weights_are_of_the_size_of_the_weights() -> None:
    """Winograd's transformed filters are larger than the filters, and kept besides nothing else."""
    model = Net((16, 16, 64), lambda m, x: m.b(m.a(x)), a=conv(64, 64), b=conv(64, 64, 1))
    engine = Engine(model)
    packed: PackedWeights = engine.executor.weights  # type: ignore[attr-defined]
    kept = [b for b in engine.lowered.dense.buffers if b.kind in (Kind.WEIGHT, Kind.BIAS)]
    plain = sum(p.nbytes for p in parameters(model).values())
    assert plain <= sum(packed.array(b).nbytes for b in kept) <= 5 * plain


# ---- the native library


def test_the_library_says_which_instruction_set_it_uses() -> None:
    assert library.simd() in library.instruction_sets()
    assert {*library.instruction_sets()} <= {"avx512", "avx2", "neon", "generic"}


def test_a_missing_library_is_one_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SIGE_CPU_LIBRARY", str(tmp_path / "libsige_cpu.so"))
    library.library.cache_clear()
    try:
        with pytest.raises(SigeError, match=r"^the CPU library .* cannot be loaded: "):
            library.library()
    finally:
        monkeypatch.undo()
        library.library.cache_clear()


def test_a_malformed_program_names_its_layer() -> None:
    engine = Engine(Net((16, 16, 3), lambda m, x: m.wide(x), wide=conv(3, 4)))
    ops = engine.lowered.dense.ops
    ops[0] = dataclasses.replace(ops[0], vec_stride=-1)
    with pytest.raises(RuntimeError, match=r"^wide: op 0: vec must be"):
        engine(**image(engine))


def test_an_edit_at_another_timestep_is_refused(engine: Engine) -> None:
    inputs = image(engine)
    engine.record("a", **inputs)
    prepared = engine.prepare(np.ones(engine.image_size, np.bool_))
    with pytest.raises(SigeError, match="they must agree"):
        engine.edit(prepared, "a", **{**inputs, "t": inputs["t"] + 1})
