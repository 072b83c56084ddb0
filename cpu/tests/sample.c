#include "sample.h"

#include <math.h>
#include <string.h>

int random_stored(slots *s, int64_t tiles, int tile, int c) {
    const int codec = pick(0, SIGE_CODECS - 1);
    const int64_t size = (int64_t)sige_tile_bytes(codec, tile, c);
    const int data = bytes(s, tiles * size);
    uint8_t *at_tile = s->data[data];
    for (int64_t t = 0; t < tiles; t++, at_tile += size) {
        if (codec == SIGE_FLOAT32)
            for (int64_t i = 0; i < size; i += 4)
                memcpy(at_tile + i, &(float){noise()}, 4);
        else /* halves between 2^-15 and 2, scales up to 2^-7 */
            for (int64_t i = 1; i < (codec == SIGE_FLOAT16 ? size : 4 * c); i += 2) {
                const int most = codec == SIGE_INT8 && i < 2 * c ? 7 : 15;
                at_tile[i] = (uint8_t)((at_tile[i] & 0x83) | pick(0, most) << 2);
            }
    }
    const int slot = bytes(s, sizeof(sige_stored));
    sige_stored *stored = s->data[slot];
    *stored = (sige_stored){.tiles = s->data[data], .codec = codec};
    if (pick(0, 1)) {
        int32_t *index = s->data[integers(s, tiles)];
        stored->index = index;
        for (int64_t t = 0; t < tiles; t++)
            index[t] = pick(0, 4) ? (int32_t)(tiles - 1 - t) : -1;
    }
    return slot;
}

sige_tensor random_tensor(slots *s, int n, int h, int w, int c, int tile) {
    sige_tensor t = {.n = n, .h = h, .w = w, .c = c, .tile = tile ? tile : 4, .blocks = SIGE_NONE, .grid = SIGE_NONE};
    t.base = floats(s, (int64_t)n * h * w * c);
    if (!tile)
        return t;
    int tiles = n * ((h + tile - 1) / tile) * ((w + tile - 1) / tile), active = 0;
    t.grid = integers(s, tiles);
    int32_t *grid = s->data[t.grid];
    for (int i = 0; i < tiles; i++)
        grid[i] = pick(0, 2) == 0 ? active++ : -1;
    t.blocks = floats(s, (int64_t)active * tile * tile * c);
    if (pick(0, 5) == 0)
        t.base = SIGE_NONE;
    else if (pick(0, 1))
        t.stored = 1, t.base = random_stored(s, tiles, tile, c);
    if (t.stored && pick(0, 4) == 0)
        t.blocks = t.grid = SIGE_NONE;
    return t;
}

void pick_domain(sample *m, sige_domain *d, int most, bool tiled) {
    static const int tiles[] = {4, 4, 4, 2, 1, 3, 6, 8, 16};
    *d = (sige_domain){.n = pick(1, 2), .h = pick(1, most), .w = pick(1, most), .list = SIGE_NONE};
    d->tile = tiles[pick(0, most < 16 ? 7 : 8)];
    if (!tiled)
        return;
    int down = (d->h + d->tile - 1) / d->tile, across = (d->w + d->tile - 1) / d->tile, all = d->n * down * across;
    d->list = integers(&m->s, 3 * all);
    int32_t *entry = m->s.data[d->list];
    for (int i = 0; i < all; i++)
        if (pick(0, 2) == 0) {
            entry[0] = i / (down * across), entry[1] = i / across % down, entry[2] = i % across;
            entry += 3, d->tiles++;
        }
}

/* Makes a modulation of one tensor that holds both, or of two. */
static sige_modulation random_modulation(slots *s, int n, int h, int w, int c, int tile) {
    sige_modulation m = {.gamma_first = pick(0, 3)};
    if (pick(0, 1)) {
        m.beta_first = m.gamma_first + c;
        m.gamma = m.beta = random_tensor(s, n, h, w, m.beta_first + c + pick(0, 3), tile);
    } else {
        m.beta_first = pick(0, 3);
        m.gamma = random_tensor(s, n, h, w, m.gamma_first + c + pick(0, 3), tile);
        m.beta = random_tensor(s, n, h, w, m.beta_first + c, pick(0, 1) ? tile : 0);
    }
    return m;
}

