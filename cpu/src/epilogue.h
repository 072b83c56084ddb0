/* What happens to a convolution's sums before they leave the first-level cache. */
#ifndef SIGE_EPILOGUE_H
#define SIGE_EPILOGUE_H

#include "common.h"
#include "simd.h"
#include "units.h"

/* A sige_output with its slots looked up. */
typedef struct sige_target {
    float *dst;
    const float *scale, *shift; /* both or neither */
    int64_t stride;
    int act;
} sige_target;

typedef struct sige_epilogue {
    int c, n_targets;
    bool tiled; /* pixels of a tile beyond the image exist and are written as zeros */
    const float *bias, *vec;
    int64_t vec_stride;
    sige_target target[SIGE_MAX_OUTPUTS];
} sige_epilogue;

sige_target sige_target_of(const sige_output *output, void *const *slots);
sige_epilogue sige_epilogue_of(const sige_conv *conv, void *const *slots);

static inline v8 sige_activate(v8 v, int act) { return act == SIGE_SILU ? v8_silu(v) : v; }

/* Finishes one panel of a unit. acc: its h * w pixels, 16 floats each, overwritten. residual: NULL, or where each
 * pixel's channel 0 is (NULL: zero). sums: NULL, or where the unit's sum of values goes, channel 0, followed c floats
 * later by that of their squares. */
void sige_epilogue_unit(const sige_epilogue *epilogue, const sige_unit *unit, int panel, float *acc,
                        const float *const *residual, float *sums);

#endif
