#include <math.h>

#include "op.h"

/* The time, 0 to 1000, of log signal-to-noise ratio l. */
static double time_of_log_snr(double l) {
    const double pi = 3.14159265358979323846;
    return 2000 / pi * atan(exp(-0.5 * fmin(fmax(l, -20), 20)));
}

void sige_timestep_run(const sige_timestep *op, void *const *slots) {
    const int half = op->dim / 2;
    const float *t = slots[op->t];
    float *out = slots[op->out];
    for (int j = 0; j < half; j++) {
        const double frequency = pow((double)op->max_period, -(double)j / (half - 1));
        for (int64_t i = 0; i < op->n; i++) {
            const double time = op->log_snr ? time_of_log_snr((double)t[i]) : (double)t[i];
            out[i * op->dim + j] = (float)sin(time * frequency);
            out[i * op->dim + half + j] = (float)cos(time * frequency);
        }
    }
}
