/* These make random ops that read sources and write outputs, and compare what they write with the oracle. */
#ifndef SAMPLE_H
#define SAMPLE_H

#include "oracle.h"

/* A sample is an op, its weights, and the slots that its results are in. */
typedef struct sample {
    slots s;
    sige_op op;
    sige_weights weights[SIGE_MAX_SOURCES];
    int outputs[SIGE_MAX_OUTPUTS + 1], n_outputs;
    int every; /* of so many channels one is compared, and the last; 0: all are. The oracle is slow */
} sample;

/* Makes a slot of so many stored tiles, by a random codec, of which some are perhaps not held. */
int random_stored(slots *s, int64_t tiles, int tile, int c);

/* Makes an n, h, w, c tensor, dense or with about a third of its tiles active. */
sige_tensor random_tensor(slots *s, int n, int h, int w, int c, int tile);

/* Makes an image of at most `most` pixels a side, all of it or a third of its tiles. */
void pick_domain(sample *m, sige_domain *domain, int most, bool tiled);

/* Makes a source of c channels from which the domain can be computed, with `kernel` or, sometimes, another one. */
sige_source random_source(sample *m, const sige_domain *out, int c, int kernel, bool tiled);

/* Makes outputs of c channels, one to three, and sums or none. */
int random_outputs(sample *m, const sige_domain *out, int c, sige_output *outputs, int32_t *sums);

/* Makes what an epilogue adds, perhaps upsampled; says whether there is anything. */
bool random_residual(sample *m, const sige_domain *out, int c, bool tiled, sige_tensor *residual, int32_t *resample);

typedef double oracle_value(const sample *m, int image, int y, int x, int c);

/* Runs the op and compares every output, and the sums; releases the sample. */
void check_sample(sample *m, const sige_domain *out, int c, const sige_output *outputs, int n_outputs, int32_t sums,
                  oracle_value *value, const char *what, int number);

#endif
