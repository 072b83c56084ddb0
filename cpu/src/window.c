#include "window.h"

#include <string.h>

#include "activation.h"

sige_view sige_view_of(const sige_tensor *t, void *const *slots) {
    sige_view v = {.n = t->n, .h = t->h, .w = t->w, .c = t->c, .tile = t->tile};
    v.base = sige_slot(slots, t->base);
    v.blocks = sige_slot(slots, t->blocks);
    if (t->grid != SIGE_NONE) {
        v.grid = slots[t->grid];
        v.tiles_y = (int32_t)sige_ceil_div(t->h, t->tile);
        v.tiles_x = (int32_t)sige_ceil_div(t->w, t->tile);
    }
    return v;
}

sige_mod sige_mod_of(const sige_modulation *m, void *const *slots) {
    return (sige_mod){.gamma = sige_view_of(&m->gamma, slots),
                      .beta = sige_view_of(&m->beta, slots),
                      .gamma_first = m->gamma_first,
                      .beta_first = m->beta_first};
}

sige_input sige_input_of(const sige_source *s, void *const *slots) {
    sige_input in = {.x = sige_view_of(&s->x, slots),
                     .resample = s->resample,
                     .reflect = s->pad_mode == SIGE_PAD_REFLECT,
                     .scale = sige_slot(slots, s->scale),
                     .shift = sige_slot(slots, s->shift),
                     .stride = s->stride_affine,
                     .act = s->act,
                     .modulated = s->has_mod};
    if (s->has_mod)
        in.mod = sige_mod_of(&s->mod, slots);
    return in;
}

/* A run is some pixels that follow one another in memory. */
typedef struct run {
    const float *data; /* NULL: the tensor does not hold them */
    int pixels;
    bool base;
} run;

/* Finds pixel (y, x), and at most `most` - 1 to its right. */
static run locate(const sige_view *v, int image, int y, int x, int most) {
    run r = {.pixels = sige_min(most, v->w - x), .base = true};
    if (v->grid) {
        const int tile_y = y / v->tile, tile_x = x / v->tile, in_y = y - tile_y * v->tile, in_x = x - tile_x * v->tile;
        const int32_t *grid = v->grid + ((int64_t)image * v->tiles_y + tile_y) * v->tiles_x;
        r.pixels = sige_min(r.pixels, v->tile - in_x);
        if (grid[tile_x] >= 0) {
            r.base = false;
            r.data = v->blocks + (((int64_t)grid[tile_x] * v->tile + in_y) * v->tile + in_x) * v->c;
            return r;
        }
    }
    if (v->base)
        r.data = v->base + (((int64_t)image * v->h + y) * v->w + x) * v->c;
    return r;
}

const float *sige_pixel(const sige_view *v, int image, int y, int x) { return locate(v, image, y, x, 1).data; }

/* Finds gamma and beta of pixel (y, x) and of some to its right; returns of how many. */
static int locate_mod(const sige_mod *m, int image, int y, int x, int most, const float **gamma, const float **beta) {
    const run g = locate(&m->gamma, image, y, x, most), b = locate(&m->beta, image, y, x, g.pixels);
    const bool held = g.data && b.data;
    *gamma = held ? g.data + m->gamma_first : NULL;
    *beta = held ? b.data + m->beta_first : NULL;
    return b.pixels;
}

void sige_mod_pixel(const sige_mod *m, int image, int y, int x, const float **gamma, const float **beta) {
    locate_mod(m, image, y, x, 1, gamma, beta);
}

static void zero(float *dst, size_t floats) { memset(dst, 0, floats * sizeof(float)); }

/* A pixel goes through these, but for those that are NULL. */
typedef struct treatment {
    const float *scale, *shift, *gamma, *beta;
    int act;
} treatment;

/* Treats channels k ... k + n - 1 of a pixel, at most a vector. */
static inline void treat(treatment t, const float *src, int k, int n, int act, float *dst) {
    vfloat x = v_some(src + k, n);
    if (t.scale)
        x = x * v_some(t.scale + k, n) + v_some(t.shift + k, n);
    if (t.gamma)
        x = x * (v_splat(1.0f) + v_some(t.gamma + k, n)) + v_some(t.beta + k, n);
    v_put(dst + k, sige_activate(x, act), n);
}

/* The pixel below lies `below` floats further on. It will be wanted soon, and the hardware does not expect that. */
static inline void treat_channels(treatment t, const float *src, int c, int64_t below, int act, float *dst) {
    int k = 0;
    for (; k + SIGE_LANES <= c; k += SIGE_LANES) {
        __builtin_prefetch(src + k + below);
        treat(t, src, k, SIGE_LANES, act, dst);
    }
    if (k < c)
        treat(t, src, k, c - k, act, dst);
}

