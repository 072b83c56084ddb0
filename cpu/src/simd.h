/* Eight-float vectors for every instruction set, in the compiler's vector extensions: one AVX2 register, a pair of NEON
 * registers, or whatever the compiler makes of it elsewhere. A splat written as `s - (v8){0}` becomes a broadcast load
 * on AVX2 and folds into fmla by element on NEON. Loads and stores need the alignment of a float only. */
#ifndef SIGE_SIMD_H
#define SIGE_SIMD_H

#include <stdint.h>
#include <string.h>

#if defined(__AVX2__) && defined(__FMA__)
#include <immintrin.h>
#define SIGE_SIMD_NAME "avx2"
#elif defined(__ARM_NEON)
#include <arm_neon.h>
#define SIGE_SIMD_NAME "neon"
#else
#define SIGE_SIMD_NAME "generic"
#endif

typedef float v8 __attribute__((vector_size(32)));
typedef int32_t v8i __attribute__((vector_size(32)));
typedef float v8_unaligned __attribute__((vector_size(32), aligned(4), may_alias));

static inline v8 v8_load(const float *p) { return *(const v8_unaligned *)p; }
static inline void v8_store(float *p, v8 v) { *(v8_unaligned *)p = v; }
static inline v8 v8_splat(float s) { return s - (v8){0}; }

/* The first n of eight floats; the rest are zero and are not touched in memory. */
static inline v8 v8_load_n(const float *p, int n) {
    v8 v = {0};
    memcpy(&v, p, (size_t)n * sizeof(float));
    return v;
}

static inline void v8_store_n(float *p, v8 v, int n) { memcpy(p, &v, (size_t)n * sizeof(float)); }

/* Up to eight floats; n is mostly a constant where this is inlined. */
static inline v8 v8_some(const float *p, int n) { return n == 8 ? v8_load(p) : v8_load_n(p, n); }
static inline void v8_put(float *p, v8 v, int n) {
    if (n == 8)
        v8_store(p, v);
    else
        v8_store_n(p, v, n);
}

/* Lane by lane: a where the mask is set, else b. */
static inline v8 v8_select(v8i mask, v8 a, v8 b) { return (v8)(((v8i)a & mask) | ((v8i)b & ~mask)); }

/* x between low and high; NaN stays NaN. */
static inline v8 v8_clamp(v8 x, float low, float high) {
#if defined(__AVX2__)
    return (v8)_mm256_min_ps(_mm256_set1_ps(high), _mm256_max_ps(_mm256_set1_ps(low), (__m256)x));
#elif defined(__ARM_NEON)
    union {
        v8 v;
        float32x4_t half[2];
    } u = {x};
    for (int i = 0; i < 2; i++)
        u.half[i] = vminq_f32(vdupq_n_f32(high), vmaxq_f32(vdupq_n_f32(low), u.half[i]));
    return u.v;
#else
    for (int i = 0; i < 8; i++)
        x[i] = x[i] < low ? low : x[i] > high ? high : x[i];
    return x;
#endif
}

/* Sum of the lanes, pairwise, in the same order everywhere. */
static inline float v8_sum(v8 v) { return ((v[0] + v[4]) + (v[2] + v[6])) + ((v[1] + v[5]) + (v[3] + v[7])); }

/* exp(x) within 2 ulp for x in [-87, 88], clamped to that range. x = n ln 2 + r with |r| <= ln 2 / 2; exp(r) is a
 * polynomial whose coefficients minimise the largest relative error (2e-9, Lawson's iteration); 2^n is added to the
 * exponent bits. The product n ln 2 is exact where it is fused into the subtraction, on every target but the generic
 * one. */
static inline v8 v8_exp(v8 x) {
    x = v8_clamp(x, -87.0f, 88.0f);
    const v8 magic = v8_splat(12582912.0f); /* 1.5 * 2^23: adding it rounds to the nearest integer */
    v8 shifted = x * v8_splat(1.44269504f) + magic;
    v8 r = x - (shifted - magic) * v8_splat(0.693147181f);
    v8 p = v8_splat(0.00138436072f);
    p = p * r + v8_splat(0.00837419555f);
    p = p * r + v8_splat(0.0416680053f);
    p = p * r + v8_splat(0.166664302f);
    p = p * r + v8_splat(0.49999994f);
    p = p * r + v8_splat(1.0f);
    p = p * r + v8_splat(1.0f);
    return (v8)((v8i)p + ((v8i)shifted << 23));
}

static inline v8 v8_silu(v8 x) { return x / (v8_splat(1.0f) + v8_exp(-x)); }

/* max(x, 0); NaN stays NaN. */
static inline v8 v8_relu(v8 x) { return (v8)((v8i)x & ~(x < (v8){0})); }

static inline v8 v8_leaky_relu(v8 x) { return x * v8_select(x < (v8){0}, v8_splat(0.2f), v8_splat(1.0f)); }

/* tanh(x) within 3 ulp: below 0.8 an odd polynomial (its largest relative error is 4e-9, by Lawson's iteration), beyond
 * it 1 - 2 / (exp(2 x) + 1), which loses too many digits to cancellation nearer to zero. */
static inline v8 v8_tanh(v8 x) {
    const v8i sign_bit = (v8i){0} - INT32_MAX - 1;
    const v8i sign = (v8i)x & sign_bit;
    const v8 size = (v8)((v8i)x & ~sign_bit), one = v8_splat(1.0f), square = x * x;
    v8 p = v8_splat(0.00158475642f);
    p = p * square - v8_splat(0.0074095577f);
    p = p * square + v8_splat(0.0213029906f);
    p = p * square - v8_splat(0.0538523309f);
    p = p * square + v8_splat(0.133322209f);
    p = p * square - v8_splat(0.333332986f);
    p = p * square * x + x;
    v8 beyond = one - v8_splat(2.0f) / (v8_exp(size + size) + one);
    return v8_select(size < v8_splat(0.8f), p, (v8)((v8i)beyond | sign));
}

#endif
