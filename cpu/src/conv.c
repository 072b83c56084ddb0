#include "conv.h"

#include "gemm.h"
#include "sums.h"

/* So many rows of a panel are multiplied at a time: 16 KB, which stay in the first-level cache from one call of the
 * micro-kernel to the next. */
enum { BLOCK_K = 256 };

/* Returns a panel's filters of a source's block, which begins with a channel, where all were transformed beforehand. */
static float *shared_filters(const sige_conv_job *j, const sige_conv_source *s, int panel, int channel) {
    return j->all_filters + panel * j->shared_filters + s->filters +
           channel / s->block * sige_winograd_points(s->method) * sige_filter_point(s->block * SIGE_PANEL);
}

/* Multiplies a block of a source's channels point by point: products are [point][unit, part] panels, filters lie
 * `point` floats apart. */
static void multiply_block(const sige_conv_source *s, int rows, sige_product g, int64_t point, const uint32_t *off,
                           const uint32_t *row) {
    for (int i = 0; i < sige_winograd_points(s->method); i++) {
        sige_gemm(&g, rows, off, row);
        g.x += s->point, g.w += point, g.acc += rows * SIGE_PANEL, g.ahead += g.ahead_length;
    }
}

/* Sets acc of all pixels to the sum of those sources of a panel that are computed by Winograd's algorithm. */
static void multiply_winograd(const sige_conv_job *j, sige_chunk *chunk, int panel, const float *w, int width) {
    const int points = sige_winograd_points(j->winograd), parts = sige_winograd_parts(j->winograd);
    const int rows = chunk->n_units * parts;
    float *products = sige_chunk_at(chunk, j->products), *own = sige_chunk_at(chunk, j->own_filters);
    uint32_t off[SIGE_CHUNK_UNITS * 4], row[SIGE_CHUNK_UNITS * 4];
    bool fresh = true;
    for (int i = 0; i < j->op->n_sources; i++) {
        const sige_conv_source *s = &j->source[i];
        if (!sige_by_winograd(s->method))
            continue;
        for (int r = 0; r < rows; r++)
            off[r] = (uint32_t)((size_t)r * s->part), row[r] = (uint32_t)r;
        const float *x = sige_chunk_at(chunk, s->transformed), *packed, *next = w + s->first_row * width;
        for (int c = 0; c < s->op->x.c; c += s->block, x += points * s->point, fresh = false) {
            const int64_t k = sige_min(s->block, s->op->x.c - c), taps = j->filters == SIGE_PACKED ? points : 9;
            packed = next, next += taps * k * width;
            if (j->filters == SIGE_IN_REGISTERS) {
                sige_winograd_few(&(sige_few){.x = x,
                                              .filters = packed,
                                              .ahead = next,
                                              .channels = k,
                                              .width = width,
                                              .rows = rows,
                                              .acc = products,
                                              .point = (size_t)(rows * SIGE_PANEL),
                                              .fresh = fresh});
                continue;
            }
            int64_t point = sige_filter_point(k * width);
            sige_product g = {.runs = 1, .length = k, .x = x, .acc = products, .width = width, .fresh = fresh};
            g.ahead_length = k * width;
            if (j->filters == SIGE_IN_CACHE) {
                sige_winograd_filters(j->winograd, packed, k * width, own);
                g.w = own, g.ahead = next, g.ahead_length = sige_ceil_div(9 * k * width, points);
            } else if (j->filters == SIGE_SHARED) {
                g.w = shared_filters(j, s, panel, c), g.ahead = g.w + point;
            } else {
                point = k * width;
                g.w = packed, g.ahead = g.w + point;
            }
            multiply_block(s, rows, g, point, off, row);
        }
    }
    float *acc = chunk->acc;
    for (int u = 0; u < chunk->n_units; u++) {
        const sige_unit *unit = &chunk->unit[u];
        sige_winograd_output(j->winograd, products + u * parts * SIGE_PANEL, (size_t)(rows * SIGE_PANEL), unit->h,
                             unit->w, acc);
        acc += unit->h * unit->w * SIGE_PANEL;
    }
}

