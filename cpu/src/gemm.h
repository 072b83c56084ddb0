/* A product multiplies rows of pixels with a panel of output channels, of `width` floats a row:
 *
 *     acc[row[i]][0 ... width) += sum over r < runs, p < length of
 *                                     x[off[i] + r * step + p] * w[r * length + p][0 ... width)
 *
 * or = the sum, when the call is `fresh`. Rows of acc lie SIGE_PANEL floats apart; what a narrow panel leaves of them
 * is zero. Pixels are named by offsets, so a product reads a window, a plane or a matrix alike. Every row is
 * accumulated on its own, in the order of r and p: which rows share a call does not change a bit of the result. */
#ifndef SIGE_GEMM_H
#define SIGE_GEMM_H

#include "isa.h"
#include "panel.h"

typedef struct sige_product {
    int64_t runs, length, step;
    const float *x, *w;
    float *acc;
    int width; /* SIGE_PANEL or SIGE_LANES */
    bool fresh;
    const float *ahead; /* what will be read next, so many floats, is brought in meanwhile */
    int64_t ahead_length;
} sige_product;

/* Takes any number of rows. */
#define sige_gemm SIGE_ISA(sige_gemm)
void sige_gemm(const sige_product *product, int rows, const uint32_t *off, const uint32_t *row);

#endif
