#include "conv.h"

/* A chunk's windows, and its transformed windows, may take so much memory, which is more than the second-level cache.
 * They are read once for a panel, with hundreds of operations for each float. But all weights are read again for each
 * chunk: where they matter, in planes of few pixels and many channels, a few large chunks are better. The more so where
 * each chunk transforms its filters itself. */
enum { WINDOWS_BYTES = 1536 * 1024, TRANSFORMED_BYTES = 640 * 1024, TRANSFORMED_BYTES_IN_CACHE = 2560 * 1024 };

/* From so many chunks on filters are transformed once for all, if they take no more memory than this. */
enum { MANY_CHUNKS = 8, SHARED_FILTERS_BYTES = 32 << 20 };

/* Rows of a window, and points, that lay a power of two apart would compete for a few sets of the first-level cache; so
 * many floats more lie between them. */
enum { SKEW = 16 };

/* Says whether it is a pixel-wise convolution of a whole image that is ready. */
static bool in_place(const sige_conv *op, const sige_source *s) {
    const sige_tensor *x = &s->x;
    return op->out.list == SIGE_NONE && x->grid == SIGE_NONE && !x->stored && x->h == op->out.h && x->w == op->out.w &&
           s->kh == 1 && s->kw == 1 && s->stride == 1 && s->pad_top == 0 && s->pad_left == 0 && s->resample == 0 &&
           s->scale == SIGE_NONE && s->act == SIGE_IDENTITY && !s->has_mod && (int64_t)x->h * x->w * x->c <= UINT32_MAX;
}

/* Returns the pixels of a window along one axis, for so many units in a row. */
static int window_size(const sige_conv_source *s, int units, int side, int kernel) {
    if (sige_by_winograd(s->method))
        return ((units - 1) * side >> (s->method == SIGE_WINOGRAD_UP)) + sige_winograd_window(s->method);
    if (s->method == SIGE_PHASES)
        return units * side / 2 + 2;
    return (units * side - 1) * s->op->stride + kernel;
}

/* Finds the bytes of a thread's memory for chunks of h x w units, or listed ones, and describes the windows. */
static void plan_chunk(sige_conv_job *j, int h, int w, int64_t *windows, int64_t *transformed) {
    const int listed = j->units.listed ? h * w : 1;
    *windows = *transformed = 0;
    for (int i = 0; i < j->op->n_sources; i++) {
        sige_conv_source *s = &j->source[i];
        s->window_h = window_size(s, j->units.listed ? 1 : h, j->units.side, s->op->kh);
        s->window_w = window_size(s, j->units.listed ? 1 : w, j->units.side, s->op->kw);
        s->row = s->in_place ? (int64_t)s->op->x.w * s->op->x.c : (int64_t)s->window_w * s->op->x.c + SKEW;
        s->window = s->in_place ? 0 : s->window_h * s->row;
        *windows += s->window * listed * (int64_t)sizeof(float);
        const bool few = j->filters == SIGE_IN_REGISTERS;
        s->part = few ? SIGE_FEW_ROW : (size_t)s->block;
        s->point = few ? SIGE_FEW_POINT : (size_t)(h * w * sige_winograd_parts(s->method)) * s->part + SKEW;
        const int64_t points = sige_ceil_div(s->op->x.c, s->block) * sige_winograd_points(s->method);
        *transformed += points * (int64_t)(s->point * sizeof(float));
    }
    j->chunk_h = h, j->chunk_w = w;
}

/* Chooses the largest of these shapes that fits, cut down evenly to the image. They are as square as they can be, so
 * that windows overlap little. */
