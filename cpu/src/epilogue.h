/* An epilogue finishes a unit's values before they leave the first-level cache. */
#ifndef SIGE_EPILOGUE_H
#define SIGE_EPILOGUE_H

#include "units.h"
#include "window.h"

/* A target is a sige_output with its slots looked up. */
typedef struct sige_target {
    float *dst;
    const float *scale, *shift; /* both or neither */
    int64_t stride;
    int act;
    bool modulated;
    sige_mod mod;
} sige_target;

typedef struct sige_epilogue {
    int c, n_targets;
    bool tiled; /* pixels of a tile beyond the image exist and are written as zeros */
    const float *bias, *vec;
    int64_t vec_stride;
    bool has_residual;
    int residual_resample;
    sige_view residual;
    sige_target target[SIGE_MAX_OUTPUTS];
} sige_epilogue;

/* An epilogue reads these for the pixels of a unit. Where there is none, it counts as zero. */
typedef struct sige_reads {
    sige_pixel residual[SIGE_UNIT_PIXELS];
    sige_pixel gamma[SIGE_MAX_OUTPUTS][SIGE_UNIT_PIXELS], beta[SIGE_MAX_OUTPUTS][SIGE_UNIT_PIXELS];
} sige_reads;

/* Looks up the slots of an epilogue. */
#define sige_epilogue_of SIGE_ISA(sige_epilogue_of)
sige_epilogue sige_epilogue_of(const sige_finish *finish, void *const *slots);

/* Finds what an epilogue reads; the rest of `reads` stays as it is. */
#define sige_find_reads SIGE_ISA(sige_find_reads)
void sige_find_reads(const sige_epilogue *epilogue, const sige_unit *unit, sige_reads *reads);

/* Brings in the memory that a panel of a unit will be written to, for a core stores into lines that it has. In tiles
 * the hardware expects it, for they are written one after another. */
#define sige_epilogue_expect SIGE_ISA(sige_epilogue_expect)
void sige_epilogue_expect(const sige_epilogue *epilogue, const sige_unit *unit, int panel);

/* Finishes one panel of a unit. `acc` holds its h * w pixels, SIGE_PANEL floats each, and afterwards nothing of use. If
 * `sums` is not NULL the unit's sum of values goes there, from channel 0 on, and c floats later the sum of their
 * squares. */
#define sige_epilogue_unit SIGE_ISA(sige_epilogue_unit)
void sige_epilogue_unit(const sige_epilogue *epilogue, const sige_unit *unit, int panel, float *acc,
                        const sige_reads *reads, float *sums);

#endif
