"""The engine of tokens on a small transformer: what is exact, what is close, what is refused."""

from __future__ import annotations

from itertools import pairwise

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sige_mlx.errors import SigeError
from sige_mlx.tokens import RECORD_PRECISIONS, ActiveTokens, TokenEngine
from tests.tokens.toy import CHANNELS, SIGMAS, TEXT_WIDTH, Toy

TEXT, SIDE = 5, 8
IMAGE = SIDE * SIDE


def toy(dtype: mx.Dtype = mx.float32, bits: int | None = None) -> Toy:
    mx.random.seed(1)
    network = Toy()
    network.set_dtype(dtype)
    if bits:
        nn.quantize(network, bits=bits, group_size=64)
    mx.eval(network.parameters())
    return network


def tokens(seed: int, dtype: mx.Dtype = mx.float32) -> tuple[mx.array, mx.array]:
    """Image tokens and text tokens."""
    keys = mx.random.split(mx.random.key(seed))
    image, text = (
        mx.random.normal((1, IMAGE, CHANNELS), key=keys[0]),
        mx.random.normal((1, TEXT, TEXT_WIDTH), key=keys[1]),
    )
    return image.astype(dtype), text.astype(dtype)


def square(side: int) -> np.ndarray:
    plane = np.zeros((SIDE, SIDE), bool)
    plane[2 : 2 + side, 2 : 2 + side] = True
    return plane.reshape(-1)


def rows(active: ActiveTokens, image: mx.array, text: mx.array) -> tuple[mx.array, mx.array]:
    return image[:, mx.array(active.image)], text[:, mx.array(active.text)]


def sampled(engine: TokenEngine, image: mx.array, text: mx.array) -> mx.array:
    """All steps, recorded."""
    for step, (sigma, following) in enumerate(pairwise(SIGMAS)):
        image = image + (following - sigma) * engine.record(step, image, text, sigma)
    return image


def edited(engine: TokenEngine, image: mx.array, text: mx.array, active: ActiveTokens, skew: int = 0) -> mx.array:
    """All steps of the active tokens; each reads the record of the step that is `skew` before it, if there is one."""
    image, text = rows(active, image, text)
    for step, (sigma, following) in enumerate(pairwise(SIGMAS)):
        image = image + (following - sigma) * engine.edit(max(step - skew, 0), image, text, sigma, active)
    return image


def decibels(value: mx.array, wanted: mx.array) -> float:
    value, wanted = value.astype(mx.float32), wanted.astype(mx.float32)
    return 10 * float(mx.log10((wanted**2).sum() / ((value - wanted) ** 2).sum()))


def everything() -> ActiveTokens:
    return ActiveTokens(range(TEXT), range(IMAGE), TEXT, IMAGE)


FORMS = [
    (mx.float32, None),
    (mx.float16, None),
    (mx.bfloat16, None),
    (mx.float32, 8),
    (mx.float32, 4),
    (mx.bfloat16, 4),
]


@pytest.mark.parametrize("precision", RECORD_PRECISIONS)
@pytest.mark.parametrize(("dtype", "bits"), FORMS)
def test_with_all_tokens_active_an_edit_is_the_dense_pass(dtype: mx.Dtype, bits: int | None, precision: str) -> None:
    network = toy(dtype, bits)
    engine = TokenEngine(network, precision)
    engine.record(0, *tokens(1, dtype), 0.8)
    dense = TokenEngine(network).record(0, *tokens(2, dtype), 0.8)
    assert mx.array_equal(engine.edit(0, *tokens(2, dtype), 0.8, everything()), dense)


@given(seed=st.integers(0, 99), share=st.floats(0.02, 0.98), text=st.sets(st.integers(0, TEXT - 1)))
def test_the_original_edited_to_itself_is_the_record(seed: int, share: float, text: set[int]) -> None:
    active = ActiveTokens([*text], np.random.default_rng(seed).random(IMAGE) < share, TEXT, IMAGE)
    if active.empty:
        return
    engine = TokenEngine(toy(), "float32")
    image, words = tokens(seed)
    dense = engine.record(0, image, words, 0.8)
    again = engine.edit(0, *rows(active, image, words), 0.8, active)
    assert float(mx.abs(again - dense[:, mx.array(active.image)]).max()) <= 2e-6 * float(mx.abs(dense).max())


@given(seed=st.integers(0, 99), share=st.floats(0.02, 0.98))
def test_a_layer_equals_dense_where_only_active_tokens_differ(seed: int, share: float) -> None:
    """In one layer, keys and values depend on their own token alone, so that an edit is no approximation."""
    active = ActiveTokens([], np.random.default_rng(seed).random(IMAGE) < share, TEXT, IMAGE)
    if active.empty:
        return
    mx.random.seed(1)
    network = Toy(layers=1)
    engine = TokenEngine(network, "float32")
    image, text = tokens(seed)
    engine.record(0, image, text, 0.8)
    image[:, mx.array(active.image)] = tokens(seed + 1)[0][:, mx.array(active.image)]
    dense = TokenEngine(network).record(0, image, text, 0.8)[:, mx.array(active.image)]
    edit = engine.edit(0, *rows(active, image, text), 0.8, active)
    assert float(mx.abs(edit - dense).max()) <= 2e-6 * float(mx.abs(dense).max())


@pytest.mark.parametrize("precision", RECORD_PRECISIONS)
def test_edits_leave_the_record_as_it_was(precision: str) -> None:
    engine = TokenEngine(toy(), precision)
    image, text = tokens(1)
    sampled(engine, image, text)
    small, large = ActiveTokens([], square(2), TEXT, IMAGE), ActiveTokens([], square(5), TEXT, IMAGE)
    first = edited(engine, tokens(2)[0], text, small)
    edited(engine, tokens(3)[0], text, large)
    edited(engine, *tokens(4), everything())
    assert mx.array_equal(edited(engine, tokens(2)[0], text, small), first)


