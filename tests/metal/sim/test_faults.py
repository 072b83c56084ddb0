"""Every mistake that the model finds while a kernel runs: each kernel here is right but for one thing."""

from __future__ import annotations

import mlx.core as mx
import numpy as np
import pytest

from metal.sim import SimError
from tests.metal.sim.kernels import MATRICES, refused, result, run

X = mx.arange(32, dtype=mx.float32)
INDEX = "const uint i = thread_index_in_threadgroup; "
SHARED = f"{INDEX} threadgroup float s[64];"
BARRIER = "threadgroup_barrier(mem_flags::mem_threadgroup);"


@pytest.mark.parametrize(
    ("body", "where"),
    [
        ("out[i] = x[i + 1];", "reads 4 bytes of device buffer x at element 32"),
        ("out[i] = x[int(i) - 3];", "device buffer x at element -3"),
        ("out[i + 3] = 1;", "writes 4 bytes of device buffer out at element 32"),
        ("out[i] = (*(const device float4*)(x + 32)).y;", "reads 16 bytes of device buffer x at element 32"),
        ("out[i] = ((const device half*)x)[64 + i];", "reads 2 bytes of device buffer x at element 32"),
        ("simdgroup_float8x8 m; simdgroup_load(m, x, 8); simdgroup_store(m, out, 8);", "device buffer x at element 32"),
    ],
)
def test_access_outside_a_device_buffer(body: str, where: str) -> None:
    message = refused(where + r".*out of bounds, it has 32 elements", INDEX + body, X)
    assert "threadgroup (0, 0, 0)" in message
    assert "line " in message


def test_the_message_names_kernel_line_thread_and_threadgroup() -> None:
    message = refused(
        "out of bounds",
        "const uint i = thread_position_in_grid.x;\nout[i] =\n  x[i == 70 ? 99 : 0];",
        X,
        grid=(128, 1, 1),
        threadgroup=(8, 4, 1),
        shape=(128,),
    )
    assert "`x[i == 70 ? 99 : 0];`, thread (6, 0, 0) of threadgroup (8, 0, 0)" in message


@pytest.mark.parametrize(
    ("line", "match"),
    [
        ("out[i] = read(x, i + 1);", r"some/file\.h, line 40, `float read\(.*"),
        ("out[i] = x[i + 1];", r"some/file\.metal, line 7, `out\[i\] = x\[i \+ 1\];`"),
        ("float a[4] = {1, 2, 3, 4}; out[i] = a[i];", r"some/file\.metal, line 7, `float a\[4\]"),
        ("threadgroup float s[1]; s[0] = i; out[i] = s[0];", r"thread \(\d+, 0, 0\) .* it at some/file\.metal, line 7"),
    ],
)
def test_the_message_names_the_file_that_the_text_tells(line: str, match: str) -> None:
    header = f'{MATRICES}#line 40 "some/file.h"\nfloat read(const device float* p, uint i) {{ return p[i]; }}\n'
    refused(match, f'#line 6 "some/file.metal"\n{INDEX}\n{line}', X, header=header)


@pytest.mark.parametrize("index", ["x[thread_index_in_threadgroup]", "x_shape[1]"])
def test_access_outside_constant_memory(index: str) -> None:
    body = f"out[thread_index_in_threadgroup] = {index};"
    refused("reads . bytes of constant buffer x(_shape)? at element .* out of bounds", body, X[:7])


def test_access_outside_a_threadgroup_array() -> None:
    body = f"{SHARED} threadgroup float t[64]; threadgroup float* p = s; t[i] = p[63 + i] = i; out[i] = t[i];"
    refused("writes 4 bytes of threadgroup array s at byte 256: out of bounds", body)


def test_index_outside_an_array_of_known_size() -> None:
    body = "float a[4] = {1, 2, 3, 4}; const uint i = thread_index_in_threadgroup; out[i] = a[i];"
    refused(r"index 4 into 'float\[4\]' \(line .*thread \(4, 0, 0\)", body)
    body = "threadgroup float a[8][4]; const uint i = thread_index_in_threadgroup; a[i / 4][i] = 1; out[i] = 0;"
    refused(r"index 4 into 'threadgroup float\[4\]'", body)
    header = "constant float table[3] = {1, 2, 3};\n"
    refused("index 3 into", "out[thread_index_in_threadgroup] = table[thread_index_in_threadgroup];", header=header)


@pytest.mark.parametrize(
    "body",
    [
        "out[i] = (*(const device float4*)(x + i)).x;",
        "*(device float2*)(out + i) = float2(1);",
        "threadgroup float s[68]; *(threadgroup float4*)(s + i) = float4(1); out[i] = 0;",
        "out[i] = *(const device float*)((const device half*)x + i);",
    ],
)
def test_vectors_at_addresses_that_are_not_aligned(body: str) -> None:
    refused(
        "at (element . \\()?byte .*not aligned to the type.*thread \\(1, 0, 0\\)",
        f"const uint i = thread_index_in_threadgroup; {body}",
        X,
    )