/* Adds another source of a panel to acc of all pixels, or with `fresh` sets acc to it. */
static void multiply_direct(const sige_conv_source *s, const sige_pixels *pixels, const float *input, const float *w,
                            int width, float *acc, bool fresh) {
    const int phases = s->method == SIGE_PHASES ? 4 : 1, all = s->op->x.c;
    for (int phase = 0; phase < phases; phase++) {
        const sige_taps t = sige_taps_of(s->op, s->method, phase);
        const int first = pixels->first[phase], n = pixels->first[phase + 1] - first;
        const float *x = input + t.first_y * s->row + t.first_x * (int64_t)all;
        sige_product g = {.acc = acc, .width = width, .fresh = fresh};
        for (int c = 0; c < all; c += s->block) {
            const int channels = sige_min(s->block, all - c);
            /* Rows of a window follow one another in memory if they have all channels. */
            const int64_t run = channels == all ? (int64_t)t.x * all : channels, runs = channels == all ? 1 : t.x;
            const bool whole = run == t.x * all && run * t.y <= BLOCK_K;
            g.runs = whole ? t.y : runs, g.step = whole ? s->row : all;
            const int64_t blocks = sige_ceil_div(run, BLOCK_K), block = sige_ceil_div(run, blocks);
            for (int ky = 0; ky < (whole ? 1 : t.y); ky++)
                for (int64_t p = 0; p < run; p += block, g.fresh = false) {
                    g.x = x + c + ky * s->row + p, g.w = w;
                    g.length = run - p < block ? run - p : block;
                    w += g.runs * g.length * width;
                    g.ahead = w, g.ahead_length = w - g.w;
                    sige_gemm(&g, n, pixels->off + first, pixels->row + first);
                }
        }
    }
}

static void multiply(const sige_conv_job *j, sige_chunk *chunk, int panel) {
    const float *w = j->weight + panel * j->panel_k * SIGE_PANEL;
    const int width = sige_panel_width(panel * SIGE_PANEL, j->op->c_out);
    const bool winograd = sige_by_winograd(j->winograd);
    if (winograd)
        multiply_winograd(j, chunk, panel, w, width);
    bool fresh = !winograd;
    for (int i = 0; i < j->op->n_sources; i++) {
        const sige_conv_source *s = &j->source[i];
        if (sige_by_winograd(s->method))
            continue;
        multiply_direct(s, &chunk->pixels[i], chunk->input[i], w + s->first_row * width, width, chunk->acc, fresh);
        fresh = false;
    }
}

static void run_panel(const sige_conv_job *j, sige_chunk *chunk, int panel) {
    if (chunk->n_pixels)
        multiply(j, chunk, panel);
    for (int u = 0, row = 0; u < chunk->n_units; row += chunk->unit[u].h * chunk->unit[u].w, u++) {
        if (u + 1 < chunk->n_units)
            sige_epilogue_expect(&j->epilogue, &chunk->unit[u + 1], panel);
        sige_epilogue_unit(&j->epilogue, &chunk->unit[u], panel, chunk->acc + row * SIGE_PANEL, &chunk->reads[u],
                           j->sums ? j->sums + chunk->unit[u].index * 2 * j->op->c_out : NULL);
    }
}

static void run_chunk(const sige_conv_job *j, sige_chunk *chunk, int64_t index) {
    atomic_int *next = &j->next_panel[index];
    int panel = atomic_fetch_add_explicit(next, 1, memory_order_relaxed);
    if (panel >= j->panels)
        return;
    sige_chunk_prepare(j, chunk, index);
    for (; panel < j->panels; panel = atomic_fetch_add_explicit(next, 1, memory_order_relaxed))
        run_panel(j, chunk, panel);
}

/* Every thread takes chunks. When there are none left, it helps with the panels of those begun last. */
static void run_thread(void *context, int64_t item, int thread) {
    (void)item;
    const sige_conv_job *j = context;
    sige_chunk *chunk = sige_pool_own(j->pool, thread);
    for (;;) {
        const int64_t index = atomic_fetch_add_explicit(j->next_chunk, 1, memory_order_relaxed);
        if (index >= j->chunks)
            break;
        run_chunk(j, chunk, index);
    }
    for (int64_t index = j->chunks - 1; index >= 0 && index >= j->chunks - sige_pool_threads(j->pool); index--)
        if (atomic_load_explicit(&j->next_panel[index], memory_order_relaxed) < j->panels - 1)
            run_chunk(j, chunk, index);
}

/* Transforms a panel's filters. */
static void share_panel(void *context, int64_t panel, int thread) {
    (void)thread;
    const sige_conv_job *j = context;
    const int width = sige_panel_width((int)panel * SIGE_PANEL, j->op->c_out);
    for (int i = 0; i < j->op->n_sources; i++) {
        const sige_conv_source *s = &j->source[i];
        const float *w = j->weight + (panel * j->panel_k * SIGE_PANEL + s->first_row * width);
        for (int c = 0; sige_by_winograd(s->method) && c < s->op->x.c; c += s->block) {
            const int64_t floats = (int64_t)sige_min(s->block, s->op->x.c - c) * width;
            sige_winograd_filters(s->method, w, floats, shared_filters(j, s, (int)panel, c));
            w += 9 * floats;
        }
    }
}

