"""Simdgroup functions and matrices: every lane gets what Apple's GPU gives it."""

from __future__ import annotations

import mlx.core as mx
import numpy as np
import pytest

from tests.metal.sim.kernels import result

LANE = np.arange(32)


@pytest.mark.parametrize("seed", [0, 1])
def test_reductions_and_scans(seed: int) -> None:
    body = """
        const uint lane = thread_index_in_simdgroup;
        const float v = x[lane];
        device float* o = out + lane;
        o[0] = simd_sum(v);
        o[32] = simd_max(v);
        o[64] = simd_min(v);
        o[96] = simd_product(lane < 3 ? v : 1.0f);
        o[128] = simd_prefix_inclusive_sum(v);
        o[160] = simd_prefix_exclusive_sum(v);
        o[192] = simd_or(1u << lane % 4);
        o[224] = simd_and(lane | 5);
        o[256] = simd_xor(lane);
        o[288] = simd_sum(half(v));
    """
    x = mx.random.uniform(-2, 2, (32,))
    got = result(body, x, shape=(10, 32), seed=seed)
    v = np.array(x)
    np.testing.assert_allclose(got[0], v.sum(), rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(got[1], v.max())
    np.testing.assert_array_equal(got[2], v.min())
    np.testing.assert_allclose(got[3], v[:3].prod(), rtol=1e-6)
    np.testing.assert_allclose(got[4], v.cumsum(), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(got[5], v.cumsum() - v, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(got[6:9], np.array([15, 5, 0])[:, None].repeat(32, 1))
    np.testing.assert_allclose(got[9], v.astype(np.float16).sum(), atol=0.05)


@pytest.mark.parametrize("seed", [0, 1])
def test_shuffles(seed: int) -> None:
    body = """
        const uint lane = thread_index_in_simdgroup;
        device int* o = out + lane;
        o[0] = simd_shuffle(int(lane) * 10, ushort((lane + 3) % 32));
        o[32] = simd_shuffle_xor(int(lane), ushort(5));
        o[64] = lane < 28 ? simd_shuffle_down(int(lane), ushort(4)) : (simd_shuffle_down(int(lane), ushort(4)), -1);
        o[96] = lane >= 4 ? simd_shuffle_up(int(lane), ushort(4)) : (simd_shuffle_up(int(lane), ushort(4)), -1);
        o[128] = simd_broadcast(int(lane), ushort(7));
        o[160] = simd_broadcast_first(int(lane) + 9);
        o[192] = simd_shuffle_and_fill_down(int(lane), int(100 + lane), ushort(4));
        o[224] = simd_shuffle_rotate_up(int(lane), ushort(3));
        float4 v = simd_shuffle_xor(float4(lane, 1, 2, 3), ushort(1));
        o[256] = int(v.x + v.w);
    """
    body = body.replace(
        "lane < 28 ? simd_shuffle_down(int(lane), ushort(4)) : (simd_shuffle_down(int(lane), ushort(4)), -1)",
        "select(-1, simd_shuffle_down(int(lane), ushort(4)), lane < 28)",
    ).replace(
        "lane >= 4 ? simd_shuffle_up(int(lane), ushort(4)) : (simd_shuffle_up(int(lane), ushort(4)), -1)",
        "select(-1, simd_shuffle_up(int(lane), ushort(4)), lane >= 4)",
    )
    got = result(body, shape=(9, 32), dtype=mx.int32, seed=seed)
    expected = [
        (LANE + 3) % 32 * 10,
        LANE ^ 5,
        np.where(LANE < 28, LANE + 4, -1),
        np.where(LANE >= 4, LANE - 4, -1),
        np.full(32, 7),
        np.full(32, 9),
        np.where(LANE < 28, LANE + 4, 100 + LANE),
        (LANE - 3) % 32,
        (LANE ^ 1) + 3,
    ]
    np.testing.assert_array_equal(got, expected)


def test_votes() -> None:
    body = """
        const uint lane = thread_index_in_simdgroup;
        const ulong even = ulong(simd_ballot(lane % 2 == 0));
        out[lane] = uint(even);
        out[32 + lane] = simd_any(lane == 31) * 8 + simd_all(lane < 31) * 4 + simd_all(true) * 2 + simd_is_first();
        out[64 + lane] = uint(ulong(simd_active_threads_mask()));
    """
    got = result(body, shape=(3, 32), dtype=mx.uint32)
    np.testing.assert_array_equal(got[0], 0x55555555)
    np.testing.assert_array_equal(got[1], 10 + (LANE == 0))
    np.testing.assert_array_equal(got[2], 0xFFFFFFFF)


def test_lanes_that_never_were_take_no_part() -> None:
    body = """
        const uint i = thread_index_in_threadgroup;
        out[i] = simd_sum(1u);
        out[48 + i] = uint(ulong(simd_active_threads_mask()));
    """
    got = result(body, threads=48, shape=(2, 48), dtype=mx.uint32)
    np.testing.assert_array_equal(got, [[32] * 32 + [16] * 16, [0xFFFFFFFF] * 32 + [0xFFFF] * 16])


def rows_and_columns() -> tuple[np.ndarray, np.ndarray]:
    """Where Apple's GPU keeps lane l's first element, as MLX's steel/gemm/mma.h computes it."""
    quad = LANE // 4
    return (quad & 4) + LANE // 2 % 4, (quad & 2) * 2 + LANE % 2 * 2


def test_a_lane_holds_two_neighbours_of_a_row() -> None:
    body = """
        const uint lane = thread_index_in_simdgroup;
        simdgroup_matrix<float, 8, 8> m;
        simdgroup_load(m, x, 8);
        out[2 * lane] = m.thread_elements()[0];
        out[2 * lane + 1] = m.thread_elements()[1];
        m.thread_elements()[1] = -m.thread_elements()[1];
        simdgroup_store(m, out + 64, 8);
    """
    got = result(body, mx.arange(64, dtype=mx.float32).reshape(8, 8), shape=(128,))
    row, column = rows_and_columns()
    np.testing.assert_array_equal(got[:64].reshape(32, 2), np.stack([row * 8 + column, row * 8 + column + 1], 1))
    np.testing.assert_array_equal(got[64:], np.arange(64) * np.where(np.arange(64) % 2, -1, 1))


@pytest.mark.parametrize("dtype", [mx.float32, mx.float16, mx.bfloat16], ids=str)
@pytest.mark.parametrize("space", ["device", "threadgroup"])
def test_matrices_load_and_store_with_stride_origin_and_transposed(space: str, dtype: mx.Dtype) -> None:
    """The 8x8 corner at row 2, column 3 of a 12x16 array, and its transpose; stored transposed again."""
    source = {
        "device": "const device T* s = x;",
        "threadgroup": """
            threadgroup T s[12 * 16];
            for (uint i = thread_index_in_threadgroup; i < 12 * 16; i += 32)
                s[i] = x[i];
            threadgroup_barrier(mem_flags::mem_threadgroup);
        """,
    }[space]
    body = f"""
        {source}
        simdgroup_matrix<T, 8, 8> a, b, c;
        simdgroup_load(a, s, 16, ulong2(3, 2));
        simdgroup_load(b, s + 2 * 16 + 3, 16, ulong2(0, 0), true);
        simdgroup_load(c, s, 16, ulong2(3, 2));
        simdgroup_store(a, out, 8);
        simdgroup_store(b, out + 64, 8);
        simdgroup_store(c, out + 128, 8, ulong2(0, 0), true);
    """
    x = mx.random.normal((12, 16)).astype(dtype)
    got = result(body, x, template=[("T", dtype)], shape=(3, 8, 8), dtype=dtype)
    corner = np.array(x.astype(mx.float32))[2:10, 3:11]
    np.testing.assert_array_equal(got, [corner, corner.T, corner.T])


def test_products_accumulate_in_float_and_round_once_to_the_result() -> None:
    body = """
        simdgroup_half8x8 a, b, h;
        simdgroup_load(a, x, 8);
        simdgroup_load(b, y, 8);
        simdgroup_float8x8 c = make_filled_simdgroup_matrix<float, 8, 8>(0.5);
        simdgroup_multiply_accumulate(c, a, b, c);
        simdgroup_multiply(h, a, b);
        simdgroup_store(c, out, 8);
        h.thread_elements() += simdgroup_half8x8(half(1)).thread_elements();
        float2 pair = float2(h.thread_elements());
        c.thread_elements() = pair;
        simdgroup_store(c, out + 64, 8);
    """
    a, b = (mx.random.normal((8, 8)).astype(mx.float16) for _ in range(2))
    got = result(body, a, b, shape=(2, 8, 8))
    exact = np.array(a, np.float64) @ np.array(b, np.float64)
    np.testing.assert_allclose(got[0], exact + 0.5, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(got[1], exact.astype(np.float16) + np.eye(8), atol=4e-3)
