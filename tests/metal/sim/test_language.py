"""What the language computes: half that rounds, vectors, math, integers, atomics, constants."""

from __future__ import annotations

import mlx.core as mx
import numpy as np
import pytest

from tests.metal.sim.kernels import MATRICES, result, run

HALVES = np.random.default_rng(0).uniform(0.5, 2, (3, 32)).astype(np.float16)


def test_half_rounds_after_every_operation() -> None:
    body = """
        const uint i = thread_index_in_threadgroup;
        half a = x[i], b = x[32 + i], c = x[64 + i];
        half sum = a * b;
        sum = sum + c;
        out[i] = sum / b - a;
        out[32 + i] = a * b + c;
        out[64 + i] = half(float(a) * float(b) + float(c));
    """
    a, b, c = HALVES
    got = result(body, mx.array(HALVES), shape=(3, 32))
    np.testing.assert_array_equal(got[0], ((a * b + c) / b - a).astype(np.float32))
    fused = (a.astype(np.float64) * b + c).astype(np.float16)  # contracted within the expression
    np.testing.assert_array_equal(got[1], fused.astype(np.float32))
    np.testing.assert_array_equal(got[2], fused.astype(np.float32))
    assert np.any((a * b + c) != fused)


def test_bfloat_rounds_to_nearest_even() -> None:
    body = """
        const uint i = thread_index_in_threadgroup;
        bfloat16_t a = bfloat16_t(x[i]);
        out[i] = float(a);
        out[32 + i] = float(bfloat16_t(metal::exp(a)));
        out[64 + i] = float(a * 1.5bf);
    """
    x = mx.random.normal((32,))
    got = result(body, x, shape=(3, 32))
    a = x.astype(mx.bfloat16)
    np.testing.assert_array_equal(got[0], np.array(a.astype(mx.float32)))
    np.testing.assert_allclose(got[1], np.exp(got[0]), rtol=1 / 128)
    np.testing.assert_array_equal(got[2], np.array((a * 1.5).astype(mx.float32)))


def test_floating_literals_are_floats() -> None:
    body = """
        static_assert(sizeof(0.1) == 4 && sizeof(1e-3) == 4 && sizeof(0x1p-3) == 4 && sizeof(TENTH) == 4, "");
        static_assert(sizeof(0.5h) == 2, "");
        out[thread_index_in_threadgroup] = x[thread_index_in_threadgroup] * 0.1;
    """
    x = np.arange(32, dtype=np.float32)
    got = result(body, mx.array(x), header=MATRICES + "#define TENTH 0.1\n")
    np.testing.assert_array_equal(got, x * np.float32(0.1))


def test_vectors_are_built_converted_and_swizzled() -> None:
    header = """
        using namespace metal;
        template <typename T> struct Traits { using four = vec<T, 4>; };
        template <typename T, typename V> vec<T, 4> convert(V v) { return vec<T, 4>(v); }
        template <typename T> using pair = vec<T, 2>;
        typedef vec<int, 4> whole;
    """
    body = """
        device float* o = out + thread_index_in_threadgroup * 40;
        float4 a = float4(1, float2(2.5, 3), 4);
        float4 b(0.0f);
        b = float4(int4(9, 8, 7, 6));
        int4 c = whole(float4(1.9, -1.9, 3, 4));
        half4 h = half4(a);
        a.xy = a.yx;
        float4 d = float4(a.wz, pair<float>(10, 11));
        float4 e = convert<float>(c) + static_cast<float4>(h);
        *(device float4*)(o) = a;
        *(device float4*)(o + 4) = b;
        *(device float4*)(o + 8) = float4(c);
        *(device float4*)(o + 12) = d;
        *(device float4*)(o + 16) = e;
        *(device float4*)(o + 20) = max(a, 3.0f) * 2 + min(b, float4(7.5));
        *(device float4*)(o + 24) = select(a, b, a < b);
        o[28] = dot(a, b);
        o[29] = length(float2(3, 4));
        o[30] = any(a > 3) + 2 * all(a > 3) + 4 * all(a > 0);
        o[31] = as_type<float>(as_type<uint>(1.5f));
        float3 f = float3(1, 2, 3);
        o[32] = f.z + sizeof(float3);
        o[33] = as_type<half2>(0x3c004000u).y;
        Traits<float>::four g = {1, 2, 3, 4};
        o[34] = g[2] + clamp(5, 1, 3) + clamp(-1.0f, 0.0f, 1.0f);
        packed_float4 p = *(const device packed_float4*)(o + 1);
        o[35] = p.w;
    """
    got = result(body, shape=(40,), threads=1, header=header)
    a, b = np.array([2.5, 1, 3, 4]), np.array([9, 8, 7, 6])
    expected = [
        *a,
        *b,
        *[1, -1, 3, 4],
        *[4, 3, 10, 11],
        *[2, 1.5, 6, 8],
        *(np.maximum(a, 3) * 2 + np.minimum(b, 7.5)),
        *np.where(a < b, b, a),
        *[a @ b, 5, 5, 1.5, 3 + 16, 1, 6, 9],
    ]
    np.testing.assert_allclose(got[:36], expected)


