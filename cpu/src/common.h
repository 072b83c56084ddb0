/* Every op needs these: slots, and sizes. */
#ifndef SIGE_COMMON_H
#define SIGE_COMMON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sige_cpu.h"

static inline float *sige_slot(void *const *slots, int32_t slot) { return slot == SIGE_NONE ? NULL : slots[slot]; }

static inline double *sige_slot_of_doubles(void *const *slots, int32_t slot) {
    return slot == SIGE_NONE ? NULL : slots[slot];
}

static inline int64_t sige_ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
static inline int sige_min(int a, int b) { return a < b ? a : b; }
static inline int sige_max(int a, int b) { return a > b ? a : b; }

/* Returns a length that is resampled, as by sige_source.resample. */
static inline int sige_resampled(int length, int resample) {
    return resample < 0 ? length >> -resample : length << resample;
}

/* This is what an op says of its epilogue; the arrays still are slots. */
typedef struct sige_finish {
    const sige_domain *out;
    int32_t c; /* channels */
    int32_t bias, vec, vec_stride, sums;
    const sige_tensor *residual; /* NULL: none */
    int32_t residual_resample;
    int32_t n_outputs;
    const sige_output *output;
} sige_finish;

enum { SIGE_LINE = 16 }; /* floats of a cache line */

/* Rounds bytes up so that what follows in scratch memory starts on a cache line of its own. */
static inline size_t sige_line(size_t bytes) { return (bytes + 63) & ~(size_t)63; }

#endif