static void random_affine(slots *s, int n, int c, int32_t *scale, int32_t *shift, int32_t *stride) {
    *scale = *shift = SIGE_NONE;
    if (pick(0, 1))
        return;
    *stride = pick(0, 1) * (c + pick(0, 3));
    *scale = floats(s, (int64_t)(n - 1) * *stride + c), *shift = floats(s, (int64_t)(n - 1) * *stride + c);
}

sige_source random_source(sample *m, const sige_domain *out, int c, int kernel, bool tiled) {
    sige_source v = {.kh = kernel, .kw = kernel, .stride = 1, .act = pick(0, SIGE_ACTIVATIONS - 1)};
    if (pick(0, 9) == 0)
        v.kw = pick(1, 7), v.kh = pick(1, 7);
    int h = out->h, w = out->w;
    if (pick(0, 3) == 0) {
        v.stride = 2, h *= 2, w *= 2; /* pads (0, 1, 0, 1), as DDPM's */
        if (h > 1 && pick(0, 1))
            h--;
    } else {
        v.pad_top = v.kh / 2, v.pad_left = v.kw / 2;
        if (pick(0, 5) == 0)
            v.pad_top = pick(0, v.kh), v.pad_left = pick(0, v.kw);
        if (pick(0, 2) == 0)
            v.resample = 1, h = (h + 1) / 2, w = (w + 1) / 2;
        else if (pick(0, 3) == 0)
            v.resample = -pick(1, 2), h <<= -v.resample, w <<= -v.resample;
    }
    if (pick(0, 5) == 0)
        h = pick(1, h + 3); /* of another size than the output's */
    if (pick(0, 5) == 0)
        w = pick(1, w + 3);
    v.x = random_tensor(&m->s, out->n, h, w, c, tiled ? pick(0, 2) * 2 : 0);
    random_affine(&m->s, out->n, c, &v.scale, &v.shift, &v.stride_affine);
    v.raw = pick(0, 3) == 0;
    if (pick(0, 3) == 0)
        v.pad_mode = SIGE_PAD_REFLECT;
    h = v.resample < 0 ? h >> -v.resample : h << v.resample, w = v.resample < 0 ? w >> -v.resample : w << v.resample;
    if (pick(0, 3) == 0 && h && w) {
        v.has_mod = 1;
        v.mod = random_modulation(&m->s, out->n, h, w, c, tiled ? pick(0, 2) * 2 : 0);
    }
    return v;
}

static int64_t all_tiles(const sige_domain *d) {
    return (int64_t)d->n * ((d->h + d->tile - 1) / d->tile) * ((d->w + d->tile - 1) / d->tile);
}

int random_outputs(sample *m, const sige_domain *d, int c, sige_output *outputs, int32_t *sums) {
    const bool tiled = d->list != SIGE_NONE;
    const int64_t pixels = tiled ? (int64_t)d->tiles * d->tile * d->tile : (int64_t)d->n * d->h * d->w;
    const int n = pick(1, 3);
    for (int i = 0; i < n; i++) {
        sige_output *o = &outputs[i];
        *o = (sige_output){.act = pick(0, SIGE_ACTIVATIONS - 1), .dst = zeros(&m->s, pixels * c)};
        random_affine(&m->s, d->n, c, &o->scale, &o->shift, &o->stride);
        if (pick(0, 3) == 0) {
            o->has_mod = 1;
            o->mod = random_modulation(&m->s, d->n, d->h, d->w, c, tiled ? d->tile * pick(0, 1) : 0);
        }
        m->outputs[m->n_outputs++] = o->dst;
    }
    *sums = SIGE_NONE;
    if (pick(0, 1))
        *sums = m->outputs[m->n_outputs++] = zeros(&m->s, (tiled ? d->tiles : all_tiles(d)) * 2 * c);
    return n;
}

