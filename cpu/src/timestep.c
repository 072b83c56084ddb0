#include <math.h>

#include "op.h"

void sige_timestep_run(const sige_timestep *op, void *const *slots) {
    const int half = op->dim / 2;
    const float *t = slots[op->t];
    float *out = slots[op->out];
    for (int j = 0; j < half; j++) {
        const double frequency = pow((double)op->max_period, -(double)j / (half - 1));
        for (int64_t i = 0; i < op->n; i++) {
            out[i * op->dim + j] = (float)sin((double)t[i] * frequency);
            out[i * op->dim + half + j] = (float)cos((double)t[i] * frequency);
        }
    }
}
