"""Counters of kernels whose counts follow from their text."""

from __future__ import annotations

from dataclasses import astuple, replace
from typing import Any

import mlx.core as mx
import pytest

from metal.sim import Counters, SimError, simulate
from tests.metal.sim.kernels import run
from tests.metal.sim.test_programs import gemm

INDEX = "const uint i = thread_position_in_grid.x;"


def counted(body: str, *inputs: mx.array, threads: int = 64, **call: Any) -> Counters:
    options = {"threads": threads, "shape": (threads,), **call}
    return run(f"{INDEX} {body}", *inputs, count=True, **options).counters


def test_a_copy() -> None:
    counters = counted("out[i] = x[i];", mx.zeros((64,)))
    nothing = Counters(*(0 for _ in astuple(counters)))
    assert replace(counters, integer_operations=0) == replace(
        nothing,
        threads=64,
        threadgroups=1,
        device_bytes_read=256,
        device_bytes_written=256,
        device_read_transactions=2,
        device_write_transactions=2,
        device_lines_read=2,
        device_lines_written=2,
    )


@pytest.mark.parametrize(
    ("load", "transactions", "lines", "bytes_per_thread"),
    [
        ("x[i]", 2, 2, 4),
        ("x[i + 1]", 4, 3, 4),
        ("x[i ^ 31]", 2, 2, 4),
        ("x[i * 32]", 64, 64, 4),
        ("x[i / 32 * 32]", 2, 2, 4),
        ("x[0]", 2, 1, 4),
        ("((const device half*)x)[i]", 2, 1, 2),
        ("(*(const device float4*)(x + 4 * i)).x", 8, 8, 16),
        ("i % 2 ? x[i] : 0", 2, 2, 2),  # half of the lanes
    ],
)
def test_transactions_are_lines_per_instruction_of_a_simdgroup(
    load: str, transactions: int, lines: int, bytes_per_thread: int
) -> None:
    counters = counted(f"out[i] = {load};", mx.zeros((64 * 32,)))
    assert counters.device_read_transactions == transactions
    assert counters.device_lines_read == lines
    assert counters.device_bytes_read == 64 * bytes_per_thread


def test_transactions_of_a_loop_are_told_apart_by_pass() -> None:
    """Every thread walks along a row of 32: each pass of the loop touches as many lines as there are threads."""
    body = "float sum = 0; for (int k = 0; k < x_shape[1]; k++) sum += x[i * 32 + k]; out[i] = sum;"
    counters = counted(body, mx.zeros((64, 32)))
    assert counters.device_read_transactions == 64 * 32
    assert counters.device_lines_read == 64
    assert counters.float_operations == 64 * 32


def test_matrix_loads_are_instructions_of_eight_rows() -> None:
    body = "simdgroup_float8x8 m; simdgroup_load(m, x, 64); simdgroup_store(m, out, 8);"
    counters = counted(body, mx.zeros((8, 64)), threads=32, shape=(64,))
    assert (counters.device_read_transactions, counters.device_write_transactions) == (8, 2)
    body = "simdgroup_float8x8 m; simdgroup_load(m, x, 64, ulong2(0, 0), true); simdgroup_store(m, out, 8);"
    counters = counted(body, mx.zeros((8, 64)), threads=32, shape=(64,))
    assert counters.device_read_transactions == 8
    assert counters.device_bytes_read == 256


def test_a_matrix_product() -> None:
    """64 x 64 x 64 in four threadgroups of four simdgroups, through threadgroup memory in four steps of 16."""
    ran = simulate(
        gemm,
        inputs=[mx.zeros((64, 64)), mx.zeros((64, 64))],
        template=[("T", mx.float32)],
        grid=(2 * 128, 2, 1),
        threadgroup=(128, 1, 1),
        output_shapes=[(64, 64)],
        output_dtypes=[mx.float32],
        count=True,
    )
    counters = ran.counters
    assert counters.fmas == 64**3
    assert counters.simdgroup_multiplies == 64**3 // 512
    assert (counters.threads, counters.threadgroups) == (512, 4)
    assert counters.threadgroup_barriers == 4 * 4 * 2
    assert counters.threadgroup_memory == (32 * 16 + 16 * 32) * 4
    assert counters.device_bytes_read == 4 * 2 * (32 * 64) * 4
    assert counters.device_bytes_written == 64 * 64 * 4
    assert counters.device_lines_read == counters.device_lines_written * 2 == 2 * 64 * 64 * 4 // 128
    assert counters.threadgroup_bytes_written == counters.device_bytes_read
    assert counters.threadgroup_bytes_read == 4 * 4 * 8 * 4 * (64 * 4)  # groups, simdgroups, steps of 8, loads of 8x8
    assert counters.constant_bytes_read > 0  # shapes
    assert counters.special_functions == counters.simdgroup_functions == 0


