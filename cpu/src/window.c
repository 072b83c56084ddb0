#include "window.h"

#include <string.h>

#include "simd.h"

sige_view sige_view_of(const sige_tensor *t, void *const *slots) {
    sige_view v = {.n = t->n, .h = t->h, .w = t->w, .c = t->c, .tile = t->tile, .act = SIGE_IDENTITY};
    v.base = sige_slot(slots, t->base);
    v.blocks = sige_slot(slots, t->blocks);
    if (t->grid != SIGE_NONE) {
        v.grid = slots[t->grid];
        v.tiles_y = (int32_t)sige_ceil_div(t->h, t->tile);
        v.tiles_x = (int32_t)sige_ceil_div(t->w, t->tile);
    }
    return v;
}

sige_view sige_view_of_source(const sige_source *s, void *const *slots) {
    sige_view v = sige_view_of(&s->x, slots);
    v.scale = sige_slot(slots, s->scale);
    v.shift = sige_slot(slots, s->shift);
    v.stride = s->stride_affine;
    v.act = s->act;
    return v;
}

/* Some pixels that follow one another in memory. */
typedef struct run {
    const float *data; /* NULL: the tensor does not hold them */
    int pixels;
    bool base;
} run;

/* Pixel (y, x), and at most `most` - 1 to its right. */
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

static void zero(float *dst, size_t floats) { memset(dst, 0, floats * sizeof(float)); }

/* Channels k ... k + n - 1 of a pixel of the base, n <= 8. */
static inline void normalise(const sige_view *v, const float *scale, const float *shift, const float *src, int k, int n,
                             float *dst) {
    v8 x = n == 8 ? v8_load(src + k) : v8_load_n(src + k, n);
    if (scale && n == 8)
        x = x * v8_load(scale + k) + v8_load(shift + k);
    else if (scale)
        x = x * v8_load_n(scale + k, n) + v8_load_n(shift + k, n);
    if (v->act == SIGE_SILU)
        x = v8_silu(x);
    if (n == 8)
        v8_store(dst + k, x);
    else
        v8_store_n(dst + k, x, n);
}

static void read_run(const sige_view *v, int image, run r, float *dst) {
    const size_t c = (size_t)v->c;
    if (!r.data) {
        zero(dst, (size_t)r.pixels * c);
    } else if (!r.base || (!v->scale && v->act == SIGE_IDENTITY)) {
        memcpy(dst, r.data, (size_t)r.pixels * c * sizeof(float));
    } else {
        const float *scale = v->scale ? v->scale + image * v->stride : NULL;
        const float *shift = v->scale ? v->shift + image * v->stride : NULL;
        for (int i = 0; i < r.pixels; i++, r.data += c, dst += c) {
            int k = 0;
            for (; k + 8 <= v->c; k += 8)
                normalise(v, scale, shift, r.data, k, 8, dst);
            if (k < v->c)
                normalise(v, scale, shift, r.data, k, v->c - k, dst);
        }
    }
}

/* Columns x ... x + w - 1 of row y, all inside the image. */
static void read_inside(const sige_view *v, int image, int y, int x, int w, int upsample, float *dst) {
    for (int i = 0; i < w;) {
        const run r = locate(v, image, y >> upsample, (x + i) >> upsample, upsample ? 1 : w - i);
        read_run(v, image, r, dst + (size_t)i * (size_t)v->c);
        i += r.pixels;
    }
}

void sige_window(const sige_view *v, int image, int y, int x, int h, int w, int upsample, float *dst, size_t row) {
    const size_t c = (size_t)v->c;
    const int rows = v->h << upsample, columns = v->w << upsample;
    const int left = sige_min(sige_max(-x, 0), w);
    const int inside = sige_max(sige_min(x + w, columns) - (x + left), 0);
    for (int i = 0; i < h; i++, dst += row) {
        if (y + i < 0 || y + i >= rows || inside == 0) {
            zero(dst, (size_t)w * c);
            continue;
        }
        zero(dst, (size_t)left * c);
        read_inside(v, image, y + i, x + left, inside, upsample, dst + (size_t)left * c);
        zero(dst + (size_t)(left + inside) * c, (size_t)(w - left - inside) * c);
    }
}
