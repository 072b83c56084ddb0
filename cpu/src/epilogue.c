#include "epilogue.h"

sige_target sige_target_of(const sige_output *o, void *const *slots) {
    return (sige_target){.dst = slots[o->dst],
                         .scale = sige_slot(slots, o->scale),
                         .shift = sige_slot(slots, o->shift),
                         .stride = o->stride,
                         .act = o->act};
}

sige_epilogue sige_epilogue_of(const sige_conv *conv, void *const *slots) {
    sige_epilogue e = {.c = conv->c_out, .n_targets = conv->n_outputs, .tiled = conv->out.list != SIGE_NONE};
    e.bias = sige_slot(slots, conv->bias);
    e.vec = sige_slot(slots, conv->vec);
    e.vec_stride = conv->vec_stride;
    for (int i = 0; i < conv->n_outputs; i++)
        e.target[i] = sige_target_of(&conv->output[i], slots);
    return e;
}

/* Sixteen floats, of which memory holds `low` and `high`: 8 and 8, but for the last panel of an odd number of channels.
 */
typedef struct v16 {
    v8 a, b;
} v16;
typedef struct width {
    int low, high;
} width;

static inline v16 load(const float *p, width n) {
    if (n.high == 8)
        return (v16){v8_load(p), v8_load(p + 8)};
    return (v16){v8_load_n(p, n.low), n.high ? v8_load_n(p + 8, n.high) : (v8){0}};
}

static inline void store(float *p, v16 v, width n) {
    if (n.high == 8) {
        v8_store(p, v.a);
        v8_store(p + 8, v.b);
    } else {
        v8_store_n(p, v.a, n.low);
        if (n.high)
            v8_store_n(p + 8, v.b, n.high);
    }
}

static const width FULL = {8, 8};

/* acc += bias + vec + residual; the unit's sums of the result. */
static void finish_values(const sige_epilogue *e, const sige_unit *unit, int channel, width n, float *acc,
                          const float *const *residual, float *sums) {
    v16 add = {{0}, {0}}, sum = add, squares = add;
    if (e->bias)
        add = load(e->bias + channel, n);
    if (e->vec) {
        v16 vec = load(e->vec + unit->image * e->vec_stride + channel, n);
        add.a += vec.a, add.b += vec.b;
    }
    for (int i = 0; i < unit->h * unit->w; i++) {
        v16 v = load(acc + i * SIGE_PANEL, FULL);
        v.a += add.a, v.b += add.b;
        if (residual && residual[i]) {
            v16 r = load(residual[i] + channel, n);
            v.a += r.a, v.b += r.b;
        }
        store(acc + i * SIGE_PANEL, v, FULL);
        sum.a += v.a, sum.b += v.b;
        squares.a += v.a * v.a, squares.b += v.b * v.b;
    }
    if (sums) {
        store(sums + channel, sum, n);
        store(sums + e->c + channel, squares, n);
    }
}

static void write(const sige_epilogue *e, const sige_target *t, const sige_unit *unit, int channel, width n,
                  const float *acc) {
    v16 scale = {{0}, {0}}, shift = scale;
    if (t->scale) {
        scale = load(t->scale + unit->image * t->stride + channel, n);
        shift = load(t->shift + unit->image * t->stride + channel, n);
    }
    float *dst = t->dst + unit->at * e->c + channel;
    for (int y = 0; y < unit->h; y++)
        for (int x = 0; x < unit->w; x++, acc += SIGE_PANEL) {
            v16 v = load(acc, FULL);
            if (t->scale)
                v.a = v.a * scale.a + shift.a, v.b = v.b * scale.b + shift.b;
            v.a = sige_activate(v.a, t->act), v.b = sige_activate(v.b, t->act);
            store(dst + (y * unit->row + x) * e->c, v, n);
        }
}

static void write_outside(const sige_epilogue *e, const sige_unit *unit, int channel, width n) {
    for (int i = 0; i < e->n_targets; i++)
        for (int y = 0; y < unit->full_h; y++)
            for (int x = y < unit->h ? unit->w : 0; x < unit->full_w; x++)
                store(e->target[i].dst + (unit->at + y * unit->row + x) * e->c + channel, (v16){{0}, {0}}, n);
}

void sige_epilogue_unit(const sige_epilogue *e, const sige_unit *unit, int panel, float *acc,
                        const float *const *residual, float *sums) {
    const int channel = panel * SIGE_PANEL, left = e->c - channel;
    const width n = {sige_min(left, 8), sige_max(sige_min(left - 8, 8), 0)};
    finish_values(e, unit, channel, n, acc, residual, sums);
    for (int i = 0; i < e->n_targets; i++)
        write(e, &e->target[i], unit, channel, n, acc);
    if (e->tiled && (unit->h < unit->full_h || unit->w < unit->full_w))
        write_outside(e, unit, channel, n);
}
