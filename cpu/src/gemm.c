#include "gemm.h"

#include <string.h>

#include "blas.h"

/* Inlined, the kernels would share the registers for their pointers with their callers, and spill. */
#define NOINLINE __attribute__((noinline))

#define ROWS_1(X) X(0)
#define ROWS_2(X) ROWS_1(X) X(1)
#define ROWS_3(X) ROWS_2(X) X(2)
#define ROWS_4(X) ROWS_3(X) X(3)
#define ROWS_5(X) ROWS_4(X) X(4)
#define ROWS_6(X) ROWS_5(X) X(5)
#define ROWS_7(X) ROWS_6(X) X(6)
#define ROWS_8(X) ROWS_7(X) X(7)
#define ROWS_9(X) ROWS_8(X) X(8)
#define ROWS_10(X) ROWS_9(X) X(9)
#define ROWS_11(X) ROWS_10(X) X(10)
#define ROWS_12(X) ROWS_11(X) X(11)
#define ROWS_13(X) ROWS_12(X) X(12)
#define ROWS_14(X) ROWS_13(X) X(13)

/* A row of a whole panel is summed in two registers. One alone would make a core wait for its loads: there would be as
 * many of them as multiplications. */
#define WHOLE_OPEN(i)                                                                                                  \
    const float *x##i = x + off[i];                                                                                    \
    float *acc##i = acc + (size_t)row[i] * SIGE_PANEL;                                                                 \
    vpanel sum##i = fresh ? p_zero() : p_load(acc##i);
#define WHOLE_WEIGHTS const vpanel weights = p_load(w);
#define WHOLE_STEP(i) sum##i = p_fma(p_splat(v_factor(x##i + p)), weights, sum##i);
#define WHOLE_CLOSE(i) p_store(acc##i, sum##i);

#define NARROW_OPEN(i)                                                                                                 \
    const float *x##i = x + off[i];                                                                                    \
    float *acc##i = acc + (size_t)row[i] * SIGE_PANEL;                                                                 \
    vfloat sum##i = fresh ? (vfloat){0} : v_load(acc##i);
#define NARROW_WEIGHTS const vfloat weights = v_load(w);
#define NARROW_STEP(i) sum##i += v_splat(v_factor(x##i + p)) * weights;
#define NARROW_CLOSE(i) p_store(acc##i, (vpanel){{sum##i, {0}}});

#define NEXT(i) x##i += g->step;

enum { WHOLE_WIDTH = SIGE_PANEL, NARROW_WIDTH = SIGE_LANES }; /* floats */

#define KERNEL(KIND, ROWS)                                                                                             \
    static NOINLINE void KIND##_##ROWS(const sige_product *g, const uint32_t *off, const uint32_t *row,                \
                                       const float *ahead, int64_t pace) {                                             \
        const float *x = g->x, *w = g->w;                                                                              \
        float *acc = g->acc;                                                                                           \
        const bool fresh = g->fresh;                                                                                   \
        const int64_t length = g->length;                                                                              \
        ROWS_##ROWS(KIND##_OPEN) for (int64_t run = g->runs;;) {                                                       \
            for (int64_t p = 0; p < length; p++, w += KIND##_WIDTH, ahead += pace) {                                   \
                __builtin_prefetch(ahead);                                                                             \
                if ((int)KIND##_WIDTH > SIGE_LINE)                                                                     \
                    __builtin_prefetch(ahead + SIGE_LINE);                                                             \
                KIND##_WEIGHTS ROWS_##ROWS(KIND##_STEP)                                                                \
            }                                                                                                          \
            if (--run == 0)                                                                                            \
                break;                                                                                                 \
            ROWS_##ROWS(NEXT)                                                                                          \
        }                                                                                                              \
        ROWS_##ROWS(KIND##_CLOSE)                                                                                      \
    }

typedef void kernel(const sige_product *g, const uint32_t *off, const uint32_t *row, const float *ahead, int64_t pace);

