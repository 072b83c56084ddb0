"""What a record of keys and values holds, in bytes, and what an edit takes beside it."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import mlx.core as mx
import pytest

from sige_mlx.tokens import RECORD_PRECISIONS, ActiveTokens, KeyValueRecord
from sige_mlx.tokens.record import Place, overlay_mask
from sige_mlx.tokens.stored import SPARE, row_nbytes

HEADS, HEAD_DIM, TEXT, IMAGE = 4, 64, 32, 8160
PLACE = Place(0, "double", 0)


def rows(count: int, seed: int = 0) -> mx.array:
    drawn = mx.random.normal((1, HEADS, count, HEAD_DIM), key=mx.random.key(seed))
    mx.eval(drawn)
    return drawn


def layer_nbytes(precision: str, count: int) -> int:
    return count * row_nbytes(precision, HEADS, HEAD_DIM)


@pytest.mark.parametrize("precision", RECORD_PRECISIONS)
def test_a_record_takes_what_its_rows_take_and_an_edit_its_own(precision: str) -> None:
    record = KeyValueRecord(precision)
    record.keep(PLACE, rows(TEXT + IMAGE), rows(TEXT + IMAGE, 1))
    assert record.nbytes == layer_nbytes(precision, TEXT + IMAGE)
    record.overlay(PLACE, rows(SPARE + 1, 2), rows(SPARE + 1, 3))
    assert record.nbytes == layer_nbytes(precision, TEXT + IMAGE + 2 * SPARE)
    record.overlay(PLACE, rows(3, 2), rows(3, 3))
    assert record.nbytes == layer_nbytes(precision, TEXT + IMAGE + 2 * SPARE)


@pytest.mark.parametrize("precision", RECORD_PRECISIONS)
def test_what_is_kept_are_arrays_of_their_own(precision: str) -> None:
    """Keys cut from a wide projection would keep all of it."""
    wide = mx.random.normal((1, 2048, 9 * HEADS * HEAD_DIM)).astype(RECORD_PRECISIONS["bfloat16"])
    mx.eval(wide)
    before = mx.get_active_memory() - wide.nbytes
    keys, values = (
        part.reshape(1, 2048, HEADS, HEAD_DIM).transpose(0, 2, 1, 3) for part in mx.split(wide, 9, axis=-1)[:2]
    )
    record = KeyValueRecord(precision)
    record.keep(PLACE, keys, values)
    mx.eval(record.arrays(0))
    del wide, keys, values
    assert mx.get_active_memory() - before <= record.nbytes * 1.1


@pytest.mark.parametrize("precision", ["float32", "float16", "bfloat16"])
def test_neither_an_edit_nor_a_commit_copies_the_record(precision: str) -> None:
    """Only the first edit does, when spare rows are allocated."""
    dtype = RECORD_PRECISIONS[precision]
    record = KeyValueRecord(precision)
    record.keep(PLACE, rows(TEXT + IMAGE), rows(TEXT + IMAGE, 1))
    new = rows(SPARE, 2).astype(dtype)
    mx.eval(record.overlay(PLACE, new, new), record.arrays(0))
    active = ActiveTokens([0], range(SPARE - 1), TEXT, IMAGE)
    for work in (lambda: record.overlay(PLACE, new + 1, new + 1), lambda: record.commit(0, active)):
        mx.clear_cache()
        mx.reset_peak_memory()
        before = mx.get_active_memory()
        mx.eval(work() or [], record.arrays(0))
        assert mx.get_peak_memory() - before <= record.nbytes / 8


def test_int8_decodes_one_layer_and_no_more() -> None:
    record = KeyValueRecord("int8")
    record.keep(PLACE, rows(TEXT + IMAGE), rows(TEXT + IMAGE, 1))
    mx.eval(record.arrays(0))
    keys, values = record.overlay(PLACE, rows(SPARE, 2), rows(SPARE, 3))
    assert keys.shape == (1, HEADS, TEXT + IMAGE + SPARE, HEAD_DIM)
    error = mx.abs(keys[:, :, : TEXT + IMAGE] - rows(TEXT + IMAGE)).max(axis=-1)
    largest = mx.abs(rows(TEXT + IMAGE)).max(axis=-1)
    assert float((error / largest).max()) <= 1 / 127
    assert values.dtype == mx.float32


def test_int8_keeps_zeros_and_extremes() -> None:
    row = mx.zeros((1, 1, 3, 32))
    row[..., 1, 0] = 1e30
    row[..., 2, :] = 1e-30
    record = KeyValueRecord("int8")
    record.keep(PLACE, row, row)
    keys, _ = record.overlay(PLACE, row[:, :, :1], row[:, :, :1])
    assert mx.allclose(keys[:, :, :3], row, rtol=1e-2, atol=0)


def test_attention_reads_the_overlay_in_place_of_the_rows_it_replaces() -> None:
    active = ActiveTokens([1], [0, 2], 2, 3)
    assert overlay_mask(active)[0, 0, 0].tolist() == [True, False, False, True, False, True, True, True]


@pytest.mark.parametrize("precision", RECORD_PRECISIONS)
def test_on_its_way_to_the_disk_a_record_is_never_in_memory_twice(precision: str, tmp_path: Path) -> None:
    """It goes there where memory has no room; a part of it at a time is copied, for the spare rows of an edit lie
    between the recorded ones."""
    record = KeyValueRecord(precision)
    places = [Place(0, "double", layer) for layer in range(4)]
    for place in places:
        record.keep(place, rows(2048, place.layer), rows(2048, place.layer + 9))
        mx.eval(record.overlay(place, rows(3, 2), rows(3, 3)), record.at(place))
    before = {name: part.copy() for name, part in record.bytes().items()}
    mx.clear_cache()
    mx.reset_peak_memory()
    held = mx.get_active_memory()
    tracemalloc.start()
    record.put_on_disk(tmp_path)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    taken = max(mx.get_peak_memory() - held, 0) + most
    assert taken < layer_nbytes(precision, 2048) * 1.1
    assert record.kept == (0, 4 * layer_nbytes(precision, 2048))
    assert all((part == before[name]).all() for name, part in record.bytes().items())
