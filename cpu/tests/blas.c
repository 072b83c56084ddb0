/* A BLAS of one function, plain loops, that counts how often it is called. */
#include <stdatomic.h>

#include "src/blas.h"

#define EXPORTED __attribute__((visibility("default")))

EXPORTED sige_sgemm cblas_sgemm;
EXPORTED atomic_int sige_test_calls;

void cblas_sgemm(int order, int trans_a, int trans_b, int m, int n, int k, float alpha, const float *a, int lda,
                 const float *b, int ldb, float beta, float *c, int ldc) {
    if (order != SIGE_ROW_MAJOR || trans_a != SIGE_NO_TRANS || trans_b != SIGE_NO_TRANS || lda < k || ldb < n ||
        ldc < n)
        return; /* as a real one: it says so, and writes nothing */
    atomic_fetch_add_explicit(&sige_test_calls, 1, memory_order_relaxed);
    for (int i = 0; i < m; i++)
        for (int j = 0; j < n; j++) {
            double sum = 0;
            for (int p = 0; p < k; p++)
                sum += (double)a[i * lda + p] * (double)b[p * ldb + j];
            c[i * ldc + j] = (float)((double)alpha * sum + (beta == 0 ? 0 : (double)beta * (double)c[i * ldc + j]));
        }
}
