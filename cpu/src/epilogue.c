#include "epilogue.h"

#include "activation.h"
#include "panel.h"

sige_epilogue sige_epilogue_of(const sige_finish *f, void *const *slots) {
    sige_epilogue e = {.c = f->c, .n_targets = f->n_outputs, .tiled = f->out->list != SIGE_NONE};
    e.bias = sige_slot(slots, f->bias);
    e.vec = sige_slot(slots, f->vec);
    e.vec_stride = f->vec_stride;
    e.has_residual = f->residual != NULL;
    e.residual_resample = f->residual_resample;
    if (f->residual)
        e.residual = sige_view_of(f->residual, slots);
    for (int i = 0; i < f->n_outputs; i++) {
        const sige_output *o = &f->output[i];
        e.target[i] = (sige_target){.dst = slots[o->dst],
                                    .scale = sige_slot(slots, o->scale),
                                    .shift = sige_slot(slots, o->shift),
                                    .stride = o->stride,
                                    .act = o->act,
                                    .modulated = o->has_mod};
        if (o->has_mod)
            e.target[i].mod = sige_mod_of(&o->mod, slots);
    }
    return e;
}

void sige_find_reads(const sige_epilogue *e, const sige_unit *unit, sige_reads *reads) {
    for (int i = 0; i < unit->h * unit->w; i++) {
        const int y = unit->y + i / unit->w, x = unit->x + i % unit->w;
        if (e->has_residual)
            reads->residual[i] =
                sige_find_pixel(&e->residual, unit->image, y >> e->residual_resample, x >> e->residual_resample);
        for (int t = 0; t < e->n_targets; t++)
            if (e->target[t].modulated)
                sige_find_mod(&e->target[t].mod, unit->image, y, x, &reads->gamma[t][i], &reads->beta[t][i]);
    }
}

/* Loads the first n channels of a panel of a pixel. */
static inline vpanel load_channels(const sige_view *v, sige_pixel p, int channel, int n) {
    if (!p.tile)
        return p_load_n((const float *)p.data + channel, n);
    const int second = n - SIGE_LANES;
    vpanel panel = {{sige_channels(v, p, channel, sige_min(n, SIGE_LANES))}};
    if (second > 0)
        panel.part[1] = sige_channels(v, p, channel + SIGE_LANES, second);
    return panel;
}

/* This is added to a unit's values. */
typedef struct addition {
    vpanel constant; /* bias + vec */
    const sige_view *view;
    const sige_pixel *residual; /* by pixel, of the view; read only where there is one */
    int channel;
    int n;
} addition;

/* Finishes pixel i of acc and returns it. */
static inline vpanel finish_value(const addition *add, float *acc, int i, bool residual) {
    vpanel v = p_add(p_load(acc + i * SIGE_PANEL), add->constant);
    if (residual && add->residual[i].data)
        v = p_add(v, load_channels(add->view, add->residual[i], add->channel, add->n));
    p_store(acc + i * SIGE_PANEL, v);
    return v;
}

/* Finishes pixels i and, if there is one, i + 1; returns their sum. */
static inline vpanel finish_pair(const addition *add, float *acc, int i, int pixels, bool residual, vpanel *squares) {
    const vpanel v = finish_value(add, acc, i, residual);
    *squares = p_fma(v, v, *squares);
    if (pixels < 2)
        return v;
    const vpanel next = finish_value(add, acc, i + 1, residual);
    *squares = p_fma(next, next, *squares);
    return p_add(v, next);
}

static inline vpanel finish_row(const addition *add, float *acc, int i, int w, bool residual, vpanel *squares) {
    const vpanel sum = finish_pair(add, acc, i, w, residual, squares);
    return w > 2 ? p_add(sum, finish_pair(add, acc, i + 2, w - 2, residual, squares)) : sum;
}

/* Finishes h x w pixels and sums them up. Values are added up in pairs: that is more exact than one by one, and it is
 * exact for equal ones, whose mean a norm subtracts from them. */
static inline void finish_and_sum(const addition *add, float *acc, int h, int w, bool residual, float *sums,
                                  int64_t squares_at) {
    vpanel sum = p_zero(), squares = sum;
    for (int y = 0; y < h; y += 2) {
        vpanel rows = finish_row(add, acc, y * w, w, residual, &squares);
        if (y + 1 < h)
            rows = p_add(rows, finish_row(add, acc, (y + 1) * w, w, residual, &squares));
        sum = p_add(sum, rows);
    }
    p_store_n(sums, sum, add->n);
    p_store_n(sums + squares_at, squares, add->n);
}

/* Adds bias, vec and residual to acc, and takes the unit's sums of the result. Returns what is still to be added: bias
 * and vec can wait until the values are written where nothing else is to be done with them before. */