static void treat_pixel(const treatment *t, const float *src, int c, int64_t below, float *dst) {
#define TREAT_AS(act) treat_channels(*t, src, c, below, act, dst)
    SIGE_WITH_CONSTANT_ACT(t->act, TREAT_AS)
#undef TREAT_AS
}

/* This is the part of a row that one run of the tensor shows: `pixels` of them. The first one is `odd` if it is the
 * right one of two that show the same. */
typedef struct shown {
    run run;
    int pixels, odd;
} shown;

static shown show(const sige_input *in, int image, int y, int x, int w) {
    shown s = {.odd = 0};
    if (in->resample > 0) {
        s.odd = x & 1;
        s.run = locate(&in->x, image, y >> 1, x >> 1, w / 2 + 1);
        s.pixels = sige_min(2 * s.run.pixels - s.odd, w);
    } else if (in->resample == 0) {
        s.run = locate(&in->x, image, y, x, w);
        s.pixels = s.run.pixels;
    } else {
        s.run = locate(&in->x, image, y << -in->resample, x << -in->resample, 1);
        s.pixels = 1;
    }
    return s;
}

static void expect(const float *src, int floats) {
    enum { LINE = 16 }; /* floats of a cache line */
    for (int i = 0; i < floats; i += LINE)
        __builtin_prefetch(src + i);
}

/* Reads columns x ... x + w - 1 of row y, all inside the image; returns how many were read, at least one. */
static int read_some(const sige_input *in, int image, int y, int x, int w, float *dst) {
    const int c = in->x.c, up = in->resample > 0;
    const size_t row = (size_t)c;
    shown s = show(in, image, y, x, w);
    treatment t = {.act = in->act};
    if (in->scale)
        t.scale = in->scale + image * in->stride, t.shift = in->shift + image * in->stride;
    if (in->modulated)
        s.pixels = locate_mod(&in->mod, image, y, x, s.pixels, &t.gamma, &t.beta);
    if (!s.run.data || (in->modulated && !t.gamma)) {
        zero(dst, (size_t)s.pixels * row);
    } else if (in->modulated || (s.run.base && (in->scale || in->act != SIGE_IDENTITY))) {
        for (int i = 0; i < s.pixels; i++, dst += row) {
            treat_pixel(&t, s.run.data + (size_t)((s.odd + i) >> up) * row, c, (int64_t)in->x.w * c, dst);
            if (in->modulated)
                t.gamma += in->mod.gamma.c, t.beta += in->mod.beta.c;
        }
    } else if (up) {
        for (int i = 0; i < s.pixels; i++, dst += row)
            memcpy(dst, s.run.data + (size_t)((s.odd + i) >> 1) * row, row * sizeof(float));
    } else {
        if (s.run.base)
            expect(s.run.data + (int64_t)in->x.w * c, s.pixels * c);
        memcpy(dst, s.run.data, (size_t)s.pixels * row * sizeof(float));
    }
    return s.pixels;
}

/* Returns where a coordinate outside 0 ... size - 1 is reflected to, or -1 for nowhere. */
static int reflected(int at, int size) {
    at = at < 0 ? -at : 2 * (size - 1) - at;
    return at >= 0 && at < size ? at : -1;
}

/* Reads columns x ... x + w - 1 of row y, all outside the image; y is inside. */
static void read_outside(const sige_input *in, int image, int y, int x, int w, int columns, float *dst) {
    const size_t c = (size_t)in->x.c;
    for (int i = 0; i < w; i++, dst += c) {
        const int at = in->reflect ? reflected(x + i, columns) : -1;
        if (at < 0)
            zero(dst, c);
        else
            read_some(in, image, y, at, 1, dst);
    }
}

void sige_window(const sige_input *in, int image, int y, int x, int h, int w, float *dst, size_t row) {
    const size_t c = (size_t)in->x.c;
    const int rows = sige_resampled(in->x.h, in->resample), columns = sige_resampled(in->x.w, in->resample);
    const int left = sige_min(sige_max(-x, 0), w);
    const int right = sige_max(sige_min(x + w, columns) - x, left); /* of the last column inside */
    for (int i = 0; i < h; i++, dst += row) {
        int at = y + i;
        if (at < 0 || at >= rows)
            at = in->reflect ? reflected(at, rows) : -1;
        if (at < 0) {
            zero(dst, (size_t)w * c);
            continue;
        }
        read_outside(in, image, at, x, left, columns, dst);
        for (int j = left; j < right;)
            j += read_some(in, image, at, x + j, right - j, dst + (size_t)j * c);
        read_outside(in, image, at, x + right, w - right, columns, dst + (size_t)right * c);
    }
}
