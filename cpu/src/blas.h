/* A BLAS of the system's can multiply in place of the micro-kernels: Accelerate, whose library reaches matrix units of
 * Apple's cores that no public instruction does. It is opened at run time and is off unless it was asked for. */
#ifndef SIGE_BLAS_H
#define SIGE_BLAS_H

#include <stdint.h>

/* cblas_sgemm: c[m][n] = a[m][k] b[k][n] + beta c, rows of which lie lda, ldb, ldc floats apart. */
typedef void sige_sgemm(int order, int trans_a, int trans_b, int m, int n, int k, float alpha, const float *a, int lda,
                        const float *b, int ldb, float beta, float *c, int ldc);
enum { SIGE_ROW_MAJOR = 101, SIGE_NO_TRANS = 111 }; /* as CBLAS numbers them */

/* Returns the function of the library in use, or NULL. */
sige_sgemm *sige_blas(void);

#endif
