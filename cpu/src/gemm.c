#include "gemm.h"

#include "simd.h"

/* Inlined, the kernels would share the registers for their pointers with their callers, and spill. */
#define NOINLINE __attribute__((noinline))

#define ROWS_1(X) X(0)
#define ROWS_2(X) ROWS_1(X) X(1)
#define ROWS_3(X) ROWS_2(X) X(2)
#define ROWS_4(X) ROWS_3(X) X(3)
#define ROWS_5(X) ROWS_4(X) X(4)
#define ROWS_6(X) ROWS_5(X) X(5)

#define ROW_OPEN(i)                                                                                                    \
    const float *x##i = x + off[i];                                                                                    \
    float *acc##i = acc + (size_t)row[i] * SIGE_PANEL;                                                                 \
    v8 low##i = {0}, high##i = {0};                                                                                    \
    if (!fresh)                                                                                                        \
        low##i = v8_load(acc##i), high##i = v8_load(acc##i + 8);
#define ROW_NEXT(i) x##i += g->step;
#define ROW_STEP(i)                                                                                                    \
    {                                                                                                                  \
        v8 s = v8_splat(x##i[p]);                                                                                      \
        low##i += s * w_low;                                                                                           \
        high##i += s * w_high;                                                                                         \
    }
#define ROW_CLOSE(i)                                                                                                   \
    v8_store(acc##i, low##i);                                                                                          \
    v8_store(acc##i + 8, high##i);

#define KERNEL(ROWS)                                                                                                   \
    static NOINLINE void kernel_##ROWS(const sige_product *g, const uint32_t *off, const uint32_t *row,                \
                                       const float *ahead, int64_t pace) {                                             \
        const float *x = g->x, *w = g->w;                                                                              \
        float *acc = g->acc;                                                                                           \
        const bool fresh = g->fresh;                                                                                   \
        const int64_t length = g->length;                                                                              \
        ROWS_##ROWS(ROW_OPEN) for (int64_t run = g->runs;;) {                                                          \
            for (int64_t p = 0; p < length; p++, w += SIGE_PANEL, ahead += pace) {                                     \
                __builtin_prefetch(ahead);                                                                             \
                const v8 w_low = v8_load(w), w_high = v8_load(w + 8);                                                  \
                ROWS_##ROWS(ROW_STEP)                                                                                  \
            }                                                                                                          \
            if (--run == 0)                                                                                            \
                break;                                                                                                 \
            ROWS_##ROWS(ROW_NEXT)                                                                                      \
        }                                                                                                              \
        ROWS_##ROWS(ROW_CLOSE)                                                                                         \
    }

KERNEL(1)
KERNEL(2)
KERNEL(3)
KERNEL(4)
KERNEL(5)
KERNEL(6)

/* The rows are split evenly: fewer than four at a time would wait for their own sums. Meanwhile the weights that follow
 * in memory, which the next product will use, are brought in: the hardware's own prefetching is not enough, for each
 * product begins with 16 KB that are read for the first time. */
void sige_gemm(const sige_product *g, int rows, const uint32_t *off, const uint32_t *row) {
    static void (*const kernels[])(const sige_product *, const uint32_t *, const uint32_t *, const float *,
                                   int64_t) = {NULL, kernel_1, kernel_2, kernel_3, kernel_4, kernel_5, kernel_6};
    const int64_t k = g->runs * g->length;
    int calls = (rows + 5) / 6;
    const int64_t pace = calls ? (SIGE_PANEL + calls - 1) / calls : 0;
    const float *ahead = g->w + k * SIGE_PANEL;
    for (int n; calls > 0; calls--, rows -= n, off += n, row += n, ahead += pace * k) {
        n = (rows + calls - 1) / calls;
        kernels[n](g, off, row, ahead, pace);
    }
}
