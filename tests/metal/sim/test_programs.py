"""Whole kernels against numpy: what correct Metal computes."""

from __future__ import annotations

import re
from pathlib import Path

import mlx.core as mx
import numpy as np
import pytest

from metal.sim import simulate
from tests.metal.sim.kernels import MATRICES, result, run

GEMM = """
    constexpr int BM = 32, BN = 32, BK = 16;
    const int M = A_shape[0], K = A_shape[1], N = B_shape[1];
    threadgroup T As[BM * BK];
    threadgroup T Bs[BK * BN];
    const uint lid = thread_index_in_threadgroup;
    const uint sm = simdgroup_index_in_threadgroup / 2 * 16, sn = simdgroup_index_in_threadgroup % 2 * 16;
    const int m0 = threadgroup_position_in_grid.y * BM, n0 = threadgroup_position_in_grid.x * BN;
    simdgroup_matrix<float, 8, 8> acc[2][2];
    for (int i = 0; i < 2; i++)
        for (int j = 0; j < 2; j++)
            acc[i][j] = make_filled_simdgroup_matrix<float, 8, 8>(0.0);
    for (int k0 = 0; k0 < K; k0 += BK) {
        for (uint e = lid; e < BM * BK; e += 128) {
            const int r = e / BK, c = e % BK;
            As[e] = m0 + r < M && k0 + c < K ? A[(m0 + r) * K + k0 + c] : T(0);
        }
        for (uint e = lid; e < BK * BN; e += 128) {
            const int r = e / BN, c = e % BN;
            Bs[e] = k0 + r < K && n0 + c < N ? B[(k0 + r) * N + n0 + c] : T(0);
        }
        threadgroup_barrier(mem_flags::mem_threadgroup);
        for (int k = 0; k < BK; k += 8) {
            simdgroup_matrix<T, 8, 8> a[2], b[2];
            for (int i = 0; i < 2; i++)
                simdgroup_load(a[i], As + (sm + 8 * i) * BK + k, BK);
            for (int j = 0; j < 2; j++)
                simdgroup_load(b[j], Bs + k * BN + sn + 8 * j, BN);
            for (int i = 0; i < 2; i++)
                for (int j = 0; j < 2; j++)
                    simdgroup_multiply_accumulate(acc[i][j], a[i], b[j], acc[i][j]);
        }
        threadgroup_barrier(mem_flags::mem_threadgroup);
    }
    for (int i = 0; i < 2; i++)
        for (int j = 0; j < 2; j++) {
            const int r = m0 + sm + 8 * i, c = n0 + sn + 8 * j;
            if (r + 8 <= M && c + 8 <= N)
                simdgroup_store(acc[i][j], C + r * N + c, N);
        }
"""
gemm = mx.fast.metal_kernel(name="gemm", input_names=["A", "B"], output_names=["C"], source=GEMM, header=MATRICES)


@pytest.mark.parametrize("dtype", [mx.float32, mx.float16, mx.bfloat16], ids=str)
def test_gemm_with_threadgroup_memory_barriers_and_simdgroup_matrices(dtype: mx.Dtype) -> None:
    a, b = mx.random.normal((64, 48)).astype(dtype), mx.random.normal((48, 96)).astype(dtype)
    expected = np.array(a.astype(mx.float32)) @ np.array(b.astype(mx.float32))
    for seed in range(3):
        ran = simulate(
            gemm,
            inputs=[a, b],
            template=[("T", dtype)],
            grid=(3 * 128, 2, 1),
            threadgroup=(128, 1, 1),
            output_shapes=[(64, 96)],
            output_dtypes=[mx.float32],
            seed=seed,
        )
        np.testing.assert_allclose(np.array(ran.outputs[0]), expected, rtol=1e-4, atol=1e-4)
        assert ran.unwritten == (0,)


def test_gemm_leaves_what_its_guards_exclude() -> None:
    a, b = mx.random.normal((40, 19)), mx.random.normal((19, 20))
    ran = simulate(
        gemm,
        inputs=[a, b],
        template=[("T", mx.float32)],
        grid=(128, 2, 1),
        threadgroup=(128, 1, 1),
        output_shapes=[(40, 20)],
        output_dtypes=[mx.float32],
    )
    got = np.array(ran.outputs[0])
    np.testing.assert_allclose(got[:, :16], np.array(a @ b)[:, :16], rtol=1e-4, atol=1e-4)
    assert np.isnan(got[:, 16:]).all()
    assert ran.unwritten == (40 * 4,)


RMS_NORM = """
    const uint row = threadgroup_position_in_grid.x, lid = thread_position_in_threadgroup.x;
    const uint threads = threads_per_threadgroup.x;
    threadgroup float partial[32];
    const int D = x_shape[1];
    const device T* p = x + (int64_t)y[row] * x_strides[0];
    float sum = 0;
    for (int c = lid * 4; c < D; c += threads * 4) {
        float4 v = float4(*(const device vec<T, 4>*)(p + c));
        sum += dot(v, v);
    }
    sum = simd_sum(sum);
    if (thread_index_in_simdgroup == 0)
        partial[simdgroup_index_in_threadgroup] = sum;
    threadgroup_barrier(mem_flags::mem_threadgroup);
    float total = thread_index_in_simdgroup < simdgroups_per_threadgroup ? partial[thread_index_in_simdgroup] : 0;
    total = simd_sum(total);
    const float scale = metal::rsqrt(total / D + z);
    for (int c = lid; c < D; c += threads)
        out[row * D + c] = T(float(p[c]) * scale);
"""