def test_math() -> None:
    names = ["exp", "log", "sqrt", "tanh", "sin", "cos", "floor", "ceil", "rint", "abs", "exp2", "log2", "trunc"]
    lines = "\n".join(f"o[32 * {i}] = {name}(v);" for i, name in enumerate(names))
    more = """
        o[32 * 13] = rsqrt(v);
        o[32 * 14] = fma(v, v, 1.0);
        o[32 * 15] = pow(v, 1.5);
        o[32 * 16] = precise::exp(v) / fast::exp(v) - 1;
        o[32 * 17] = max(half(v), 1.0h) + min(2.0h, half(v));
        o[32 * 18] = metal::isnan(v / 0 - v / 0) + 2 * isinf(v / 0) + 4 * isfinite(v);
        o[32 * 19] = float(exp(half(v)));
        o[32 * 20] = fract(-v) + sign(-v) + saturate(v) + mix(1.0f, 2.0f, 0.25f) + step(1.0f, v) + fmod(v, 0.5f);
    """
    x = np.random.default_rng(1).uniform(0.25, 3, 32).astype(np.float32)
    got = result(
        f"const uint i = thread_index_in_threadgroup; const float v = x[i]; device float* o = out + i; {lines} {more}",
        mx.array(x),
        shape=(21, 32),
    )
    h = x.astype(np.float16)
    expected = [
        *(getattr(np, name)(x) for name in names),
        1 / np.sqrt(x),
        x * x + 1,
        x**1.5,
        0 * x,  # to the relative error of fast functions
        np.maximum(h, 1) + np.minimum(2, h),
        0 * x + 7,
        np.exp(h.astype(np.float32)).astype(np.float16),
        (-x - np.floor(-x)) - 1 + np.minimum(x, 1) + 1.25 + (x >= 1) + np.fmod(x, 0.5),
    ]
    np.testing.assert_allclose(got, expected, rtol=2e-6, atol=1e-6)


def test_fast_functions_are_as_wrong_as_they_may_be() -> None:
    """By units in the last place, to either side: 3 + 2 |x| of an exponential, 2 of a quotient."""
    x = np.random.default_rng(1).uniform(-20, 20, 32).astype(np.float32)
    body = """
        const uint i = thread_index_in_threadgroup;
        out[i] = fast::exp(x[i]);
        out[32 + i] = fast::divide(x[i], 3.0f);
        out[64 + i] = fast::divide(1.0f, 0x1p127f);
    """
    exponential, quotient, beyond = result(body, mx.array(x), shape=(3, 32))
    ulps = (exponential.view(np.int32) - np.exp(x).view(np.int32), quotient.view(np.int32) - (x / 3).view(np.int32))
    assert np.all(np.abs(np.abs(ulps[0]) - np.floor(3 + np.abs(2 * x))) <= 1) and set(ulps[1].tolist()) == {-2, 2}
    assert np.any(ulps[0] > 0) and np.any(ulps[0] < 0)
    assert np.all(np.isnan(beyond))  # nothing is said of such a quotient


def test_fused_sums_said_in_both_ways() -> None:
    body = "const float v = x[thread_index_in_threadgroup]; out[thread_index_in_threadgroup] = fma(v, v, v * v + 1.0f);"
    x = mx.arange(32).astype(mx.float32)
    np.testing.assert_array_equal(result(body, x), 2 * np.arange(32) ** 2 + 1)


