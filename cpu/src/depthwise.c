#include "epilogue.h"
#include "op.h"
#include "panel.h"
#include "sums.h"

/* A few units are computed at a time: neighbours in a row when all pixels are computed, listed ones otherwise. Their
 * input is gathered into a window, or one for each listed unit that does not lie ready; then every panel of channels is
 * computed and finished. */
enum { STRIP = 4, MAX_TAPS = SIGE_MAX_KERNEL * SIGE_MAX_KERNEL };

typedef struct depthwise_job {
    const sige_depthwise *op;
    sige_units units;
    int across; /* strips of a row of units */
    int64_t strips;
    sige_input input;
    sige_epilogue epilogue;
    const float *weight;
    float *sums;         /* by unit */
    int64_t row, window; /* floats from one row of a window to the next, and of a window */
    size_t windows;
    sige_pool *pool;
} depthwise_job;

/* A thread's memory starts with this; windows follow. */
typedef struct strip {
    float acc[SIGE_UNIT_PIXELS * SIGE_PANEL], weight[MAX_TAPS * SIGE_PANEL];
    int n;
    sige_unit unit[STRIP];
    const float *window[STRIP]; /* where a unit's begins */
    sige_reads reads[STRIP];
} strip;

static sige_finish finish_of(const sige_depthwise *op) {
    return (sige_finish){.out = &op->out,
                         .c = op->c,
                         .bias = op->bias,
                         .vec = SIGE_NONE,
                         .sums = op->sums,
                         .residual = op->has_residual ? &op->residual : NULL,
                         .residual_resample = op->residual_resample,
                         .n_outputs = op->n_outputs,
                         .output = op->output};
}

static const char *check(const sige_op *of, const sige_checker *k) {
    const sige_depthwise *op = &of->u.depthwise;
    REQUIRE(sige_within(op->c, 1, SIGE_MAX_CHANNELS), "c must be positive and of a size that can exist");
    PASS(sige_check_domain(k, &op->out, op->c));
    PASS(sige_check_source(k, &op->source, &op->out));
    REQUIRE(op->source.x.c == op->c && !op->source.zeros,
            "the source must have c channels, and no zeros between pixels");
    REQUIRE(sige_has_or_none(k, op->weight), "weight must be a slot or SIGE_NONE");
    const sige_finish finish = finish_of(op);
    return sige_check_finish(k, &finish);
}

static sige_needs plan(const sige_op *of, const int32_t *rows, void *made) {
    const sige_depthwise *op = &of->u.depthwise;
    depthwise_job *j = made;
    *j = (depthwise_job){.op = op, .units = sige_units_of(&op->out, rows, op->sums != SIGE_NONE)};
    const sige_units *u = &j->units;
    j->across = (int)sige_ceil_div(u->across, STRIP);
    j->strips = u->listed ? sige_ceil_div(u->count, STRIP) : (int64_t)op->out.n * u->down * j->across;
    const int units = u->listed ? 1 : STRIP;
    const int64_t h = (u->side - 1) * op->source.stride + op->source.kh;
    const int64_t w = (units * u->side - 1) * op->source.stride + op->source.kw;
    j->row = w * op->c, j->window = h * j->row;
    j->windows = sige_line(sizeof(strip));
    /* the last panel of the last pixel is read as if it were whole */
    const size_t floats = (size_t)(j->window * (u->listed ? STRIP : 1) + SIGE_PANEL);
    return (sige_needs){.shared = sige_unit_sums_bytes(u, op->sums, op->c),
                        .own = j->windows + sige_line(floats * sizeof(float)),
                        .work = sige_work((double)u->count * u->side * u->side * op->c * op->source.kh * op->source.kw,
                                          (double)(u->count * (h * w / units + u->side * u->side) * op->c))};
}

static void list_units(const depthwise_job *j, int64_t index, strip *s) {
    const sige_units *u = &j->units;
    s->n = 0;
    if (u->listed) {
        for (int64_t i = index * STRIP; i < u->count && i < (index + 1) * STRIP; i++)
            s->unit[s->n++] = sige_unit_listed(u, i);
        return;
    }
    const int left = (int)(index % j->across) * STRIP;
    const int64_t row = index / j->across; /* of all images */
    for (int i = left; i < sige_min(left + STRIP, u->across); i++)
        s->unit[s->n++] = sige_unit_at(u, (int)(row / u->down), (int)(row % u->down), i);
}

/* Gathers the window of the first n of these units, of which the last ones may be outside the image. */
static void gather(const depthwise_job *j, const sige_unit *unit, int n, float *window) {
    const sige_source *s = &j->op->source;
    int right = unit->x;
    for (int i = 0; i < n; i++)
        if (unit[i].h)
            right = unit[i].x + unit[i].w;
    if (unit->h)
        sige_window(&j->input, unit->image, unit->y * s->stride - s->pad_top, unit->x * s->stride - s->pad_left,
                    (unit->h - 1) * s->stride + s->kh, (right - 1 - unit->x) * s->stride + s->kw, window,
                    (size_t)j->row);
}

/* Finds or gathers the windows of a strip. The last panel of a pixel is read as if it were whole, which only a window
 * of our own allows where it is not. */
