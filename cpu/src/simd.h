/* These are vectors of floats as wide as the instruction set's registers suggest, in the compiler's vector extensions:
 * sixteen floats for AVX-512; eight elsewhere, which are one AVX2 register, a pair of NEON registers, or whatever the
 * compiler makes of it. A splat written as `s - (vfloat){0}` becomes a broadcast load on x86-64 and folds into fmla by
 * element on NEON. Loads and stores need the alignment of a float only. */
#ifndef SIGE_SIMD_H
#define SIGE_SIMD_H

#include <stdint.h>
#include <string.h>

#if defined(__AVX512F__)
#include <immintrin.h>
#define SIGE_LANES 16
#elif defined(__AVX2__) && defined(__FMA__)
#include <immintrin.h>
#define SIGE_LANES 8
#elif defined(__ARM_NEON)
#include <arm_neon.h>
#define SIGE_LANES 8
#else
#define SIGE_LANES 8
#endif

typedef float vfloat __attribute__((vector_size(SIGE_LANES * 4)));
typedef int32_t vint __attribute__((vector_size(SIGE_LANES * 4)));
typedef float vfloat_unaligned __attribute__((vector_size(SIGE_LANES * 4), aligned(4), may_alias));

static inline vfloat v_load(const float *p) { return *(const vfloat_unaligned *)p; }
static inline void v_store(float *p, vfloat v) { *(vfloat_unaligned *)p = v; }
static inline vfloat v_splat(float s) { return s - (vfloat){0}; }

/* Loads a float that is to multiply vectors. On NEON, a load into every lane would take the time of a multiplication as
 * well, and compilers prefer it to fmla by element, unless they are kept from seeing where the float is from. */
static inline float v_factor(const float *p) {
    float s = *p;
#if defined(__ARM_NEON)
    __asm__("" : "+w"(s));
#endif
    return s;
}

/* Loads the first n floats of a vector; the rest are zero and are not touched in memory. */
static inline vfloat v_load_n(const float *p, int n) {
#if defined(__AVX512F__)
    return (vfloat)_mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1), p);
#else
    vfloat v = {0};
    memcpy(&v, p, (size_t)n * sizeof(float));
    return v;
#endif
}

static inline void v_store_n(float *p, vfloat v, int n) {
#if defined(__AVX512F__)
    _mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1), (__m512)v);
#else
    memcpy(p, &v, (size_t)n * sizeof(float));
#endif
}

/* These take up to a whole vector; n is mostly a constant where they are inlined. */
static inline vfloat v_some(const float *p, int n) { return n == SIGE_LANES ? v_load(p) : v_load_n(p, n); }
static inline void v_put(float *p, vfloat v, int n) {
    if (n == SIGE_LANES)
        v_store(p, v);
    else
        v_store_n(p, v, n);
}

/* Takes from a in lanes where the mask is set, from b in the others. */
static inline vfloat v_select(vint mask, vfloat a, vfloat b) { return (vfloat)(((vint)a & mask) | ((vint)b & ~mask)); }

/* Returns the larger one of each two. */
static inline vfloat v_max(vfloat a, vfloat b) { return v_select(a > b, a, b); }

/* Returns x between low and high; NaN stays NaN. */
static inline vfloat v_clamp(vfloat x, float low, float high) {
#if defined(__AVX512F__)
    return (vfloat)_mm512_min_ps(_mm512_set1_ps(high), _mm512_max_ps(_mm512_set1_ps(low), (__m512)x));
#elif defined(__AVX2__)
    return (vfloat)_mm256_min_ps(_mm256_set1_ps(high), _mm256_max_ps(_mm256_set1_ps(low), (__m256)x));
#elif defined(__ARM_NEON)
    union {
        vfloat v;
        float32x4_t half[2];
    } u = {x};
    for (int i = 0; i < 2; i++)
        u.half[i] = vminq_f32(vdupq_n_f32(high), vmaxq_f32(vdupq_n_f32(low), u.half[i]));
    return u.v;
#else
    for (int i = 0; i < SIGE_LANES; i++)
        x[i] = x[i] < low ? low : x[i] > high ? high : x[i];
    return x;
#endif
}

/* Returns the sum of the lanes, pairwise: the upper half is added to the lower one until one lane is left. */
static inline float v_sum(vfloat v) {
    float lane[SIGE_LANES];
    v_store(lane, v);
    for (int half = SIGE_LANES / 2; half > 0; half /= 2)
        for (int i = 0; i < half; i++)
            lane[i] += lane[i + half];
    return lane[0];
}

/* exp(x) within 2 ulp for x in [-87, 88], clamped to that range. x = n ln 2 + r with |r| <= ln 2 / 2; exp(r) is a
 * polynomial whose coefficients minimise the largest relative error (2e-9, Lawson's iteration); 2^n is added to the
 * exponent bits. The product n ln 2 is exact where it is fused into the subtraction, on every target but the generic
 * one. */
static inline vfloat v_exp(vfloat x) {
    x = v_clamp(x, -87.0f, 88.0f);
    const vfloat magic = v_splat(12582912.0f); /* 1.5 * 2^23: adding it rounds to the nearest integer */
    vfloat shifted = x * v_splat(1.44269504f) + magic;
    vfloat r = x - (shifted - magic) * v_splat(0.693147181f);
    vfloat p = v_splat(0.00138436072f);
    p = p * r + v_splat(0.00837419555f);
    p = p * r + v_splat(0.0416680053f);
    p = p * r + v_splat(0.166664302f);
    p = p * r + v_splat(0.49999994f);
    p = p * r + v_splat(1.0f);
    p = p * r + v_splat(1.0f);
    return (vfloat)((vint)p + ((vint)shifted << 23));
}

static inline vfloat v_silu(vfloat x) { return x / (v_splat(1.0f) + v_exp(-x)); }

/* max(x, 0); NaN stays NaN. */
static inline vfloat v_relu(vfloat x) {
#if defined(__AVX512F__)
    return (vfloat)_mm512_max_ps(_mm512_setzero_ps(), (__m512)x);
#else
    return (vfloat)((vint)x & ~(x < (vfloat){0}));
#endif
}

static inline vfloat v_leaky_relu(vfloat x) { return x * v_select(x < (vfloat){0}, v_splat(0.2f), v_splat(1.0f)); }

/* tanh(x) within 3 ulp: below 0.8 an odd polynomial (its largest relative error is 4e-9, by Lawson's iteration), beyond
 * it 1 - 2 / (exp(2 x) + 1), which loses too many digits to cancellation nearer to zero. */
static inline vfloat v_tanh(vfloat x) {
    const vint sign_bit = (vint){0} - INT32_MAX - 1;
    const vint sign = (vint)x & sign_bit;
    const vfloat size = (vfloat)((vint)x & ~sign_bit), one = v_splat(1.0f), square = x * x;
    vfloat p = v_splat(0.00158475642f);
    p = p * square - v_splat(0.0074095577f);
    p = p * square + v_splat(0.0213029906f);
    p = p * square - v_splat(0.0538523309f);
    p = p * square + v_splat(0.133322209f);
    p = p * square - v_splat(0.333332986f);
    p = p * square * x + x;
    vfloat beyond = one - v_splat(2.0f) / (v_exp(size + size) + one);
    return v_select(size < v_splat(0.8f), p, (vfloat)((vint)beyond | sign));
}

#endif