static sige_finish finish_of(const sige_conv *op) {
    return (sige_finish){.out = &op->out,
                         .c = op->c_out,
                         .bias = op->bias,
                         .vec = op->vec,
                         .vec_stride = op->vec_stride,
                         .sums = op->sums,
                         .residual = op->has_residual ? &op->residual : NULL,
                         .residual_resample = op->residual_resample,
                         .n_outputs = op->n_outputs,
                         .output = op->output};
}

static const char *check(const sige_op *of, const sige_checker *k) {
    const sige_conv *op = &of->u.conv;
    REQUIRE(sige_within(op->c_out, 1, SIGE_MAX_CHANNELS), "c_out must be positive and of a size that can exist");
    PASS(sige_check_domain(k, &op->out, op->c_out));
    REQUIRE(sige_within(op->n_sources, 1, SIGE_MAX_SOURCES), "n_sources must be 1 ... SIGE_MAX_SOURCES");
    for (int i = 0; i < op->n_sources; i++)
        PASS(sige_check_source(k, &op->source[i], &op->out));
    REQUIRE(sige_has(k, op->weight), "weight must be a slot");
    const sige_finish finish = finish_of(op);
    return sige_check_finish(k, &finish);
}

static size_t counters_bytes(const sige_conv_job *j) {
    return sige_line(sizeof(atomic_llong)) + sige_line((size_t)j->chunks * sizeof(atomic_int));
}

static size_t filters_bytes(const sige_conv_job *j) {
    return sige_line((size_t)(j->panels * j->shared_filters) * sizeof(float));
}

static sige_needs plan(const sige_op *of, const int32_t *rows, void *made) {
    const sige_conv *op = &of->u.conv;
    sige_conv_job *j = made;
    *j = sige_conv_plan(op, rows);
    const size_t unit_sums = sige_unit_sums_bytes(&j->units, op->sums, op->c_out);
    const sige_choice choice = sige_conv_choice(j);
    double channels = op->c_out * sige_max(1, op->n_outputs);
    for (int i = 0; i < op->n_sources; i++)
        channels += op->source[i].x.c;
    const double pixels = (double)j->units.count * j->units.side * j->units.side;
    return (sige_needs){.shared = counters_bytes(j) + unit_sums + filters_bytes(j),
                        .own = j->own_bytes,
                        .work = sige_work(choice.macs, pixels * channels + choice.weight_bytes / sizeof(float))};
}

static void explain(const void *planned, sige_choice *choice) { *choice = sige_conv_choice(planned); }

static void run(const sige_op *of, const void *planned, void *const *slots, sige_pool *pool) {
    const sige_conv *op = &of->u.conv;
    sige_conv_job j = *(const sige_conv_job *)planned;
    j.weight = slots[op->weight];
    for (int i = 0; i < op->n_sources; i++)
        sige_conv_bind(&j.source[i], slots);
    const sige_finish finish = finish_of(op);
    j.epilogue = sige_epilogue_of(&finish, slots);
    j.pool = pool;

    char *shared = sige_pool_shared(pool);
    j.next_chunk = (void *)shared;
    j.next_panel = (void *)(shared + sige_line(sizeof(atomic_llong)));
    atomic_init(j.next_chunk, 0);
    for (int64_t i = 0; i < j.chunks; i++)
        atomic_init(&j.next_panel[i], 0);
    const bool reduce = sige_unit_sums_bytes(&j.units, op->sums, op->c_out) > 0;
    j.all_filters = (float *)(void *)(shared + counters_bytes(&j));
    float *unit_sums = (float *)(void *)(shared + counters_bytes(&j) + filters_bytes(&j));
    j.sums = reduce ? unit_sums : sige_slot(slots, op->sums);
    if (j.filters == SIGE_SHARED)
        sige_pool_for(pool, j.panels, share_panel, &j);
    sige_pool_for(pool, sige_pool_threads(pool), run_thread, &j);
    if (reduce)
        sige_add_unit_sums(&j.units, unit_sums, slots[op->sums], op->c_out, pool);
}

const sige_op_type SIGE_OP_TYPE(conv) = {.domain = offsetof(sige_op, u.conv.out),
                                         .plan_bytes = sizeof(sige_conv_job),
                                         .check = check,
                                         .plan = plan,
                                         .run = run,
                                         .explain = explain};
