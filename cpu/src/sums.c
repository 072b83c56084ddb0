#include "sums.h"

typedef struct sums_job {
    const float *unit_sums;
    float *sums;
    int units; /* per tile */
    int64_t floats;
} sums_job;

size_t sige_unit_sums_bytes(const sige_units *units, int32_t sums, int c) {
    if (sums == SIGE_NONE || units->per_edge == 1)
        return 0;
    return sige_line((size_t)units->count * 2 * (size_t)c * sizeof(float));
}

static void add_tile(void *context, int64_t tile, int thread) {
    (void)thread;
    const sums_job *j = context;
    const float *src = j->unit_sums + tile * j->units * j->floats;
    float *dst = j->sums + tile * j->floats;
    for (int64_t i = 0; i < j->floats; i++) {
        double sum = 0;
        for (int u = 0; u < j->units; u++)
            sum += (double)src[u * j->floats + i];
        dst[i] = (float)sum;
    }
}

void sige_add_unit_sums(const sige_units *units, const float *unit_sums, float *sums, int c, sige_pool *pool) {
    sums_job j = {
        .unit_sums = unit_sums, .sums = sums, .units = units->per_edge * units->per_edge, .floats = 2 * (int64_t)c};
    sige_pool_for(pool, units->tiles, add_tile, &j);
}
