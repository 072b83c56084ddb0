/* Matrix products: rows of pixels against a panel of 16 output channels,
 *   acc[row[i]][0 ... 15] += sum over r < runs, p < length of x[off[i] + r * step + p] * w[r * length + p][0 ... 15],
 * or = the sum, when the call is `fresh`. Pixels are named by offsets, so a product reads a window, a plane or a matrix
 * alike. Every row is accumulated on its own, in the order of r and p: which rows share a call does not change a bit of
 * the result. */
#ifndef SIGE_GEMM_H
#define SIGE_GEMM_H

#include "common.h"

typedef struct sige_product {
    int64_t runs, length, step;
    const float *x, *w;
    float *acc;
    bool fresh;
} sige_product;

/* Any number of rows. */
void sige_gemm(const sige_product *product, int rows, const uint32_t *off, const uint32_t *row);

#endif