def test_an_aligned_vector_of_half_precision_is_accepted() -> None:
    body = "const uint i = thread_index_in_threadgroup; half4 v = *(const device half4*)(x + 4 * i); out[i] = v.w;"
    got = result(body, X.astype(mx.float16), threads=8, shape=(8,))
    np.testing.assert_array_equal(got, np.arange(3, 32, 4))


def test_a_pointer_to_nothing() -> None:
    refused(
        "reads device memory through a pointer to no buffer",
        "const device float* p = nullptr; out[thread_index_in_threadgroup] = p[x[0] > 5 ? 1 : 0];",
        X,
    )


def test_writes_to_an_input() -> None:
    refused(
        "writes 4 bytes of device buffer x at element 0 .*inputs are read only", "((device float*)(ulong)x)[0] = 1;", X
    )
    refused("read only", "atomic_store_explicit((device atomic_float*)(ulong)x, 1.0f, memory_order_relaxed);", X)


def test_an_output_read_before_it_was_written() -> None:
    message = refused(
        "reads 4 bytes of device buffer out at element 0 .*an output, before it was written",
        "out[thread_index_in_threadgroup] += 1;",
    )
    assert "thread (0, 0, 0)" in message
    options = {"atomic_outputs": True}
    body = "atomic_fetch_add_explicit(&out[0], 1.0f, memory_order_relaxed);"
    refused("updates 4 bytes of device buffer out .*before it was written", body, options=options)


def test_what_no_thread_writes_is_poison() -> None:
    ran = run("if (thread_index_in_threadgroup % 2) out[thread_index_in_threadgroup] = 1;")
    got = np.array(ran.outputs[0])
    assert np.isnan(got[::2]).all() and (got[1::2] == 1).all()
    assert ran.unwritten == (16,)


def test_threadgroup_memory_read_before_it_was_written() -> None:
    message = refused(
        "reads 4 bytes of threadgroup array s at byte 12: before it was written",
        f"{SHARED} if (i != 3) s[i] = 1; {BARRIER} out[i] = s[i];",
    )
    assert "thread (3, 0, 0)" in message
    refused(
        "before it was written", f"{SHARED} simdgroup_float8x8 m; simdgroup_load(m, s, 8); simdgroup_store(m, out, 8);"
    )
    body = f"threadgroup atomic_uint n; atomic_fetch_add_explicit(&n, 1u, memory_order_relaxed); {BARRIER} out[0] = 1;"
    refused("updates 4 bytes of threadgroup array n .*before it was written", body)


def test_threadgroup_memory_does_not_survive_its_threadgroup() -> None:
    body = (
        f"{SHARED} if (threadgroup_position_in_grid.x == 0) s[i] = 1; {BARRIER} out[thread_position_in_grid.x] = s[i];"
    )
    refused(
        "before it was written.*of threadgroup \\(1, 0, 0\\)",
        body,
        grid=(64, 1, 1),
        threadgroup=(32, 1, 1),
        shape=(64,),
    )


UNORDERED = "before it was written|wrote it .*with no barrier between"


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize(
    ("body", "match"),
    [
        ("s[i] = i; out[i] = s[63 - i];", r"reads 4 bytes of .* s .*before it was written|thread .* wrote it at line"),
        ("s[i] = i; B; out[i] = s[63 - i]; s[i] = 0;", r"(reads|writes) 4 bytes of .* s .* (wrote|read) it at line"),
        ("s[i / 2] = i; B; out[i] = s[i / 2];", r"writes 4 bytes of .* s .* wrote it at line"),
        ("s[i] = i; B; out[i] = s[0] + s[32]; s[32] = i == 40;", r"several simdgroups read it|wrote it"),
        ("s[i] = i; threadgroup_barrier(mem_flags::mem_none); out[i] = s[63 - i];", UNORDERED),
        ("s[i] = i; threadgroup_barrier(mem_flags::mem_device); out[i] = s[63 - i];", UNORDERED),
        ("s[i] = i; simdgroup_barrier(mem_flags::mem_threadgroup); out[i] = s[63 - i];", UNORDERED),
        ("s[i] = i; out[i] = simd_sum(1) + s[i ^ 1];", UNORDERED),
    ],
)  # fmt: skip
def test_missing_barriers(body: str, match: str, seed: int) -> None:
    refused(match, f"{SHARED} {body.replace('B;', BARRIER)}", threads=64, shape=(64,), seed=seed)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_barriers_that_are_there_are_enough(seed: int) -> None:
    body = f"""
        {SHARED}
        threadgroup half h[64];
        threadgroup uchar c[64];
        for (int round = 0; round < 3; round++) {{
            s[i] = i + round;
            h[i] = i;
            c[i] = i;
            {BARRIER}
            float sum = s[63 - i] + h[i ^ 1] + c[i ^ 33];
            {BARRIER}
            s[i] = sum;
            simdgroup_barrier(mem_flags::mem_threadgroup);
            out[i] = s[i ^ 5];
            simdgroup_barrier(mem_flags::mem_threadgroup);
        }}
    """
    i = np.arange(64) ^ 5
    got = result(body, threads=64, shape=(64,), seed=seed)
    np.testing.assert_array_equal(got, (63 - i + 2) + (i ^ 1) + (i ^ 33))