static vpanel finish_values(const sige_epilogue *e, const sige_unit *unit, int channel, int n, float *acc,
                            const sige_reads *reads, float *sums) {
    vpanel constant = p_zero();
    if (e->bias)
        constant = p_load_n(e->bias + channel, n);
    if (e->vec)
        constant = p_add(constant, p_load_n(e->vec + unit->image * e->vec_stride + channel, n));
    const addition add = {constant, &e->residual, reads->residual, channel, n};
    if (!sums && !e->has_residual)
        return constant;
    if (!sums)
        for (int i = 0; i < unit->h * unit->w; i++)
            finish_value(&add, acc, i, true);
    else if (unit->h == SIGE_UNIT && unit->w == SIGE_UNIT && !e->has_residual)
        finish_and_sum(&add, acc, SIGE_UNIT, SIGE_UNIT, false, sums + channel, e->c);
    else
        finish_and_sum(&add, acc, unit->h, unit->w, e->has_residual, sums + channel, e->c);
    return p_splat(-0.0f); /* even zeros keep their sign */
}

/* Writes acc + `rest` to one target; `act` is its activation, as a constant. */
static inline void write_as(const sige_epilogue *e, const sige_target *t, const sige_unit *unit, int channel, int n,
                            const float *acc, vpanel rest, const sige_pixel *gamma, const sige_pixel *beta, int act) {
    const sige_mod *m = &t->mod;
    const vpanel one = p_splat(1.0f);
    vpanel scale = p_zero(), shift = scale;
    if (t->scale) {
        scale = p_load_n(t->scale + unit->image * t->stride + channel, n);
        shift = p_load_n(t->shift + unit->image * t->stride + channel, n);
    }
    const int w = unit->w, pixels = unit->h * w;
    const int64_t next = e->c, end = (unit->row - w) * next;
    const bool scaled = t->scale, modulated = t->modulated;
    float *dst = t->dst + unit->at * next + channel;
    for (int i = 0, x = 0; i < pixels; i++, acc += SIGE_PANEL, dst += next) {
        vpanel v = p_add(p_load(acc), rest);
        if (scaled)
            v = p_fma(v, scale, shift);
        if (modulated && gamma[i].data)
            v = p_fma(v, p_add(one, load_channels(&m->gamma, gamma[i], m->gamma_first + channel, n)),
                      load_channels(&m->beta, beta[i], m->beta_first + channel, n));
        for (int k = 0; k < 2; k++)
            v.part[k] = sige_activate(v.part[k], act);
        p_store_n(dst, v, n);
        if (++x == w)
            x = 0, dst += end;
    }
}

static void write(const sige_epilogue *e, const sige_target *t, const sige_unit *unit, int channel, int n,
                  const float *acc, vpanel rest, const sige_pixel *gamma, const sige_pixel *beta) {
#define WRITE_AS(act) write_as(e, t, unit, channel, n, acc, rest, gamma, beta, act)
    SIGE_WITH_CONSTANT_ACT(t->act, WRITE_AS)
#undef WRITE_AS
}

static void write_outside(const sige_epilogue *e, const sige_unit *unit, int channel, int n) {
    for (int i = 0; i < e->n_targets; i++)
        for (int y = 0; y < unit->full_h; y++)
            for (int x = y < unit->h ? unit->w : 0; x < unit->full_w; x++)
                p_store_n(e->target[i].dst + (unit->at + y * unit->row + x) * e->c + channel, p_zero(), n);
}

void sige_epilogue_expect(const sige_epilogue *e, const sige_unit *unit, int panel) {
    if (e->tiled)
        return; /* tiles are written one after another */
    const int channel = panel * SIGE_PANEL, n = sige_panel_channels(channel, e->c);
    for (int i = 0; i < e->n_targets; i++)
        for (int y = 0; y < unit->h; y++)
            for (int x = 0; x < unit->w; x++)
                for (int k = 0; k < n; k += SIGE_LINE)
                    __builtin_prefetch(e->target[i].dst + (unit->at + y * unit->row + x) * e->c + channel + k, 1);
}

void sige_epilogue_unit(const sige_epilogue *e, const sige_unit *unit, int panel, float *acc, const sige_reads *reads,
                        float *sums) {
    const int channel = panel * SIGE_PANEL;
    const int n = sige_panel_channels(channel, e->c);
    const vpanel rest = finish_values(e, unit, channel, n, acc, reads, sums);
    for (int i = 0; i < e->n_targets; i++)
        write(e, &e->target[i], unit, channel, n, acc, rest, reads->gamma[i], reads->beta[i]);
    if (e->tiled && (unit->h < unit->full_h || unit->w < unit->full_w))
        write_outside(e, unit, channel, n);
}
