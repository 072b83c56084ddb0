// <metal_math>, <metal_common>, <metal_geometric>, <metal_relational>: of half, float and their vectors. Half functions
// compute in float and round once. As in Metal there are none for bfloat: MLX adds them (bf16_math.h).
#pragma once

#include "msl/traits.h"

#define INFINITY __builtin_inff()
#define NAN __builtin_nanf("")
#define MAXFLOAT 0x1.fffffep127f
#define HALF_MAX ((half)65504.0f)
#define M_PI_F 3.14159265358979323846f
#define M_E_F 2.71828182845904523536f
#define M_LN2_F 0.69314718055994530942f
#define M_LOG2E_F 1.44269504088896340736f
#define M_SQRT2_F 1.41421356237309504880f
#define M_SQRT1_2_F 0.70710678118654752440f

namespace metal_sim {
inline float rsqrt(float x) { return 1.0f / __builtin_sqrtf(x); }
inline float exp10(float x) { return __builtin_powf(10.0f, x); }
inline float sign(float x) { return x > 0 ? 1.0f : x < 0 ? -1.0f : x == 0 ? x : 0.0f; }
inline float fract(float x) { return __builtin_fminf(x - __builtin_floorf(x), 0x1.fffffep-1f); }
inline float saturate(float x) { return __builtin_fminf(__builtin_fmaxf(x, 0.0f), 1.0f); }
inline float divide(float x, float y) { return x / y; }
inline float mix(float x, float y, float a) { return x + (y - x) * a; }
inline float step(float edge, float x) { return x < edge ? 0.0f : 1.0f; }

// What Metal's fast functions may differ by (Metal Shading Language specification, accuracy with fast math), they do
// differ by, to either side: what a kernel makes of that shows. Kernels that are counted are spared the arithmetic.
#ifdef SIM_COUNT
inline float fast_exp(float x) { return __builtin_expf(x); }
inline float fast_divide(float x, float y) { return x / y; }
#else
inline float off_by(float x, unsigned ulps) {
    unsigned bits;
    __builtin_memcpy(&bits, &x, sizeof bits);
    const unsigned size = bits & 0x7fffffff;
    if (size <= ulps || size + ulps >= 0x7f800000)
        return x;
    bits = bits % 2 ? bits + ulps : bits - ulps;
    __builtin_memcpy(&x, &bits, sizeof x);
    return x;
}
inline float fast_exp(float x) {
    const float size = __builtin_fabsf(x);
    return size < 88 ? off_by(__builtin_expf(x), 3 + (unsigned)(2 * size)) : __builtin_expf(x);
}
inline float fast_divide(float x, float y) {
    const float size = __builtin_fabsf(y); // beyond these, nothing is said of the quotient
    return size < 0x1p-126f || size > 0x1p126f ? __builtin_nanf("") : off_by(x / y, 2);
}
#endif
} // namespace metal_sim

// One overload per type, as in Metal: a template would refuse arguments that convert, and take what Metal calls
// ambiguous.
#define SIM_FLOATS(DEFINE, NAME, FUNCTION)                                                                             \
    DEFINE(NAME, FUNCTION, float)                                                                                      \
    DEFINE(NAME, FUNCTION, float2)                                                                                     \
    DEFINE(NAME, FUNCTION, float3)                                                                                     \
    DEFINE(NAME, FUNCTION, float4)                                                                                     \
    DEFINE(NAME, FUNCTION, half)                                                                                       \
    DEFINE(NAME, FUNCTION, half2)                                                                                      \
    DEFINE(NAME, FUNCTION, half3)                                                                                      \
    DEFINE(NAME, FUNCTION, half4)
#define SIM_UNARY(NAME, FUNCTION, T)                                                                                   \
    METAL_FUNC T NAME(T x) {                                                                                           \
        return metal_sim::map([](float a) { return FUNCTION(a); }, x);                                                 \
    }
#define SIM_BINARY(NAME, FUNCTION, T)                                                                                  \
    METAL_FUNC T NAME(T x, T y) {                                                                                      \
        return metal_sim::map([](float a, float b) { return FUNCTION(a, b); }, x, y);                                  \
    }
#define SIM_TERNARY(NAME, FUNCTION, T)                                                                                 \
    METAL_FUNC T NAME(T x, T y, T z) {                                                                                 \
        return metal_sim::map([](float a, float b, float c) { return FUNCTION(a, b, c); }, x, y, z);                   \
    }