def test_a_record_of_another_step_is_no_record_of_this_one() -> None:
    """It guards the other tests: if the step did not matter, mixing them up would go unnoticed."""
    network = toy()
    image, text = tokens(1)
    engine = TokenEngine(network, "float32")
    sampled(engine, image, text)
    active = ActiveTokens([], square(3), TEXT, IMAGE)
    image[:, mx.array(active.image)] = tokens(2)[0][:, mx.array(active.image)]
    dense = sampled(TokenEngine(network), image, text)[:, mx.array(active.image)]
    right, wrong = (decibels(edited(engine, image, text, active, skew), dense) for skew in (0, 1))
    assert right - wrong >= 15


@pytest.mark.parametrize(("precision", "least"), [("float16", 60), ("bfloat16", 44), ("int8", 40)])
def test_records_of_less_precision_give_nearly_the_same_edit(precision: str, least: float) -> None:
    network = toy()
    image, text = tokens(1)
    active = ActiveTokens([], square(3), TEXT, IMAGE)
    edits = []
    for kept in ("float32", precision):
        engine = TokenEngine(network, kept)
        sampled(engine, image, text)
        edits.append(edited(engine, tokens(2)[0], text, active))
    assert decibels(edits[1], edits[0]) >= least


@pytest.mark.parametrize("precision", RECORD_PRECISIONS)
def test_a_committed_edit_is_the_record_of_the_next(precision: str) -> None:
    engine = TokenEngine(toy(), precision)
    image, text = tokens(1)
    engine.record(0, image, text, 0.8)
    active = ActiveTokens([1], square(3), TEXT, IMAGE)
    changed = tokens(2)[0]
    first = engine.edit(0, *rows(active, changed, text), 0.8, active)
    held = engine.nbytes
    engine.commit()
    assert engine.nbytes == held
    image[:, mx.array(active.image)] = changed[:, mx.array(active.image)]
    part = ActiveTokens([], square(2), TEXT, IMAGE)
    within = np.flatnonzero(np.isin(active.image, part.image))
    again = engine.edit(0, *rows(part, image, text), 0.8, part)
    assert decibels(again, first[:, mx.array(within)]) >= {"int8": 35, "bfloat16": 40}.get(precision, 55)
    engine.commit()
    engine.commit()  # a second does nothing
    assert mx.array_equal(engine.edit(0, *rows(part, image, text), 0.8, part), again) or precision == "int8"


def test_without_a_commit_the_original_stays() -> None:
    engine = TokenEngine(toy(), "float32")
    image, text = tokens(1)
    dense = engine.record(0, image, text, 0.8)
    active = ActiveTokens([], square(3), TEXT, IMAGE)
    engine.edit(0, *rows(active, tokens(2)[0], text), 0.8, active)
    back = engine.edit(0, *rows(active, image, text), 0.8, active)
    assert float(mx.abs(back - dense[:, mx.array(active.image)]).max()) <= 2e-6 * float(mx.abs(dense).max())


def test_a_recording_that_broke_off_is_none() -> None:
    """Some of its layers would be those of another picture."""
    network = toy()
    engine = TokenEngine(network)
    image, text = tokens(1)
    engine.record(0, image, text, 0.8)
    last, network.layers[-1] = network.layers[-1], None
    with pytest.raises(TypeError):
        engine.record(0, *tokens(2), 0.8)
    network.layers[-1] = last
    active = ActiveTokens([], [3], TEXT, IMAGE)
    with pytest.raises(SigeError, match="step 0 was not recorded"):
        engine.edit(0, *rows(active, image, text), 0.8, active)


def test_an_edit_that_broke_off_is_not_committed() -> None:
    network = toy()
    engine = TokenEngine(network, "float32")
    image, text = tokens(1)
    dense = engine.record(0, image, text, 0.8)
    active = ActiveTokens([], square(3), TEXT, IMAGE)
    engine.edit(0, *rows(active, tokens(2)[0], text), 0.8, active)
    last, network.layers[-1] = network.layers[-1], None
    with pytest.raises(TypeError):
        engine.edit(0, *rows(active, tokens(3)[0], text), 0.8, active)
    network.layers[-1] = last
    engine.commit()
    back = engine.edit(0, *rows(active, image, text), 0.8, active)
    assert float(mx.abs(back - dense[:, mx.array(active.image)]).max()) <= 2e-6 * float(mx.abs(dense).max())


def test_what_cannot_be_edited_is_refused() -> None:
    engine = TokenEngine(toy())
    image, text = tokens(1)
    active = ActiveTokens([], [3], TEXT, IMAGE)
    with pytest.raises(SigeError, match="step 0 was not recorded"):
        engine.edit(0, *rows(active, image, text), 0.8, active)
    engine.record(0, image, text, 0.8)
    with pytest.raises(SigeError, match="5 text and 64 image tokens were given, and 1 and 1 are active"):
        engine.edit(0, image, text, 0.8, active)
    with pytest.raises(SigeError, match="no image token is active"):
        engine.edit(0, image[:, :0], text[:, :1], 0.8, ActiveTokens([], [], TEXT, IMAGE))
    with pytest.raises(SigeError, match="a sequence of 68 tokens was given to a record of 69"):
        engine.record(1, image[:, 1:], text, 0.8)
    with pytest.raises(SigeError, match="'int4' is not known: take one of float32, float16, bfloat16, int8"):
        TokenEngine(toy(), "int4")
    engine.forget()
    assert engine.nbytes == 0
    with pytest.raises(SigeError, match="step 0 was not recorded"):
        engine.edit(0, *rows(active, image, text), 0.8, active)
