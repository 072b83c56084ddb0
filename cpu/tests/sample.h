/* Random ops that read sources and write outputs, and the comparison of what they write with the oracle. */
#ifndef SAMPLE_H
#define SAMPLE_H

#include "oracle.h"

/* An op, its weights, and the slots its results are in. */
typedef struct sample {
    slots s;
    sige_op op;
    sige_weights weights[SIGE_MAX_SOURCES];
    int outputs[SIGE_MAX_OUTPUTS + 1], n_outputs;
} sample;

/* n, h, w, c of a dense tensor, or of one of which about a third of the tiles are active. */
sige_tensor random_tensor(slots *s, int n, int h, int w, int c, int tile);

/* An image of at most `most` pixels a side, all of it or a third of its tiles. */
void pick_domain(sample *m, sige_domain *domain, int most, bool tiled);

/* A source of c channels from which the domain can be computed, with `kernel` or, sometimes, another one. */
sige_source random_source(sample *m, const sige_domain *out, int c, int kernel, bool tiled);

/* Outputs of c channels, one to three, and sums or none. */
int random_outputs(sample *m, const sige_domain *out, int c, sige_output *outputs, int32_t *sums);

/* What an epilogue adds, perhaps upsampled. */
bool random_residual(sample *m, const sige_domain *out, int c, bool tiled, sige_tensor *residual, int32_t *resample);

typedef double oracle_value(const sample *m, int image, int y, int x, int c);

/* Runs the op and compares every output, and the sums; releases the sample. */
void check_sample(sample *m, const sige_domain *out, int c, const sige_output *outputs, int n_outputs, int32_t sums,
                  oracle_value *value, const char *what, int number);

#endif
