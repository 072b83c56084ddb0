#include <string.h>

#include "op.h"
#include "window.h"

typedef struct paste_job {
    sige_input x;
    float *dst;
} paste_job;

static void paste_row(void *context, int64_t item, int thread) {
    (void)thread;
    const paste_job *j = context;
    const sige_view *x = &j->x.x;
    const size_t row = (size_t)x->w * (size_t)x->c;
    sige_window(&j->x, (int)(item / x->h), (int)(item % x->h), 0, 1, x->w, j->dst + (size_t)item * row, row);
}

static const char *check(const sige_op *of, const sige_checker *k) {
    REQUIRE(sige_has(k, of->u.paste.dst), "dst must be a slot");
    return sige_check_tensor(k, &of->u.paste.x);
}

static sige_needs plan(const sige_op *of, const int32_t *rows, void *made) {
    (void)rows, (void)made;
    const sige_tensor *x = &of->u.paste.x;
    return (sige_needs){.work = sige_work(0, (double)x->n * x->h * x->w * x->c)};
}

static void run(const sige_op *of, const void *planned, void *const *slots, sige_pool *pool) {
    (void)planned;
    const sige_paste *op = &of->u.paste;
    paste_job j = {.x = {.x = sige_view_of(&op->x, slots)}, .dst = slots[op->dst]};
    sige_pool_for(pool, (int64_t)op->x.n * op->x.h, paste_row, &j);
}

const sige_op_type SIGE_OP_TYPE(paste) = {.check = check, .plan = plan, .run = run};
