#include <string.h>

#include "op.h"
#include "window.h"

typedef struct paste_job {
    sige_view view;
    float *dst;
} paste_job;

static void paste_row(void *context, int64_t item, int thread) {
    (void)thread;
    const paste_job *j = context;
    const size_t row = (size_t)j->view.w * (size_t)j->view.c;
    sige_window(&j->view, (int)(item / j->view.h), (int)(item % j->view.h), 0, 1, j->view.w, 0,
                j->dst + (size_t)item * row, row);
}

void sige_paste_run(const sige_paste *op, void *const *slots, sige_pool *pool) {
    paste_job j = {.view = sige_view_of(&op->x, slots), .dst = slots[op->dst]};
    sige_pool_for(pool, (int64_t)op->x.n * op->x.h, paste_row, &j);
}