/* A kernel takes as many rows as there are registers for. */
#define EACH_6(X, KIND) X(KIND, 1) X(KIND, 2) X(KIND, 3) X(KIND, 4) X(KIND, 5) X(KIND, 6)
#define EACH_10(X, KIND) EACH_6(X, KIND) X(KIND, 7) X(KIND, 8) X(KIND, 9) X(KIND, 10)
#define EACH_14(X, KIND) EACH_10(X, KIND) X(KIND, 11) X(KIND, 12) X(KIND, 13) X(KIND, 14)
#if SIGE_LANES == 16
#define EACH EACH_14
enum { WHOLE_ROWS = 14 };
#else
#define EACH EACH_6
enum { WHOLE_ROWS = 6 };
#endif
enum { NARROW_ROWS = 10 };

EACH(KERNEL, WHOLE)
EACH_10(KERNEL, NARROW)

#define NAME(KIND, ROWS) KIND##_##ROWS,
static kernel *const whole[] = {NULL, EACH(NAME, WHOLE)};
static kernel *const narrow[] = {NULL, EACH_10(NAME, NARROW)};

/* A BLAS packs both operands at each call: a whole panel's columns pay for that where there are so many rows and so
 * many products of each, the points of Winograd's algorithm and pixel-wise convolutions of large chunks. Rows that do
 * not lie evenly are brought together first, so many at a time, on the stack. */
enum { BLAS_ROWS = 32, BLAS_LENGTH = 64, GATHERED_ROWS = 64, GATHERED_LENGTH = 256 };

/* Says whether numbers follow one another by the same step, which is at least `least`. */
static bool even(const uint32_t *number, int n, int64_t least) {
    const int64_t step = (int64_t)number[1] - number[0];
    for (int i = 2; i < n; i++)
        if ((int64_t)number[i] - number[i - 1] != step)
            return false;
    return step >= least;
}

/* Multiplies by a BLAS where that can be; says whether it did. What it does hangs on the product alone, not on
 * threads. */
static NOINLINE bool multiplied(sige_sgemm *sgemm, const sige_product *g, int rows, const uint32_t *off,
                                const uint32_t *row) {
    if (rows < BLAS_ROWS || g->runs != 1 || g->length < BLAS_LENGTH || g->width != SIGE_PANEL)
        return false;
    const int k = (int)g->length;
    if (!even(row, rows, 1) || row[1] != row[0] + 1)
        return false;
    float *acc = g->acc + (size_t)row[0] * SIGE_PANEL;
    const float beta = g->fresh ? 0 : 1;
    if (even(off, rows, k)) {
        sgemm(SIGE_ROW_MAJOR, SIGE_NO_TRANS, SIGE_NO_TRANS, rows, SIGE_PANEL, k, 1, g->x + off[0],
              (int)(off[1] - off[0]), g->w, SIGE_PANEL, beta, acc, SIGE_PANEL);
        return true;
    }
    if (k > GATHERED_LENGTH)
        return false;
    _Alignas(64) float x[GATHERED_ROWS * GATHERED_LENGTH];
    for (int first = 0; first < rows; first += GATHERED_ROWS) {
        const int n = sige_min(GATHERED_ROWS, rows - first);
        for (int i = 0; i < n; i++)
            memcpy(x + i * k, g->x + off[first + i], (size_t)k * sizeof *x);
        sgemm(SIGE_ROW_MAJOR, SIGE_NO_TRANS, SIGE_NO_TRANS, n, SIGE_PANEL, k, 1, x, k, g->w, SIGE_PANEL, beta,
              acc + first * SIGE_PANEL, SIGE_PANEL);
    }
    return true;
}

/* The rows are split evenly: fewer than four at a time would wait for their own sums. The hardware's own prefetching is
 * not enough, for each product begins with some kilobytes that are read for the first time. */
void sige_gemm(const sige_product *g, int rows, const uint32_t *off, const uint32_t *row) {
    sige_sgemm *sgemm = sige_blas();
    if (sgemm && multiplied(sgemm, g, rows, off, row))
        return;
    kernel *const *kernels = g->width == SIGE_PANEL ? whole : narrow;
    const int most = g->width == SIGE_PANEL ? WHOLE_ROWS : NARROW_ROWS;
    const int64_t k = g->runs * g->length;
    int calls = (rows + most - 1) / most;
    const int64_t pace = calls ? sige_ceil_div(g->ahead_length, calls * k) : 0; /* floats ahead in a step */
    const float *ahead = g->ahead;
    for (int n; calls > 0; calls--, rows -= n, off += n, row += n, ahead += pace * k) {
        n = (rows + calls - 1) / calls;
        kernels[n](g, off, row, ahead, pace);
    }
}
