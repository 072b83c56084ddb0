#include "window.h"

#include <string.h>

#include "activation.h"

sige_view sige_view_of(const sige_tensor *t, void *const *slots) {
    sige_view v = {.n = t->n, .h = t->h, .w = t->w, .c = t->c, .tile = t->tile};
    if (t->stored && t->base != SIGE_NONE) {
        v.stored = slots[t->base];
        v.tile_bytes = sige_tile_bytes(v.stored->codec, t->tile, t->c);
    } else {
        v.base = sige_slot(slots, t->base);
    }
    v.blocks = sige_slot(slots, t->blocks);
    if (t->grid != SIGE_NONE)
        v.grid = slots[t->grid];
    if (v.grid || v.stored) {
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
                     .raw = s->raw,
                     .modulated = s->has_mod};
    if (s->has_mod)
        in.mod = sige_mod_of(&s->mod, slots);
    return in;
}

/* A run is some pixels that follow one another in memory. */
typedef struct run {
    sige_pixel first; /* without data: the tensor does not hold them */
    int pixels;
    int64_t below; /* floats from one to the pixel below it, in the plane or in the tile */
    bool base;
} run;

/* Finds pixel (y, x), and at most `most` - 1 to its right. */
static run locate(const sige_view *v, int image, int y, int x, int most) {
    run r = {.pixels = sige_min(most, v->w - x), .below = (int64_t)v->w * v->c, .base = true};
    if (v->grid || v->stored) {
        const int tile_y = y / v->tile, tile_x = x / v->tile, in_y = y - tile_y * v->tile, in_x = x - tile_x * v->tile;
        const int64_t number = ((int64_t)image * v->tiles_y + tile_y) * v->tiles_x + tile_x;
        const int32_t block = v->grid ? v->grid[number] : -1;
        const int64_t in_tile = (int64_t)in_y * v->tile + in_x;
        r.pixels = sige_min(r.pixels, v->tile - in_x);
        if (block >= 0) {
            r.base = false, r.below = (int64_t)v->tile * v->c;
            r.first.data = v->blocks + ((int64_t)block * v->tile * v->tile + in_tile) * v->c;
            return r;
        }
        if (v->stored) {
            r.below = (int64_t)v->tile * v->c;
            const int64_t at = v->stored->index ? v->stored->index[number] : number;
            if (at >= 0)
                r.first =
                    sige_stored_pixel(v->stored->codec, v->stored->tiles + (size_t)at * v->tile_bytes, v->c, in_tile);
            return r;
        }
    }
    if (v->base)
        r.first.data = v->base + (((int64_t)image * v->h + y) * v->w + x) * v->c;
    return r;
}

sige_pixel sige_find_pixel(const sige_view *v, int image, int y, int x) { return locate(v, image, y, x, 1).first; }

/* Finds gamma and beta of pixel (y, x) and of some to its right; returns of how many. */
static int locate_mod(const sige_mod *m, int image, int y, int x, int most, sige_pixel *gamma, sige_pixel *beta) {
    const run g = locate(&m->gamma, image, y, x, most), b = locate(&m->beta, image, y, x, g.pixels);
    const bool held = g.first.data && b.first.data;
    *gamma = held ? g.first : (sige_pixel){0};
    *beta = held ? b.first : (sige_pixel){0};
    return b.pixels;
}

void sige_find_mod(const sige_mod *m, int image, int y, int x, sige_pixel *gamma, sige_pixel *beta) {
    locate_mod(m, image, y, x, 1, gamma, beta);
}

static void zero(float *dst, size_t floats) { memset(dst, 0, floats * sizeof(float)); }

/* A pixel goes through these, but for those that are NULL. */
typedef struct treatment {
    const float *scale, *shift;
    const sige_mod *mod;
    sige_pixel gamma, beta;
    int act;
} treatment;

/* Treats channels k ... k + n - 1 of a pixel, at most a vector. */
static inline void treat(const treatment *t, vfloat x, int k, int n, int act, float *dst) {
    if (t->scale)
        x = x * v_some(t->scale + k, n) + v_some(t->shift + k, n);
    if (t->mod)
        x = x * (v_splat(1.0f) + sige_channels(&t->mod->gamma, t->gamma, t->mod->gamma_first + k, n)) +
            sige_channels(&t->mod->beta, t->beta, t->mod->beta_first + k, n);
    v_put(dst + k, sige_activate(x, act), n);
}