static void find_windows(const depthwise_job *j, strip *s, float *windows) {
    const sige_source *of = &j->op->source;
    const bool pixels = of->kh == 1 && of->kw == 1 && of->stride == 1 && j->op->c % SIGE_PANEL == 0;
    if (!j->units.listed)
        gather(j, s->unit, s->n, windows);
    for (int u = 0; u < s->n; u++) {
        const sige_unit *unit = &s->unit[u];
        const float *ready = NULL;
        if (!j->units.listed) {
            ready = windows + (unit->x - s->unit->x) * (int64_t)of->stride * j->op->c;
        } else if (pixels && unit->h && unit->w * (int64_t)j->op->c == j->row) { /* rows as far apart as ours */
            ready = sige_window_in_place(&j->input, unit->image, unit->y - of->pad_top, unit->x - of->pad_left, unit->h,
                                         unit->w);
        }
        if (!ready) {
            gather(j, unit, 1, windows + u * j->window);
            ready = windows + u * j->window;
        }
        s->window[u] = ready;
    }
}

/* Loads a panel's weights; without any, all taps have the same. */
static void load_weights(const depthwise_job *j, int channel, float *weight) {
    const int taps = j->op->source.kh * j->op->source.kw, c = j->op->c;
    const vpanel mean = p_splat(1.0f / (float)taps);
    for (int tap = 0; tap < taps; tap++) {
        const int n = sige_panel_channels(channel, c);
        p_store(weight + tap * SIGE_PANEL, j->weight ? p_load_n(j->weight + tap * c + channel, n) : mean);
    }
}

/* Computes a panel of `pixels` neighbours in a row, 1 or SIGE_UNIT: several at a time, so that none waits for its own
 * sum. */
static inline void run_pixels(const depthwise_job *j, const float *window, int pixels, const float *weight,
                              float *acc) {
    const sige_source *s = &j->op->source;
    const int64_t step = (int64_t)s->stride * j->op->c;
    vpanel a = p_zero(), b = a, c = a, d = a;
    for (int ky = 0; ky < s->kh; ky++)
        for (int kx = 0; kx < s->kw; kx++, weight += SIGE_PANEL) {
            const float *x = window + ky * j->row + kx * j->op->c;
            const vpanel w = p_load(weight);
            a = p_fma(p_load(x), w, a);
            if (pixels == 1)
                continue;
            b = p_fma(p_load(x + step), w, b);
            c = p_fma(p_load(x + 2 * step), w, c);
            d = p_fma(p_load(x + 3 * step), w, d);
        }
    p_store(acc, a);
    if (pixels == 1)
        return;
    p_store(acc + SIGE_PANEL, b);
    p_store(acc + 2 * SIGE_PANEL, c);
    p_store(acc + 3 * SIGE_PANEL, d);
}

static void run_unit(const depthwise_job *j, const sige_unit *unit, const float *window, const float *weight,
                     float *acc) {
    const int64_t down = j->op->source.stride * j->row, right = (int64_t)j->op->source.stride * j->op->c;
    for (int y = 0; y < unit->h; y++, window += down)
        if (unit->w == SIGE_UNIT)
            run_pixels(j, window, SIGE_UNIT, weight, acc + y * SIGE_UNIT * SIGE_PANEL);
        else
            for (int x = 0; x < unit->w; x++)
                run_pixels(j, window + x * right, 1, weight, acc + (y * unit->w + x) * SIGE_PANEL);
}

static void run_strip(void *context, int64_t index, int thread) {
    const depthwise_job *j = context;
    strip *s = sige_pool_own(j->pool, thread);
    float *windows = (float *)(void *)((char *)s + j->windows);
    list_units(j, index, s);
    find_windows(j, s, windows);
    for (int u = 0; u < s->n; u++)
        sige_find_reads(&j->epilogue, &s->unit[u], &s->reads[u]);
    for (int panel = 0; panel * SIGE_PANEL < j->op->c; panel++) {
        load_weights(j, panel * SIGE_PANEL, s->weight);
        for (int u = 0; u < s->n; u++) {
            const sige_unit *unit = &s->unit[u];
            if (u + 1 < s->n)
                sige_epilogue_expect(&j->epilogue, unit + 1, panel);
            run_unit(j, unit, s->window[u] + panel * SIGE_PANEL, s->weight, s->acc);
            sige_epilogue_unit(&j->epilogue, unit, panel, s->acc, &s->reads[u],
                               j->sums ? j->sums + unit->index * 2 * j->op->c : NULL);
        }
    }
}

static void run(const sige_op *of, const void *planned, void *const *slots, sige_pool *pool) {
    const sige_depthwise *op = &of->u.depthwise;
    depthwise_job j = *(const depthwise_job *)planned;
    j.input = sige_input_of(&op->source, slots);
    const sige_finish finish = finish_of(op);
    j.epilogue = sige_epilogue_of(&finish, slots);
    j.weight = sige_slot(slots, op->weight);
    j.pool = pool;
    const bool reduce = sige_unit_sums_bytes(&j.units, op->sums, op->c) > 0;
    float *unit_sums = sige_pool_shared(pool);
    j.sums = reduce ? unit_sums : sige_slot(slots, op->sums);
    sige_pool_for(pool, j.strips, run_strip, &j);
    if (reduce)
        sige_add_unit_sums(&j.units, unit_sums, slots[op->sums], op->c, pool);
}

const sige_op_type SIGE_OP_TYPE(depthwise) = {.domain = offsetof(sige_op, u.depthwise.out),
                                              .plan_bytes = sizeof(depthwise_job),
                                              .check = check,
                                              .plan = plan,
                                              .run = run};
