#include "conv.h"

/* A chunk's windows, and its transformed windows, may take so much memory, which is more than the second-level cache.
 * They are read once for a panel, with hundreds of operations for each float. But all weights are read again for each
 * chunk: where they matter, in planes of few pixels and many channels, a few large chunks are better. */
enum { WINDOWS_BYTES = 768 * 1024, TRANSFORMED_BYTES = 640 * 1024 };

/* Rows of a window, and points, that lay a power of two apart would compete for a few sets of the first-level cache; so
 * many floats more lie between them. */
enum { SKEW = 16 };

static bool by_winograd(sige_method m) { return m == SIGE_WINOGRAD_2 || m == SIGE_WINOGRAD_4; }

/* Says whether it is a pixel-wise convolution of a whole image that is ready. */
static bool in_place(const sige_conv *op, const sige_source *s) {
    const sige_tensor *x = &s->x;
    return op->out.list == SIGE_NONE && x->grid == SIGE_NONE && !x->stored && x->h == op->out.h && x->w == op->out.w &&
           s->kh == 1 && s->kw == 1 && s->stride == 1 && s->pad_top == 0 && s->pad_left == 0 && s->resample == 0 &&
           s->scale == SIGE_NONE && s->act == SIGE_IDENTITY && !s->has_mod && (int64_t)x->h * x->w * x->c <= UINT32_MAX;
}

/* Returns the pixels of a window along one axis, for so many units in a row. */
static int window_size(const sige_conv_source *s, int units, int side, int kernel) {
    if (by_winograd(s->method))
        return (units - 1) * side + SIGE_WINDOW;
    if (s->method == SIGE_PHASES)
        return units * side / 2 + 2;
    return (units * side - 1) * s->op->stride + kernel;
}

/* Finds the bytes of a thread's memory for chunks of h x w units, or listed ones, and describes the windows. */
static void plan_chunk(sige_conv_job *j, int h, int w, int64_t *windows, int64_t *transformed) {
    const int listed = j->units.listed ? h * w : 1;
    const sige_method method = j->layout.winograd;
    *windows = 0;
    for (int i = 0; i < j->op->n_sources; i++) {
        sige_conv_source *s = &j->source[i];
        s->window_h = window_size(s, j->units.listed ? 1 : h, j->units.side, s->op->kh);
        s->window_w = window_size(s, j->units.listed ? 1 : w, j->units.side, s->op->kw);
        s->row = s->in_place ? (int64_t)s->op->x.w * s->op->x.c : (int64_t)s->window_w * s->op->x.c + SKEW;
        s->window = s->in_place ? 0 : s->window_h * s->row;
        *windows += s->window * listed * (int64_t)sizeof(float);
    }
    j->point = (size_t)(h * w * sige_winograd_parts(method)) * (size_t)j->layout.winograd_c + SKEW;
    *transformed = sige_winograd_points(method) * (int64_t)(j->point * sizeof(float));
    j->chunk_h = h, j->chunk_w = w;
}

/* Chooses the largest of these shapes that fits, cut down evenly to the image. They are as square as they can be, so
 * that windows overlap little. */
static void choose_chunk(sige_conv_job *j, int64_t *transformed) {
    static const int shapes[][2] = {{SIGE_CHUNK_UNITS / 4, 4}, {2, SIGE_CHUNK_UNITS / 4}, {1, SIGE_CHUNK_UNITS / 4}};
    const sige_units *u = &j->units;
    int64_t windows;
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        int h = shapes[i][0], w = shapes[i][1];
        if (u->listed) {
            w = (int)sige_ceil_div(u->count, sige_ceil_div(u->count, h * w)), h = 1;
        } else {
            h = (int)sige_ceil_div(u->down, sige_ceil_div(u->down, h));
            w = (int)sige_ceil_div(u->across, sige_ceil_div(u->across, w));
        }
        plan_chunk(j, h, w, &windows, transformed);
        if (windows <= WINDOWS_BYTES && *transformed <= TRANSFORMED_BYTES)
            break;
    }
    j->chunks = u->listed ? sige_ceil_div(u->count, j->chunk_w)
                          : u->domain->n * sige_ceil_div(u->down, j->chunk_h) * sige_ceil_div(u->across, j->chunk_w);
}

/* Lays out a thread's memory. */
static void plan_memory(sige_conv_job *j, int64_t transformed) {
    const size_t units = (size_t)(j->chunk_h * j->chunk_w);
    size_t at = sige_line(sizeof(sige_chunk));
    for (int i = 0; i < j->op->n_sources; i++) {
        j->source[i].windows = at;
        at += sige_line((size_t)j->source[i].window * (j->units.listed ? units : 1) * sizeof(float));
    }
    const sige_method method = j->layout.winograd;
    const size_t points = (size_t)(sige_winograd_points(method) * sige_winograd_parts(method));
    j->transformed = at, at += sige_line((size_t)transformed);
    j->products = at, at += sige_line(units * points * SIGE_PANEL * sizeof(float));
    j->own_bytes = at;
}

sige_conv_job sige_conv_plan(const sige_conv *op, const int32_t *rows) {
    sige_conv_job j = {.op = op, .layout = sige_layout_of(op)};
    j.panels = (int)sige_ceil_div(op->c_out, SIGE_PANEL);
    j.units = sige_units_of(&op->out, rows, op->sums != SIGE_NONE);
    int64_t row = (int64_t)sige_winograd_points(j.layout.winograd) * j.layout.winograd_c;
    for (int i = 0, first = 0; i < op->n_sources; i++) {
        sige_conv_source *s = &j.source[i];
        *s = (sige_conv_source){
            .op = &op->source[i], .method = j.layout.method[i], .k = j.layout.k[i], .first_row = row};
        s->in_place = in_place(op, s->op);
        row += s->k;
        if (by_winograd(s->method))
            s->first_c = first, first += op->source[i].x.c;
    }
    int64_t transformed;
    choose_chunk(&j, &transformed);
    plan_memory(&j, transformed);
    return j;
}

void sige_conv_bind(sige_conv_source *s, void *const *slots) {
    s->input = sige_input_of(s->op, slots);
    if (s->method == SIGE_PHASES)
        s->input.resample = 0; /* its windows are of the small image */
}