def test_integers() -> None:
    body = """
        out[0] = popcount(0xf0f0u) + clz(1u) + ctz(8u);
        out[1] = int(mulhi(0x80000000u, 6u));
        out[2] = addsat(2147483647, 1) == 2147483647 && subsat(0u, 1u) == 0 && addsat(-2147483647 - 1, -1) < 0;
        out[3] = int(reverse_bits(1u) >> 28) + abs(-5) + max(3, 4) + int(min(7u, 9u) + extract_bits(0xabcdu, 4, 8));
        out[4] = max(int4(1, 9, 3, 4), int4(5, 5, 5, 5)).x + popcount(uint2(7, 1)).x;
        out[5] = int(rotate(0x80000001u, 1u)) + mad24(3, 4, 5) + clz(ushort(1));
    """
    got = result(body, threads=1, shape=(6,), dtype=mx.int32)
    np.testing.assert_array_equal(got, [8 + 31 + 3, 3, 1, 8 + 5 + 4 + 7 + 0xBC, 8, 3 + 17 + 15])


@pytest.mark.parametrize("seed", [0, 3])
def test_atomics_in_device_and_threadgroup_memory(seed: int) -> None:
    """Eight threadgroups count into one output, each through a counter of its own."""
    body = """
        threadgroup atomic_uint counter;
        threadgroup atomic_float total;
        if (thread_index_in_threadgroup == 0) {
            atomic_store_explicit(&counter, 0u, memory_order_relaxed);
            atomic_store_explicit(&total, 0.0f, memory_order_relaxed);
        }
        threadgroup_barrier(mem_flags::mem_threadgroup);
        atomic_fetch_add_explicit(&counter, 2u, memory_order_relaxed);
        atomic_fetch_add_explicit(&total, 0.5f, memory_order_relaxed);
        threadgroup_barrier(mem_flags::mem_threadgroup);
        if (thread_index_in_threadgroup == 0) {
            const memory_order relaxed = memory_order_relaxed;
            atomic_fetch_add_explicit(&out[0], atomic_load_explicit(&counter, relaxed), relaxed);
            atomic_fetch_max_explicit(&out[1], threadgroup_position_in_grid.x, relaxed);
            atomic_fetch_add_explicit(&out[2], uint(atomic_load_explicit(&total, relaxed)), relaxed);
            uint expected = 7;
            while (!atomic_compare_exchange_weak_explicit(&out[3], &expected, expected + 1, relaxed, relaxed))
                ;
        }
    """
    got = result(
        body,
        grid=(8 * 64, 1, 1),
        threadgroup=(64, 1, 1),
        shape=(4,),
        dtype=mx.uint32,
        init_value=0,
        seed=seed,
        options={"atomic_outputs": True},
    )
    np.testing.assert_array_equal(got, [8 * 128, 7, 8 * 32, 8])


def test_constants_of_the_program() -> None:
    header = """
        using namespace metal;
        constant float weights[4] = {1.5, 2.5, 3.5, 4.5};
        constexpr constant int width = 4;
        #define CONST static constant constexpr const
        template <int N> struct Kernel {
            CONST int size = N * 2;
            static int twice(const int i) { return size * i; }
            int scaled(const thread int& i) const thread { return factor * i; }
            int factor;
        };
        float pick(const constant float* table, int i) { return table[i]; }
    """
    body = """
        const uint i = thread_index_in_threadgroup;
        Kernel<width> k{3};
        out[i] = pick(weights, i % width) + Kernel<width>::twice(i) + k.scaled(i);
    """
    i = np.arange(32)
    got = result(body, header=header)
    np.testing.assert_array_equal(got, np.array([1.5, 2.5, 3.5, 4.5])[i % 4] + 8 * i + 3 * i)


def test_what_mlx_puts_in_front_of_a_kernel_is_there() -> None:
    body = """
        const uint i = thread_index_in_threadgroup;
        out[i] = float(x[elem_to_loc(i, x_shape, x_strides, x_ndim)]) + ceildiv(33, 32) + Limits<float16_t>::finite_max;
    """
    x = mx.arange(32).reshape(4, 8).astype(mx.float16)
    got = result(body, x)
    np.testing.assert_array_equal(got, np.arange(32) + 2 + 65504)


@pytest.mark.parametrize(
    "dtype", [mx.bool_, mx.int8, mx.uint8, mx.int16, mx.uint16, mx.int64, mx.uint64, mx.float16, mx.bfloat16], ids=str
)
def test_every_dtype_goes_in_and_out(dtype: mx.Dtype) -> None:
    x = mx.arange(32).astype(dtype)
    ran = run("out[thread_index_in_threadgroup] = x[thread_index_in_threadgroup];", x, dtype=dtype)
    assert ran.outputs[0].dtype == dtype
    assert mx.array_equal(ran.outputs[0], x).item()
    assert ran.unwritten == (0,)