def test_an_atomic_does_not_order_other_accesses() -> None:
    body = f"""
        threadgroup atomic_uint n;
        const uint i = thread_index_in_threadgroup;
        if (i == 0)
            atomic_store_explicit(&n, 0u, memory_order_relaxed);
        {BARRIER}
        atomic_fetch_add_explicit(&n, 1u, memory_order_relaxed);
        out[i] = *(threadgroup uint*)&n;
    """
    refused("reads 4 bytes of threadgroup array n .*an atomic operation wrote it|updated it", body)


@pytest.mark.parametrize("seed", [0, 1])
def test_two_threadgroups_that_write_different_values_to_one_place(seed: int) -> None:
    call = {"grid": (64, 1, 1), "threadgroup": (32, 1, 1), "seed": seed}
    message = refused(
        r"writes 4 bytes of device buffer out at .*wrote it at line .* of threadgroup \(., 0, 0\), and nothing orders",
        "out[thread_index_in_threadgroup] = threadgroup_position_in_grid.x;",
        **call,
    )
    assert "line" in message
    got = result("out[thread_index_in_threadgroup] = 7;", **call)  # the same value is no race
    np.testing.assert_array_equal(got, 7)


def test_an_output_read_where_another_thread_wrote_it() -> None:
    body = "const uint i = thread_index_in_threadgroup; out[i] = i; {} float v = out[i ^ 1]; {} out[i] = v;"
    device = "threadgroup_barrier(mem_flags::mem_device);"
    refused("reads 4 bytes of device buffer out .* and nothing orders the two", body.format("", ""), init_value=0)
    refused("nothing orders the two", body.format(BARRIER, device))
    got = result(body.format(device, device))
    np.testing.assert_array_equal(got, np.arange(32) ^ 1)
    body = "const uint i = thread_position_in_grid.x; out[i] = i; if (i == 32) out[32] = out[0];"
    call = {"grid": (64, 1, 1), "threadgroup": (32, 1, 1), "shape": (64,)}
    refused("reads 4 bytes of device buffer out .* of threadgroup", body, **call)


M = "simdgroup_float8x8 m(1.0f);"


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize(
    ("body", "match"),
    [
        ("if (i < 32) B", r"threadgroup_barrier reached by 32 of 64 threads \(32 have returned\)"),
        ("if (i >= 48) return; B", r"threadgroup_barrier reached by 48 of 64 threads"),
        ("if (i < 32) {\n B }\n else {\n B }", "other threads of the threadgroup wait at another barrier"),
        ("if (i % 2) out[i] = simd_sum(i);", "a simdgroup function reached by 16 of 32 threads"),
        ("if (i % 2) simd_sum(i); B", "simdgroup function reached by"),
        ("if (i % 2)\n out[i] = simd_sum(i);\n else\n out[i] = simd_max(i);", "wait at another simdgroup function"),
        ("if (i % 2) simdgroup_barrier(mem_flags::mem_none); B", "reached by 16 of 32 threads"),
        (f"{M} if (i % 2) simdgroup_load(m, x, 8); B", "simdgroup_load or simdgroup_store .*not reached"),
        (f"{M} if (i > 2) simdgroup_store(m, out + i / 32 * 64, 8); return;", "not reached by all"),
        (f"{M} if (i % 2) simdgroup_multiply(m, m, m); B", "function reached by"),
    ],
)  # fmt: skip
def test_functions_of_the_group_that_not_all_threads_reach(body: str, match: str, seed: int) -> None:
    text = f"const uint i = thread_index_in_threadgroup; {body.replace('B', BARRIER)} out[i] = 0;"
    refused(match, text, mx.zeros((64,)), threads=64, shape=(128,), seed=seed)


def test_matrix_products_need_a_whole_simdgroup() -> None:
    body = "simdgroup_float8x8 m(1.0f); simdgroup_multiply(m, m, m); out[0] = m.thread_elements()[0];"
    refused("matrix product without all 32 lanes", body, threads=16)


def test_more_threadgroup_memory_than_metal_has() -> None:
    body = "threadgroup float s[{}]; const uint i = thread_index_in_threadgroup; s[i] = 1; out[i] = s[i];"
    refused("32784 bytes of threadgroup memory up to s; Metal allows 32768", body.format(8196))
    np.testing.assert_array_equal(result(body.format(8192)), 1)


def test_more_threads_than_metal_has() -> None:
    body = "out[thread_position_in_grid.x] = 1;"
    refused("threadgroups of 1056 threads; Metal allows 1024", body, threads=1056, shape=(1056,))
    np.testing.assert_array_equal(result(body, threads=1024, shape=(1024,)), 1)


def test_division_by_zero() -> None:
    body = "const int i = thread_index_in_threadgroup; out[i] = 7 / (i - 3);"
    refused(r"integer division by zero \('int'\) \(line .*thread \(3, 0, 0\)", body)


def test_a_grid_that_is_none() -> None:
    for grid in [(0, 1, 1), (1, 1)]:
        with pytest.raises(SimError, match="must be three positive numbers"):
            run("out[0] = 1;", grid=grid)