def test_arithmetic() -> None:
    def work(k: int) -> Counters:
        body = """
            float f = x[i], g = 0, h = 1;
            uint n = i;
            for (int k = 0; k < y; k++) {
                f = f * f + 0.5;
                g = g * f;
                h = exp(h);
                n = n * 5 ^ 77;
            }
            out[i] = f + g + h + n;
        """
        return counted(body, mx.zeros((64,)), mx.array(k))

    one, two = work(100), work(200)
    threads = 64
    assert two.fmas - one.fmas == 100 * threads
    assert two.float_operations - one.float_operations == 100 * threads
    assert two.special_functions - one.special_functions == 100 * threads
    assert two.integer_operations - one.integer_operations == 4 * 100 * threads  # with the loop's own addition and test


def test_divisions() -> None:
    body = "out[i] = float(i / uint(y)) + float(i % uint(y)) + float(i / 7) + x[i] / float(y);"
    counters = counted(body, mx.zeros((64,)), mx.array(3))
    assert (counters.divisions, counters.special_functions) == (64 * 2, 64)

    nothing = counted("out[i] = float(i / 7 + i % 8) + x[i] / 4.0f;", mx.zeros((64,)))
    assert nothing.divisions == nothing.special_functions == 0


def test_vector_arithmetic_counts_its_components() -> None:
    body = (
        "float4 v = *(const device float4*)(x + 4 * i); v = v * v + 1.0; v = v - 2.0; out[i] = v.x + v.y * v.z + v.w;"
    )
    counters = counted(body, mx.zeros((256,)))
    assert counters.fmas == 64 * (4 + 1)
    assert counters.float_operations == 64 * (4 + 1)


def test_functions_of_the_group() -> None:
    body = """
        threadgroup float s[96];
        s[i] = simd_sum(x[i]);
        threadgroup_barrier(mem_flags::mem_threadgroup);
        simdgroup_barrier(mem_flags::mem_threadgroup);
        out[i] = simd_shuffle_xor(s[95 - i], ushort(1));
    """
    counters = counted(body, mx.zeros((96,)), threads=96)
    assert counters.threadgroup_barriers == 1
    assert counters.simdgroup_barriers == 3
    assert counters.simdgroup_functions == 2 * 3
    assert counters.threadgroup_memory == 96 * 4


def test_atomics() -> None:
    body = "atomic_fetch_add_explicit(&out[0], 1.0f, memory_order_relaxed);"
    counters = counted(body, init_value=0, options={"atomic_outputs": True})
    assert counters.atomics == 64
    assert counters.device_bytes_read == counters.device_bytes_written == 64 * 4
    assert counters.device_write_transactions == 2


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_counts_do_not_depend_on_the_order(seed: int) -> None:
    body = "out[i] = i % 3 ? x[i * 2] : x[i]; out[i + 256] = simd_sum(x[i]);"
    call = {"threads": 256, "threadgroup": (64, 1, 1), "shape": (512,)}
    assert counted(body, mx.zeros((512,)), seed=seed, **call) == counted(body, mx.zeros((512,)), **call)


@pytest.mark.parametrize("seed", [0, 1])
def test_chosen_threadgroups_alone_are_run(seed: int) -> None:
    body = f"{INDEX} out[i] = x[i] + 1.0f;"
    call = {"threads": 128, "threadgroup": (32, 1, 1), "shape": (128,), "seed": seed, "count": True}
    ran = run(body, mx.zeros((128,)), only=[1, 3], **call)
    assert ran.counters.threadgroups == 2 and ran.counters.float_operations == 64
    assert ran.unwritten == (64,)
    written = ran.outputs[0].reshape(4, 32) == 1
    assert written.all(1).tolist() == [False, True, False, True]


def test_a_launch_is_counted_only_if_asked() -> None:
    with pytest.raises(SimError, match="run it with count=True"):
        _ = run(f"{INDEX} out[i] = 1;").counters


def test_checks_are_no_work_of_the_kernel() -> None:
    """Three accesses take a few operations to find their addresses; their checks take dozens."""
    counters = counted("threadgroup float t[64]; t[i] = x[i]; out[i] = t[i];", mx.zeros((64,)))
    assert counters.threadgroup_bytes_written == 256
    assert counters.integer_operations <= 64 * 8 and counters.float_operations == 0
