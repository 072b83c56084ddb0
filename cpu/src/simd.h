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

#endif
