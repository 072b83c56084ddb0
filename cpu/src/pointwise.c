#include "epilogue.h"
#include "op.h"

enum { BLOCK_FLOATS = 16 * 1024 }; /* handed out at a time */

typedef struct pointwise_job {
    const sige_pointwise *op;
    const float *src, *residual;
    int64_t block, blocks; /* rows of a block, blocks of an image */
    sige_target target[SIGE_MAX_OUTPUTS];
} pointwise_job;

static inline v8 load(const float *p, int n) { return n == 8 ? v8_load(p) : v8_load_n(p, n); }

/* n <= 8 channels of one pixel. */
static inline void finish(const pointwise_job *j, int64_t image, int64_t at, int channel, int n) {
    v8 value = load(j->src + at, n);
    if (j->residual)
        value += load(j->residual + at, n);
    for (int i = 0; i < j->op->n_outputs; i++) {
        const sige_target *t = &j->target[i];
        v8 v = value;
        if (t->scale) {
            const int64_t k = image * t->stride + channel;
            v = v * load(t->scale + k, n) + load(t->shift + k, n);
        }
        v = sige_activate(v, t->act);
        if (n == 8)
            v8_store(t->dst + at, v);
        else
            v8_store_n(t->dst + at, v, n);
    }
}

static void run_block(void *context, int64_t item, int thread) {
    (void)thread;
    const pointwise_job *j = context;
    const int64_t image = item / j->blocks, first = item % j->blocks * j->block;
    const int64_t last = first + j->block < j->op->rows ? first + j->block : j->op->rows;
    const int c = j->op->c;
    for (int64_t row = first; row < last; row++) {
        const int64_t at = (image * j->op->rows + row) * c;
        int k = 0;
        for (; k + 8 <= c; k += 8)
            finish(j, image, at + k, k, 8);
        if (k < c)
            finish(j, image, at + k, k, c - k);
    }
}

void sige_pointwise_run(const sige_pointwise *op, void *const *slots, sige_pool *pool) {
    pointwise_job j = {.op = op, .src = slots[op->src], .residual = sige_slot(slots, op->residual)};
    for (int i = 0; i < op->n_outputs; i++)
        j.target[i] = sige_target_of(&op->output[i], slots);
    j.block = sige_ceil_div(BLOCK_FLOATS, op->c);
    j.blocks = sige_ceil_div(op->rows, j.block);
    sige_pool_for(pool, op->n * j.blocks, run_block, &j);
}