@pytest.mark.parametrize("dtype", [mx.float32, mx.float16, mx.bfloat16], ids=str)
def test_gathered_rows_normalised_by_a_reduction_over_simdgroups(dtype: mx.Dtype) -> None:
    """A threadgroup that is no multiple of 32, vector loads, an index array, strides and a scalar argument."""
    x = mx.random.normal((40, 96)).astype(dtype)
    rows = mx.array([3, 7, 39, 0, 11, 12, 13, 14, 15, 16], dtype=mx.int32)
    got = result(
        RMS_NORM,
        x,
        rows,
        mx.array(1e-5),
        template=[("T", dtype)],
        grid=(10 * 80, 1, 1),
        threadgroup=(80, 1, 1),
        shape=(10, 96),
        dtype=dtype,
    )
    picked = np.array(x.astype(mx.float32))[np.array(rows)]
    expected = picked / np.sqrt((picked**2).mean(1, keepdims=True) + 1e-5)
    np.testing.assert_allclose(got, expected, rtol={mx.float32: 1e-5, mx.float16: 1e-3, mx.bfloat16: 1e-2}[dtype])


def test_the_grid_counts_threads_and_its_last_threadgroups_are_smaller() -> None:
    body = """
        const uint i = thread_position_in_grid.y * 10 + thread_position_in_grid.x;
        out[i] = threads_per_threadgroup.x * 1000 + dispatch_threads_per_threadgroup.x * 100
            + threadgroup_position_in_grid.y * 10 + thread_index_in_threadgroup;
    """
    got = result(body, grid=(10, 3, 1), threadgroup=(4, 2, 1), shape=(3, 10), dtype=mx.int32)
    y, x = np.mgrid[0:3, 0:10]
    width = np.where(x < 8, 4, 2)
    np.testing.assert_array_equal(got, width * 1000 + 400 + y // 2 * 10 + y % 2 * width + x % 4)


def test_a_threadgroup_is_no_larger_than_the_grid() -> None:
    got = result(
        "out[thread_position_in_grid.x] = threads_per_threadgroup.x;",
        grid=(5, 1, 1),
        threadgroup=(64, 1, 1),
        shape=(5,),
    )
    np.testing.assert_array_equal(got, 5)


def test_inputs_may_keep_their_strides() -> None:
    x = mx.arange(12, dtype=mx.float32).reshape(3, 4).T
    body = "const uint i = thread_position_in_grid.x; out[i] = x[i / 3 * x_strides[0] + i % 3 * x_strides[1]];"
    got = result(body, x, threads=12, shape=(4, 3), options={"ensure_row_contiguous": False})
    np.testing.assert_array_equal(got, np.array(x))


def test_outputs_may_be_initialised() -> None:
    ran = run("if (thread_position_in_grid.x == 3) out[3] += 1;", init_value=2)
    np.testing.assert_array_equal(np.array(ran.outputs[0]), np.where(np.arange(32) == 3, 3, 2))
    assert ran.unwritten == (0,)


def test_steel_the_matrix_product_of_mlx_runs_unmodified() -> None:
    """Text that is known to compile on Macs: loaders that copy structs, simdgroup matrices behind templates."""
    include = Path(mx.__file__).parent / "include"
    seen = {"mlx/backend/metal/kernels/utils.h"}

    def flatten(name: str) -> str:
        if name in seen:
            return ""
        seen.add(name)
        text = (include / name).read_text().replace("#pragma once", "")
        return re.sub(r'#include "(mlx/[^"]+)"', lambda m: flatten(m[1]), text)

    body = """
        using gemm = mlx::steel::GEMMKernel<T, T, 32, 32, 16, 2, 2, false, true, true, true, float>;
        threadgroup T As[gemm::tgp_mem_size_a];
        threadgroup T Bs[gemm::tgp_mem_size_b];
        const int K = x_shape[1], N = y_shape[0];
        const int row = threadgroup_position_in_grid.y * 32, column = threadgroup_position_in_grid.x * 32;
        const uint simd = simdgroup_index_in_threadgroup, lane = thread_index_in_simdgroup;
        thread typename gemm::loader_a_t loader_a(x + row * K, K, As, simd, lane);
        thread typename gemm::loader_b_t loader_b(y + column * K, K, Bs, simd, lane);
        thread typename gemm::mma_t product(simd, lane);
        for (int k = 0; k < K; k += 16) {
            threadgroup_barrier(mem_flags::mem_threadgroup);
            loader_a.load_unsafe();
            loader_b.load_unsafe();
            threadgroup_barrier(mem_flags::mem_threadgroup);
            product.mma(As, Bs);
            loader_a.next();
            loader_b.next();
        }
        product.store_result(out + row * N + column, N);
    """
    a, b = mx.random.normal((64, 48)), mx.random.normal((96, 48))
    got = result(
        body,
        a,
        b,
        template=[("T", mx.float32)],
        grid=(3 * 32, 2 * 2, 2),
        threadgroup=(32, 2, 2),
        shape=(64, 96),
        header=flatten("mlx/backend/metal/kernels/steel/gemm/gemm.h") + "\n",
    )
    np.testing.assert_allclose(got, np.array(a @ b.T), rtol=1e-4, atol=1e-4)