static void choose_chunk(sige_conv_job *j) {
#if SIGE_LANES == 16
    static const int shapes[][2] = {{4, 8}, {4, 4}, {2, 4}, {1, 4}};
#else
    static const int shapes[][2] = {{6, 6}, {3, 4}, {2, 3}, {1, 3}};
#endif
    const bool in_cache = sige_by_winograd(j->winograd) && j->filters != SIGE_PACKED;
    const int64_t most = in_cache ? TRANSFORMED_BYTES_IN_CACHE : TRANSFORMED_BYTES;
    const sige_units *u = &j->units;
    for (size_t i = in_cache ? 0 : 1; i < sizeof shapes / sizeof *shapes; i++) {
        int h = shapes[i][0], w = shapes[i][1];
        int64_t windows, transformed;
        if (u->listed) {
            w = (int)sige_ceil_div(u->count, sige_ceil_div(u->count, h * w)), h = 1;
        } else {
            h = (int)sige_ceil_div(u->down, sige_ceil_div(u->down, h));
            w = (int)sige_ceil_div(u->across, sige_ceil_div(u->across, w));
        }
        plan_chunk(j, h, w, &windows, &transformed);
        if (windows <= WINDOWS_BYTES && transformed <= most)
            break;
    }
    j->chunks = u->listed ? sige_ceil_div(u->count, j->chunk_w)
                          : u->domain->n * sige_ceil_div(u->down, j->chunk_h) * sige_ceil_div(u->across, j->chunk_w);
}

/* Lays out a thread's memory. */
static void plan_memory(sige_conv_job *j) {
    const size_t units = (size_t)(j->chunk_h * j->chunk_w), points = (size_t)sige_winograd_points(j->winograd);
    size_t at = sige_line(sizeof(sige_chunk)), filters = 0;
    for (int i = 0; i < j->op->n_sources; i++) {
        sige_conv_source *s = &j->source[i];
        s->windows = at;
        at += sige_line((size_t)s->window * (j->units.listed ? units : 1) * sizeof(float));
        if (!sige_by_winograd(s->method))
            continue;
        s->transformed = at;
        at += sige_line((size_t)sige_ceil_div(s->op->x.c, s->block) * points * s->point * sizeof(float));
        const size_t block = sige_line(points * (size_t)sige_filter_point(s->block * SIGE_PANEL) * sizeof(float));
        if (j->filters == SIGE_IN_CACHE && block > filters)
            filters = block;
    }
    j->own_filters = at, at += filters;
    j->products = at;
    at += sige_line(units * sige_winograd_parts(j->winograd) * points * SIGE_PANEL * sizeof(float));
    j->own_bytes = at;
}

/* Says whether sources are computed by F(2x2, 3x3) or F(4x4, 3x3), or else, of upsampled images, by their own kind,
 * which needs units that begin at even coordinates. The products of both cannot be added up. */
static sige_method winograd_of(const sige_conv *op, const sige_layout *layout, const sige_units *units,
                               sige_method method) {
    sige_method found = SIGE_DIRECT;
    for (int i = 0; i < op->n_sources; i++) {
        if (layout->method[i] == SIGE_WINOGRAD_4)
            return method;
        if (layout->method[i] == SIGE_WINOGRAD_UP && units->tile % 2 == 0 && method == SIGE_WINOGRAD_4)
            found = SIGE_WINOGRAD_UP;
    }
    return found;
}

/* Plans to compute 3x3 convolutions of stride 1 by a method. */
static sige_conv_job plan_by(const sige_conv *op, const sige_units *units, sige_method method) {
    const sige_layout layout = sige_layout_of(op);
    sige_conv_job j = {.op = op, .panel_k = layout.panel_k, .units = *units};
    j.panels = (int)sige_ceil_div(op->c_out, SIGE_PANEL);
    j.winograd = winograd_of(op, &layout, units, method);
    j.filters = layout.transformed && j.winograd == SIGE_WINOGRAD_4 ? SIGE_PACKED : SIGE_IN_CACHE;
    const sige_method kind = j.winograd == SIGE_WINOGRAD_2 ? SIGE_WINOGRAD_4 : j.winograd;
    int64_t row = 0;
    for (int i = 0; i < op->n_sources; row += layout.k[i], i++) {
        sige_conv_source *s = &j.source[i];
        *s = (sige_conv_source){
            .op = &op->source[i], .method = layout.method[i], .block = layout.block[i], .first_row = row};
        if (sige_by_winograd(s->method))
            s->method = s->method == kind ? j.winograd : SIGE_DIRECT;
        s->in_place = in_place(op, s->op);
    }
    choose_chunk(&j);
    return j;
}

/* Shares the filters if they take little enough memory. */
static void share_filters(sige_conv_job *j) {
    int64_t floats = 0;
    for (int i = 0; i < j->op->n_sources; i++) {
        sige_conv_source *s = &j->source[i];
        s->filters = floats;
        if (sige_by_winograd(s->method))
            floats += sige_ceil_div(s->op->x.c, s->block) * sige_winograd_points(s->method) *
                      sige_filter_point(s->block * SIGE_PANEL);
    }
    if (floats * j->panels * (int64_t)sizeof(float) > SHARED_FILTERS_BYTES)
        return;
    j->filters = SIGE_SHARED;
    j->shared_filters = floats;
}