/* The pixel below lies `below` floats further on. It will be wanted soon, and the hardware does not expect that. */
static inline void treat_floats(const treatment *t, const float *src, int c, int64_t below, int act, float *dst) {
    int k = 0;
    for (; k + SIGE_LANES <= c; k += SIGE_LANES) {
        __builtin_prefetch(src + k + below);
        treat(t, v_load(src + k), k, SIGE_LANES, act, dst);
    }
    if (k < c)
        treat(t, v_load_n(src + k, c - k), k, c - k, act, dst);
}

static inline void treat_coded(const treatment *t, const sige_view *v, sige_pixel src, int act, float *dst) {
    for (int k = 0; k < v->c; k += SIGE_LANES) {
        const int n = sige_min(SIGE_LANES, v->c - k);
        treat(t, sige_channels(v, src, k, n), k, n, act, dst);
    }
}

static void treat_pixel(const treatment *t, const sige_view *v, sige_pixel src, int64_t below, float *dst) {
#define TREAT_AS(act)                                                                                                  \
    do {                                                                                                               \
        if (src.tile)                                                                                                  \
            treat_coded(t, v, src, act, dst);                                                                          \
        else                                                                                                           \
            treat_floats(t, src.data, v->c, below, act, dst);                                                          \
    } while (0)
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
    for (int i = 0; i < floats; i += SIGE_LINE)
        __builtin_prefetch(src + i);
}

/* Reads columns x ... x + w - 1 of row y, all inside the image; returns how many were read, at least one. */
static int read_some(const sige_input *in, int image, int y, int x, int w, float *dst) {
    const sige_view *v = &in->x;
    const int up = in->resample > 0;
    const size_t row = (size_t)v->c;
    shown s = show(in, image, y, x, w);
    const sige_pixel first = s.run.first;
    treatment t = {.act = in->act};
    if (in->scale)
        t.scale = in->scale + image * in->stride, t.shift = in->shift + image * in->stride;
    if (in->modulated) {
        t.mod = &in->mod;
        s.pixels = locate_mod(&in->mod, image, y, x, s.pixels, &t.gamma, &t.beta);
    } else if (!s.run.base && !in->raw) {
        t = (treatment){.act = SIGE_IDENTITY}; /* it is ready */
    }
    if (!first.data || (in->modulated && !t.gamma.data)) {
        zero(dst, (size_t)s.pixels * row);
    } else if (t.mod || t.scale || t.act != SIGE_IDENTITY || first.tile) {
        for (int i = 0; i < s.pixels; i++, dst += row) {
            treat_pixel(&t, v, sige_next(v, first, (s.odd + i) >> up), s.run.below, dst);
            if (in->modulated)
                t.gamma = sige_next(&in->mod.gamma, t.gamma, 1), t.beta = sige_next(&in->mod.beta, t.beta, 1);
        }
    } else if (up) {
        for (int i = 0; i < s.pixels; i++, dst += row)
            memcpy(dst, sige_next(v, first, (s.odd + i) >> 1).data, row * sizeof(float));
    } else {
        if (s.run.base)
            expect((const float *)first.data + s.run.below, s.pixels * v->c);
        memcpy(dst, first.data, (size_t)s.pixels * row * sizeof(float));
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

const float *sige_window_in_place(const sige_input *in, int image, int y, int x, int h, int w) {
    const sige_view *v = &in->x;
    if (in->resample != 0 || in->modulated || y < 0 || x < 0 || w != v->tile || y + h > v->h || x + w > v->w)
        return NULL;
    const run r = locate(v, image, y, x, w);
    const bool ready = r.base || in->raw ? !in->scale && in->act == SIGE_IDENTITY : true;
    const bool together = r.pixels == w && r.below == (int64_t)w * v->c && y % v->tile + h <= v->tile;
    if (!r.first.data || r.first.tile || !ready || !together)
        return NULL;
    expect(r.first.data, h * w * v->c);
    return r.first.data;
}
