#include "epilogue.h"

#include "activation.h"
#include "v16.h"

static void look_up(sige_epilogue *e, const sige_output *outputs, int n, void *const *slots) {
    e->n_targets = n;
    for (int i = 0; i < n; i++) {
        const sige_output *o = &outputs[i];
        e->target[i] = (sige_target){.dst = slots[o->dst],
                                     .scale = sige_slot(slots, o->scale),
                                     .shift = sige_slot(slots, o->shift),
                                     .stride = o->stride,
                                     .act = o->act,
                                     .modulated = o->has_mod};
        if (o->has_mod)
            e->target[i].mod = sige_mod_of(&o->mod, slots);
    }
}

sige_epilogue sige_epilogue_of_conv(const sige_conv *conv, void *const *slots) {
    sige_epilogue e = {.c = conv->c_out, .tiled = conv->out.list != SIGE_NONE, .has_residual = conv->has_residual};
    e.bias = sige_slot(slots, conv->bias);
    e.vec = sige_slot(slots, conv->vec);
    e.vec_stride = conv->vec_stride;
    e.residual_resample = conv->residual_resample;
    if (e.has_residual)
        e.residual = sige_view_of(&conv->residual, slots);
    look_up(&e, conv->output, conv->n_outputs, slots);
    return e;
}

sige_epilogue sige_epilogue_of_depthwise(const sige_depthwise *op, void *const *slots) {
    sige_epilogue e = {.c = op->c, .tiled = op->out.list != SIGE_NONE, .has_residual = op->has_residual};
    e.bias = sige_slot(slots, op->bias);
    e.residual_resample = op->residual_resample;
    if (e.has_residual)
        e.residual = sige_view_of(&op->residual, slots);
    look_up(&e, op->output, op->n_outputs, slots);
    return e;
}

void sige_find_reads(const sige_epilogue *e, const sige_unit *unit, sige_reads *reads) {
    for (int i = 0; i < unit->h * unit->w; i++) {
        const int y = unit->y + i / unit->w, x = unit->x + i % unit->w;
        if (e->has_residual)
            reads->residual[i] =
                sige_pixel(&e->residual, unit->image, y >> e->residual_resample, x >> e->residual_resample);
        for (int t = 0; t < e->n_targets; t++)
            if (e->target[t].modulated)
                sige_mod_pixel(&e->target[t].mod, unit->image, y, x, &reads->gamma[t][i], &reads->beta[t][i]);
    }
}

/* The sum of a unit, added up in pairs: more exact than one by one, and exact for equal numbers. */
typedef struct pairs {
    v16 half[2]; /* upper and lower two rows */
} pairs;

static inline void add_row(pairs *p, int y, const v16 part[2]) {
    p->half[y >> 1] = v16_add(p->half[y >> 1], v16_add(part[0], part[1]));
}

static inline v16 total(const pairs *p) { return v16_add(p->half[0], p->half[1]); }

/* acc += bias + vec + residual; the unit's sums of the result. h and w: the unit's, as constants if it is whole. */
static inline void finish_values(const sige_epilogue *e, const sige_unit *unit, int h, int w, int channel, v16_width n,
                                 float *acc, const sige_reads *reads, float *sums) {
    v16 add = {{0}, {0}};
    pairs sum = {{add, add}}, squares = {{add, add}};
    if (e->bias)
        add = v16_load(e->bias + channel, n);
    if (e->vec)
        add = v16_add(add, v16_load(e->vec + unit->image * e->vec_stride + channel, n));
    for (int y = 0; y < h; y++) {
        v16 part[2] = {{{0}, {0}}, {{0}, {0}}}, part_squares[2] = {{{0}, {0}}, {{0}, {0}}};
        for (int x = 0; x < w; x++, acc += SIGE_PANEL) {
            const float *residual = e->has_residual ? reads->residual[y * w + x] : NULL;
            v16 v = v16_add(v16_load(acc, V16_FULL), add);
            if (residual)
                v = v16_add(v, v16_load(residual + channel, n));
            v16_store(acc, v, V16_FULL);
            part[x >> 1] = v16_add(part[x >> 1], v);
            part_squares[x >> 1] = v16_fma(v, v, part_squares[x >> 1]);
        }
        add_row(&sum, y, part);
        add_row(&squares, y, part_squares);
    }
    if (sums) {
        v16_store(sums + channel, total(&sum), n);
        v16_store(sums + e->c + channel, total(&squares), n);
    }
}

static void write(const sige_epilogue *e, const sige_target *t, const sige_unit *unit, int channel, v16_width n,
                  const float *acc, const float *const *gamma, const float *const *beta) {
    const v16 one = {v8_splat(1.0f), v8_splat(1.0f)};
    v16 scale = {{0}, {0}}, shift = scale;
    if (t->scale) {
        scale = v16_load(t->scale + unit->image * t->stride + channel, n);
        shift = v16_load(t->shift + unit->image * t->stride + channel, n);
    }
    float *dst = t->dst + unit->at * e->c + channel;
    for (int y = 0, i = 0; y < unit->h; y++)
        for (int x = 0; x < unit->w; x++, i++, acc += SIGE_PANEL) {
            v16 v = v16_load(acc, V16_FULL);
            if (t->scale)
                v = v16_fma(v, scale, shift);
            if (t->modulated && gamma[i])
                v = v16_fma(v, v16_add(one, v16_load(gamma[i] + channel, n)), v16_load(beta[i] + channel, n));
            v.a = sige_activate(v.a, t->act), v.b = sige_activate(v.b, t->act);
            v16_store(dst + (y * unit->row + x) * e->c, v, n);
        }
}

static void write_outside(const sige_epilogue *e, const sige_unit *unit, int channel, v16_width n) {
    for (int i = 0; i < e->n_targets; i++)
        for (int y = 0; y < unit->full_h; y++)
            for (int x = y < unit->h ? unit->w : 0; x < unit->full_w; x++)
                v16_store(e->target[i].dst + (unit->at + y * unit->row + x) * e->c + channel, (v16){{0}, {0}}, n);
}

void sige_epilogue_unit(const sige_epilogue *e, const sige_unit *unit, int panel, float *acc, const sige_reads *reads,
                        float *sums) {
    const int channel = panel * SIGE_PANEL;
    const v16_width n = v16_width_at(channel, e->c);
    if (unit->h == SIGE_UNIT && unit->w == SIGE_UNIT)
        finish_values(e, unit, SIGE_UNIT, SIGE_UNIT, channel, n, acc, reads, sums);
    else
        finish_values(e, unit, unit->h, unit->w, channel, n, acc, reads, sums);
    for (int i = 0; i < e->n_targets; i++)
        write(e, &e->target[i], unit, channel, n, acc, reads->gamma[i], reads->beta[i]);
    if (e->tiled && (unit->h < unit->full_h || unit->w < unit->full_w))
        write_outside(e, unit, channel, n);
}