bool random_residual(sample *m, const sige_domain *d, int c, bool tiled, sige_tensor *residual, int32_t *resample) {
    if (pick(0, 1))
        return false;
    *resample = d->h % 2 == 0 && d->w % 2 == 0 && pick(0, 1);
    *residual = random_tensor(&m->s, d->n, d->h >> *resample, d->w >> *resample, c, tiled ? d->tile * pick(0, 1) : 0);
    return true;
}

/* The comparison of an op is made of these. What is added up for a value is of order one, so that each counts at least
 * as one in the norms: where all but its rounding cancels, that is no error. */
typedef struct comparison {
    const sample *m;
    const sige_domain *out;
    int c, n_outputs;
    const sige_output *outputs;
    oracle_value *value;
    double *sums, error, norm;
    int number;
} comparison;

static bool compared(const comparison *k, int c) {
    return k->m->every == 0 || (c + k->number) % k->m->every == 0 || c == k->c - 1;
}

/* Compares a pixel; its values go into the tile's sums. */
static void compare_pixel(comparison *k, int image, int y, int x, int64_t pixel) {
    const slots *s = &k->m->s;
    const bool inside = y < k->out->h && x < k->out->w;
    for (int c = 0; c < k->c; c++) {
        if (!compared(k, c))
            continue;
        double value = inside ? k->value(k->m, image, y, x, c) : 0;
        k->sums[c] += value, k->sums[k->c + c] += value * value;
        for (int i = 0; i < k->n_outputs; i++) {
            double want = inside ? oracle_output(s, &k->outputs[i], image, y, x, c, value) : 0;
            double got = (double)at(s, k->outputs[i].dst)[pixel * k->c + c];
            CHECK(inside || got == 0, "a pixel beyond the image is %g", got);
            k->error += (got - want) * (got - want), k->norm += 1 + want * want;
        }
    }
}

void check_sample(sample *m, const sige_domain *d, int c, const sige_output *outputs, int n_outputs, int32_t sums,
                  oracle_value *value, const char *what, int number) {
    run_everywhere(&m->op, &m->s, m->outputs, m->n_outputs);
    const bool tiled = d->list != SIGE_NONE;
    const int down = (d->h + d->tile - 1) / d->tile, across = (d->w + d->tile - 1) / d->tile;
    const int64_t tiles = tiled ? d->tiles : all_tiles(d);
    comparison k = {
        .m = m, .out = d, .c = c, .n_outputs = n_outputs, .outputs = outputs, .value = value, .number = number};
    double sums_error = 0, sums_norm = 0;
    k.sums = calloc((size_t)c, 2 * sizeof *k.sums);
    CHECK(k.sums, "no memory");
    for (int t = 0; t < tiles; t++) {
        const int32_t dense[3] = {t / (down * across), t / across % down, t % across};
        const int32_t *entry = tiled ? (const int32_t *)m->s.data[d->list] + 3 * t : dense;
        memset(k.sums, 0, 2 * (size_t)c * sizeof *k.sums);
        for (int i = 0; i < d->tile * d->tile; i++) {
            int y = entry[1] * d->tile + i / d->tile, x = entry[2] * d->tile + i % d->tile;
            if (!tiled && (y >= d->h || x >= d->w))
                continue;
            int64_t pixel = tiled ? (int64_t)t * d->tile * d->tile + i : ((int64_t)entry[0] * d->h + y) * d->w + x;
            compare_pixel(&k, entry[0], y, x, pixel);
        }
        for (int o = 0; sums != SIGE_NONE && o < 2 * c; o++) {
            if (!compared(&k, o % c))
                continue;
            double got = (double)at(&m->s, sums)[(int64_t)t * 2 * c + o];
            sums_error += (got - k.sums[o]) * (got - k.sums[o]), sums_norm += d->tile * d->tile + k.sums[o] * k.sums[o];
        }
    }
    free(k.sums);
    CHECK(k.error <= 1e-10 * k.norm, "%s %d: relative RMS error %g", what, number, sqrt(k.error / k.norm));
    CHECK(sums_error <= 1e-10 * sums_norm, "%s %d: sums, %g", what, number, sqrt(sums_error / sums_norm));
    release(&m->s);
}