#define SIM_TRANSCENDENTALS(EXP, DIVIDE)                                                                               \
    SIM_FLOATS(SIM_UNARY, exp, EXP)                                                                                    \
    SIM_FLOATS(SIM_UNARY, exp2, __builtin_exp2f)                                                                       \
    SIM_FLOATS(SIM_UNARY, exp10, metal_sim::exp10)                                                                     \
    SIM_FLOATS(SIM_UNARY, log, __builtin_logf)                                                                         \
    SIM_FLOATS(SIM_UNARY, log2, __builtin_log2f)                                                                       \
    SIM_FLOATS(SIM_UNARY, log10, __builtin_log10f)                                                                     \
    SIM_FLOATS(SIM_UNARY, sqrt, __builtin_sqrtf)                                                                       \
    SIM_FLOATS(SIM_UNARY, rsqrt, metal_sim::rsqrt)                                                                     \
    SIM_FLOATS(SIM_UNARY, sin, __builtin_sinf)                                                                         \
    SIM_FLOATS(SIM_UNARY, cos, __builtin_cosf)                                                                         \
    SIM_FLOATS(SIM_UNARY, tan, __builtin_tanf)                                                                         \
    SIM_FLOATS(SIM_UNARY, asin, __builtin_asinf)                                                                       \
    SIM_FLOATS(SIM_UNARY, acos, __builtin_acosf)                                                                       \
    SIM_FLOATS(SIM_UNARY, atan, __builtin_atanf)                                                                       \
    SIM_FLOATS(SIM_UNARY, sinh, __builtin_sinhf)                                                                       \
    SIM_FLOATS(SIM_UNARY, cosh, __builtin_coshf)                                                                       \
    SIM_FLOATS(SIM_UNARY, tanh, __builtin_tanhf)                                                                       \
    SIM_FLOATS(SIM_BINARY, pow, __builtin_powf)                                                                        \
    SIM_FLOATS(SIM_BINARY, powr, __builtin_powf)                                                                       \
    SIM_FLOATS(SIM_BINARY, atan2, __builtin_atan2f)                                                                    \
    SIM_FLOATS(SIM_BINARY, divide, DIVIDE)

namespace metal {

SIM_TRANSCENDENTALS(__builtin_expf, metal_sim::divide)
namespace fast {
SIM_TRANSCENDENTALS(metal_sim::fast_exp, metal_sim::fast_divide)
}
namespace precise {
SIM_TRANSCENDENTALS(__builtin_expf, metal_sim::divide)
}

SIM_FLOATS(SIM_UNARY, floor, __builtin_floorf)
SIM_FLOATS(SIM_UNARY, ceil, __builtin_ceilf)
SIM_FLOATS(SIM_UNARY, trunc, __builtin_truncf)
SIM_FLOATS(SIM_UNARY, round, __builtin_roundf)
SIM_FLOATS(SIM_UNARY, rint, __builtin_rintf)
SIM_FLOATS(SIM_UNARY, fabs, __builtin_fabsf)
SIM_FLOATS(SIM_UNARY, abs, __builtin_fabsf)
SIM_FLOATS(SIM_UNARY, sign, metal_sim::sign)
SIM_FLOATS(SIM_UNARY, fract, metal_sim::fract)
SIM_FLOATS(SIM_UNARY, saturate, metal_sim::saturate)
SIM_FLOATS(SIM_BINARY, fmin, __builtin_fminf)
SIM_FLOATS(SIM_BINARY, fmax, __builtin_fmaxf)
SIM_FLOATS(SIM_BINARY, min, __builtin_fminf)
SIM_FLOATS(SIM_BINARY, max, __builtin_fmaxf)
SIM_FLOATS(SIM_BINARY, fmod, __builtin_fmodf)
SIM_FLOATS(SIM_BINARY, copysign, __builtin_copysignf)
SIM_FLOATS(SIM_BINARY, step, metal_sim::step)
SIM_FLOATS(SIM_TERNARY, fma, __builtin_fmaf)
SIM_FLOATS(SIM_TERNARY, mix, metal_sim::mix)

#define SIM_CLAMP(NAME, FUNCTION, T)                                                                                   \
    METAL_FUNC T NAME(T x, T low, T high) { return min(max(x, low), high); }
SIM_FLOATS(SIM_CLAMP, clamp, )

template <class T, int N> METAL_FUNC T dot(vec<T, N> x, vec<T, N> y) {
    T sum = x[0] * y[0];
    for (int i = 1; i < N; i++)
        sum = x[i] * y[i] + sum;
    return sum;
}
template <class T, int N> METAL_FUNC T length_squared(vec<T, N> x) { return dot(x, x); }
template <class T, int N> METAL_FUNC T length(vec<T, N> x) { return sqrt(dot(x, x)); }
template <class T, int N> METAL_FUNC T distance(vec<T, N> x, vec<T, N> y) { return length(x - y); }
template <class T, int N> METAL_FUNC vec<T, N> normalize(vec<T, N> x) { return x * rsqrt(dot(x, x)); }

// Comparing vectors gives vectors of integers here, 0 or -1, where Metal has vectors of bool.
template <class T, int N> METAL_FUNC bool any(vec<T, N> x) {
    bool found = false;
    for (int i = 0; i < N; i++)
        found |= x[i] != 0;
    return found;
}
template <class T, int N> METAL_FUNC bool all(vec<T, N> x) {
    bool found = true;
    for (int i = 0; i < N; i++)
        found &= x[i] != 0;
    return found;
}
template <class T, class C> METAL_FUNC T select(T no, T yes, C condition) {
    if constexpr (metal_sim::is_vector<C>)
        return metal_sim::map([](auto n, auto y, auto c) { return c ? y : n; }, no, yes, condition);
    else
        return condition ? yes : no;
}

METAL_FUNC bool isnan(float x) { return x != x; }
METAL_FUNC bool isinf(float x) { return __builtin_fabsf(x) == __builtin_inff(); }
METAL_FUNC bool isfinite(float x) { return __builtin_fabsf(x) < __builtin_inff(); }
METAL_FUNC bool signbit(float x) { return as_type<int>(x) < 0; }
METAL_FUNC float ldexp(float x, int exponent) { return __builtin_ldexpf(x, exponent); }

} // namespace metal