/* Returns how many multiplications a source is left with for a channel of its own and one of the output. */
static double multiplications(const sige_conv_job *j, const sige_conv_source *s) {
    if (sige_by_winograd(s->method))
        return (double)j->units.count * sige_winograd_points(s->method) * sige_winograd_parts(s->method);
    const double pixels = (double)j->units.count * j->units.side * j->units.side;
    return pixels * (s->method == SIGE_PHASES ? 9.0 / 4 : s->op->kh * s->op->kw);
}

/* A vector of a window's, a filter's, or a product's channels takes about so many multiplications' time to transform,
 * measured on AVX-512. A filter takes more than its arithmetic, for its points go to the second-level cache and back,
 * unless they stay in registers. */
typedef struct transforms {
    int window, filter, product;
} transforms;

static const transforms transforms_of[SIGE_METHODS] = {
    [SIGE_WINOGRAD_2] = {260, 90, 180}, [SIGE_WINOGRAD_4] = {220, 176, 170}, [SIGE_WINOGRAD_UP] = {110, 140, 100}};

enum { FILTER_IN_REGISTERS = 124 };

/* Returns about how many multiplications' time a plan takes. */
static double cost_of(const sige_conv_job *j) {
    const transforms *t = &transforms_of[j->winograd];
    const double units = (double)j->units.count, c_out = (double)sige_panels_width(j->op->c_out);
    const double times = j->filters == SIGE_SHARED ? 2 : (double)j->chunks;
    const double filter = times * (j->filters == SIGE_IN_REGISTERS ? FILTER_IN_REGISTERS : t->filter);
    double cost = sige_by_winograd(j->winograd) ? units * c_out * t->product : 0;
    for (int i = 0; i < j->op->n_sources; i++) {
        const sige_conv_source *s = &j->source[i];
        const double c = s->op->x.c;
        cost += c * c_out * multiplications(j, s);
        if (sige_by_winograd(s->method))
            cost += c * c_out * filter + units * c * t->window;
    }
    return cost;
}

sige_conv_job sige_conv_plan(const sige_conv *op, const int32_t *rows) {
    const sige_units units = sige_units_of(&op->out, rows, op->sums != SIGE_NONE);
    sige_conv_job best = plan_by(op, &units, SIGE_WINOGRAD_4);
    if (best.filters != SIGE_PACKED) {
        best = plan_by(op, &units, SIGE_DIRECT);
        for (sige_method m = SIGE_WINOGRAD_2; m <= SIGE_WINOGRAD_4; m++) {
            sige_conv_job j = plan_by(op, &units, m);
            if (sige_by_winograd(j.winograd) && j.chunks >= MANY_CHUNKS) {
                share_filters(&j);
            } else if (j.winograd == SIGE_WINOGRAD_4 && units.count <= SIGE_FEW) {
                j.filters = SIGE_IN_REGISTERS;
                choose_chunk(&j);
            }
            if (cost_of(&j) < cost_of(&best))
                best = j;
        }
    }
    plan_memory(&best);
    return best;
}

sige_choice sige_conv_choice(const sige_conv_job *j) {
    const double c_out = (double)sige_panels_width(j->op->c_out);
    sige_choice choice = {.filters = (int32_t)j->filters, .chunks = (int32_t)j->chunks};
    choice.weight_bytes = c_out * (double)j->panel_k * sizeof(float);
    for (int i = 0, largest = 0; i < j->op->n_sources; i++) {
        const sige_conv_source *s = &j->source[i];
        choice.macs += multiplications(j, s) * s->op->x.c * c_out;
        if (s->op->kh * s->op->kw > largest)
            largest = s->op->kh * s->op->kw, choice.method = (int32_t)s->method;
    }
    return choice;
}

void sige_conv_bind(sige_conv_source *s, void *const *slots) {
    s->input = sige_input_of(s->op, slots);
    if (s->method == SIGE_PHASES || s->method == SIGE_WINOGRAD_UP)
        s->input.resample = 0; /* its windows are of the small image */
}
