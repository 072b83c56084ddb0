#include "conv.h"

#include "gemm.h"

/* Rows of a panel multiplied at a time: 16 KB, which stay in the first-level cache from one call of the micro-kernel to
 * the next. */
enum { BLOCK_K = 256 };

/* acc of all pixels = those sources of a panel that are computed by Winograd. */
static void multiply_winograd(const sige_conv_job *j, sige_chunk *chunk, const float *w) {
    const sige_method method = j->plan.winograd;
    const int c = j->plan.winograd_c, parts = sige_winograd_parts(method), rows = chunk->n_units * parts;
    const float *x = sige_chunk_at(chunk, j->transformed);
    float *products = sige_chunk_at(chunk, j->products);
    uint32_t off[SIGE_CHUNK_UNITS * 4], row[SIGE_CHUNK_UNITS * 4];
    for (int i = 0; i < rows; i++)
        off[i] = (uint32_t)(i * c), row[i] = (uint32_t)i;
    const int blocks = (int)sige_ceil_div(c, BLOCK_K), block = (int)sige_ceil_div(c, blocks);
    for (int point = 0; point < sige_winograd_points(method); point++, x += j->point)
        for (int p = 0; p < c; p += block) {
            const int k = sige_min(block, c - p);
            const sige_product g = {.runs = 1,
                                    .length = k,
                                    .x = x + p,
                                    .w = w,
                                    .acc = products + point * rows * SIGE_PANEL,
                                    .fresh = p == 0};
            sige_gemm(&g, rows, off, row);
            w += k * SIGE_PANEL;
        }
    float *acc = chunk->acc;
    for (int u = 0; u < chunk->n_units; u++) {
        const sige_unit *unit = &chunk->unit[u];
        sige_winograd_output(method, products + u * parts * SIGE_PANEL, (size_t)(rows * SIGE_PANEL), unit->h, unit->w,
                             acc);
        acc += unit->h * unit->w * SIGE_PANEL;
    }
}

/* acc of all pixels (+)= one other source of a panel. */
static void multiply_direct(const sige_conv_source *s, const sige_pixels *pixels, const float *input, const float *w,
                            float *acc, bool fresh) {
    const bool phases = s->method == SIGE_PHASES;
    const int taps_y = phases ? 2 : s->op->kh, taps_x = phases ? 2 : s->op->kw;
    const int64_t row = (int64_t)taps_x * s->op->x.c; /* of the kernel, as of the window */
    const bool small = row * taps_y <= BLOCK_K;
    const int64_t blocks = sige_ceil_div(row, BLOCK_K), block = sige_ceil_div(row, blocks);
    for (int phase = 0; phase < (phases ? 4 : 1); phase++) {
        const int first = pixels->first[phase], n = pixels->first[phase + 1] - first;
        sige_product g = {.runs = small ? taps_y : 1, .step = s->row, .acc = acc, .fresh = fresh};
        for (int ky = 0; ky < taps_y; ky += (int)g.runs)
            for (int64_t p = 0; p < row; p += block, g.fresh = false) {
                g.x = input + ky * s->row + p, g.w = w;
                g.length = row - p < block ? row - p : block;
                sige_gemm(&g, n, pixels->off + first, pixels->row + first);
                w += g.runs * g.length * SIGE_PANEL;
            }
    }
}

static void multiply(const sige_conv_job *j, sige_chunk *chunk, int panel) {
    const float *w = j->weight + panel * j->plan.panel_k * SIGE_PANEL;
    bool fresh = j->plan.winograd == SIGE_DIRECT;
    if (!fresh)
        multiply_winograd(j, chunk, w);
    for (int i = 0; i < j->op->n_sources; i++) {
        const sige_conv_source *s = &j->source[i];
        if (!s->k)
            continue;
        multiply_direct(s, &chunk->pixels[i], chunk->input[i], w + s->first_row * SIGE_PANEL, chunk->acc, fresh);
        fresh = false;
    }
}

static void run_panel(const sige_conv_job *j, sige_chunk *chunk, int panel) {
    if (chunk->n_pixels)
        multiply(j, chunk, panel);
    for (int u = 0, row = 0; u < chunk->n_units; row += chunk->unit[u].h * chunk->unit[u].w, u++)
        sige_epilogue_unit(&j->epilogue, &chunk->unit[u], panel, chunk->acc + row * SIGE_PANEL,
                           j->op->has_residual ? chunk->residual + row : NULL,
                           j->sums ? j->sums + chunk->unit[u].index * 2 * j->op->c_out : NULL);
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

/* Every thread takes chunks, and when there are none left helps with the panels of those begun last. */
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

typedef struct sums_job {
    const float *unit_sums;
    float *sums;
    int units; /* per tile */
    int64_t floats;
} sums_job;

static void add_unit_sums(void *context, int64_t tile, int thread) {
    (void)thread;
    const sums_job *j = context;
    const float *src = j->unit_sums + tile * j->units * j->floats;
    float *dst = j->sums + tile * j->floats;
    for (int64_t i = 0; i < j->floats; i++) {
        float sum = 0;
        for (int u = 0; u < j->units; u++)
            sum += src[u * j->floats + i];
        dst[i] = sum;
    }
}

/* Units smaller than their tile leave their sums in scratch memory, to be added up in order. */
static size_t unit_sums_bytes(const sige_conv_job *j) {
    if (j->op->sums == SIGE_NONE || j->units.per_edge == 1)
        return 0;
    return sige_line((size_t)j->units.count * 2 * (size_t)j->op->c_out * sizeof(float));
}

static size_t counters_bytes(const sige_conv_job *j) {
    return sige_line(sizeof(atomic_llong)) + sige_line((size_t)j->chunks * sizeof(atomic_int));
}

sige_scratch sige_conv_scratch(const sige_conv *op) {
    const sige_conv_job j = sige_conv_plan(op);
    return (sige_scratch){.shared = counters_bytes(&j) + unit_sums_bytes(&j), .own = j.own_bytes};
}

void sige_conv_run(const sige_conv *op, void *const *slots, sige_pool *pool) {
    sige_conv_job j = sige_conv_plan(op);
    if (j.units.count == 0)
        return;
    j.units = sige_units_of(&op->out, slots, op->sums != SIGE_NONE);
    j.weight = slots[op->weight];
    for (int i = 0; i < op->n_sources; i++)
        j.source[i].view = sige_view_of_source(&op->source[i], slots);
    if (op->has_residual)
        j.residual = sige_view_of(&op->residual, slots);
    j.epilogue = sige_epilogue_of(op, slots);
    j.pool = pool;

    char *shared = sige_pool_shared(pool);
    j.next_chunk = (void *)shared;
    j.next_panel = (void *)(shared + sige_line(sizeof(atomic_llong)));
    atomic_init(j.next_chunk, 0);
    for (int64_t i = 0; i < j.chunks; i++)
        atomic_init(&j.next_panel[i], 0);
    const bool reduce = unit_sums_bytes(&j) > 0;
    float *unit_sums = (float *)(void *)(shared + counters_bytes(&j));
    j.sums = reduce ? unit_sums : sige_slot(slots, op->sums);
    sige_pool_for(pool, sige_pool_threads(pool), run_thread, &j);
    if (reduce) {
        sums_job s = {.unit_sums = unit_sums,
                      .sums = slots[op->sums],
                      .units = j.units.per_edge * j.units.per_edge,
                      .floats = 2 * (int64_t)op->c_out};
        sige_pool_for(pool, j.units.tiles, add_unit_sums, &s);
    }
}
