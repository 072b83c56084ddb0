#include <math.h>
#include <string.h>

#include "oracle.h"

/* One random convolution: its op, weights, and the slots its results are in. */
typedef struct sample {
    slots s;
    sige_op op;
    sige_weights weights[SIGE_MAX_SOURCES];
    int outputs[SIGE_MAX_OUTPUTS + 1], n_outputs;
} sample;

static const int channels[] = {1, 3, 5, 8, 16, 17, 37, 48, 64};

/* n, h, w, c of a dense tensor, or of one of which about a third of the tiles are active. */
static sige_tensor random_tensor(slots *s, int n, int h, int w, int c, int tile) {
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
    return t;
}

static void add_source(sample *m, sige_conv *conv, int c, int kernel, int tiled) {
    sige_source *v = &conv->source[conv->n_sources];
    *v = (sige_source){
        .kh = kernel, .kw = kernel, .stride = 1, .scale = SIGE_NONE, .shift = SIGE_NONE, .act = pick(0, 1)};
    if (pick(0, 9) == 0)
        v->kw = pick(1, 7), v->kh = pick(1, 7);
    int h = conv->out.h, w = conv->out.w;
    if (pick(0, 3) == 0) {
        v->stride = 2, h *= 2, w *= 2; /* pads (0, 1, 0, 1), as DDPM's */
        if (h > 1 && pick(0, 1))
            h--;
    } else {
        v->pad_top = v->kh / 2, v->pad_left = v->kw / 2;
        if (pick(0, 5) == 0)
            v->pad_top = pick(0, v->kh), v->pad_left = pick(0, v->kw);
        if (pick(0, 2) == 0)
            v->upsample = 1, h = (h + 1) / 2, w = (w + 1) / 2;
    }
    if (pick(0, 5) == 0)
        h = pick(1, h + 3); /* of another size than the output's */
    if (pick(0, 5) == 0)
        w = pick(1, w + 3);
    v->x = random_tensor(&m->s, conv->out.n, h, w, c, tiled ? pick(0, 2) * 2 : 0);
    if (pick(0, 1)) {
        v->stride_affine = pick(0, 1) * (c + pick(0, 3));
        v->scale = floats(&m->s, (int64_t)(conv->out.n - 1) * v->stride_affine + c);
        v->shift = floats(&m->s, (int64_t)(conv->out.n - 1) * v->stride_affine + c);
    }
    sige_weights *k = &m->weights[conv->n_sources++];
    k->c_first = pick(0, 1) * 2, k->c_total = c + k->c_first + pick(0, 2);
    k->data = at(&m->s, floats(&m->s, (int64_t)conv->c_out * v->kh * v->kw * k->c_total));
}

static void add_output(sample *m, sige_conv *conv, int64_t size) {
    sige_output *o = &conv->output[conv->n_outputs++];
    *o = (sige_output){.scale = SIGE_NONE, .shift = SIGE_NONE, .act = pick(0, 1)};
    if (pick(0, 1)) {
        o->stride = pick(0, 1) * (conv->c_out + pick(0, 3));
        int64_t n = (int64_t)(conv->out.n - 1) * o->stride + conv->c_out;
        o->scale = floats(&m->s, n), o->shift = floats(&m->s, n);
    }
    o->dst = zeros(&m->s, size);
    m->outputs[m->n_outputs++] = o->dst;
}

static void pick_domain(sample *m, sige_domain *d, int most, int tiled) {
    static const int tiles[] = {4, 4, 4, 2, 1, 3, 6, 8, 16};
    *d = (sige_domain){
        .n = pick(1, 2), .h = pick(1, most), .w = pick(1, most), .tile = tiles[pick(0, 8)], .list = SIGE_NONE};
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

static sample random_conv(int c, int c_out, int n_sources, int kernel, int tiled) {
    sample m = {.n_outputs = 0};
    m.op.kind = SIGE_CONV;
    sige_conv *conv = &m.op.u.conv;
    *conv = (sige_conv){.c_out = c_out, .bias = SIGE_NONE, .vec = SIGE_NONE, .sums = SIGE_NONE};
    pick_domain(&m, &conv->out, c ? 9 : 21, tiled);
    const sige_domain *d = &conv->out;
    for (int i = 0; i < n_sources; i++)
        add_source(&m, conv, c ? c : channels[pick(0, 8)], pick(0, 2) || c ? kernel : 4 - kernel, tiled);
    if (pick(0, 3))
        conv->bias = floats(&m.s, conv->c_out);
    if (pick(0, 1)) {
        conv->vec_stride = pick(0, 1) * (conv->c_out + 1);
        conv->vec = floats(&m.s, (int64_t)(d->n - 1) * conv->vec_stride + conv->c_out);
    }
    if (pick(0, 1)) {
        conv->has_residual = 1;
        conv->residual = random_tensor(&m.s, d->n, d->h, d->w, conv->c_out, tiled ? d->tile * pick(0, 1) : 0);
    }
    int64_t all = (int64_t)d->n * ((d->h + d->tile - 1) / d->tile) * ((d->w + d->tile - 1) / d->tile);
    int64_t pixels = tiled ? (int64_t)d->tiles * d->tile * d->tile : (int64_t)d->n * d->h * d->w;
    int n_outputs = pick(1, 3);
    for (int i = 0; i < n_outputs; i++)
        add_output(&m, conv, pixels * conv->c_out);
    if (pick(0, 1)) {
        conv->sums = zeros(&m.s, (tiled ? d->tiles : all) * 2 * conv->c_out);
        m.outputs[m.n_outputs++] = conv->sums;
    }
    conv->weight = zeros(&m.s, (int64_t)sige_pack_size(conv));
    sige_pack(conv, m.weights, at(&m.s, conv->weight));
    return m;
}

/* Compares pixel (dy, dx) of a tile with the oracle; its values go into the tile's sums. */
static void compare_pixel(const sample *m, int image, int y, int x, int64_t pixel, double *sums, double *error,
                          double *norm) {
    const sige_conv *conv = &m->op.u.conv;
    for (int o = 0; o < conv->c_out; o++) {
        bool inside = y < conv->out.h && x < conv->out.w;
        double value = inside ? oracle_conv(&m->s, conv, m->weights, image, y, x, o) : 0;
        sums[o] += value, sums[conv->c_out + o] += value * value;
        for (int i = 0; i < conv->n_outputs; i++) {
            double want = inside ? oracle_output(&m->s, &conv->output[i], image, o, value) : 0;
            double got = (double)at(&m->s, conv->output[i].dst)[pixel * conv->c_out + o];
            CHECK(inside || got == 0, "a pixel beyond the image is %g", got);
            *error += (got - want) * (got - want), *norm += want * want;
        }
    }
}

static void compare(const sample *m, int number) {
    const sige_conv *conv = &m->op.u.conv;
    const sige_domain *d = &conv->out;
    const bool tiled = d->list != SIGE_NONE;
    const int down = (d->h + d->tile - 1) / d->tile, across = (d->w + d->tile - 1) / d->tile;
    const int tiles = tiled ? d->tiles : d->n * down * across;
    double error = 0, norm = 0, sums_error = 0, sums_norm = 0, *sums = calloc((size_t)conv->c_out, 2 * sizeof *sums);
    CHECK(sums, "no memory");
    for (int t = 0; t < tiles; t++) {
        const int32_t dense[3] = {t / (down * across), t / across % down, t % across};
        const int32_t *entry = tiled ? (const int32_t *)m->s.data[d->list] + 3 * t : dense;
        memset(sums, 0, 2 * (size_t)conv->c_out * sizeof *sums);
        for (int i = 0; i < d->tile * d->tile; i++) {
            int y = entry[1] * d->tile + i / d->tile, x = entry[2] * d->tile + i % d->tile;
            if (!tiled && (y >= d->h || x >= d->w))
                continue;
            int64_t pixel = tiled ? (int64_t)t * d->tile * d->tile + i : ((int64_t)entry[0] * d->h + y) * d->w + x;
            compare_pixel(m, entry[0], y, x, pixel, sums, &error, &norm);
        }
        for (int o = 0; conv->sums != SIGE_NONE && o < 2 * conv->c_out; o++) {
            double got = (double)at(&m->s, conv->sums)[(int64_t)t * 2 * conv->c_out + o];
            sums_error += (got - sums[o]) * (got - sums[o]), sums_norm += sums[o] * sums[o];
        }
    }
    free(sums);
    CHECK(error <= 25e-12 * norm, "convolution %d: relative RMS error %g", number, sqrt(error / norm));
    CHECK(sums_error <= 25e-12 * sums_norm, "convolution %d: sums, %g", number, sqrt(sums_error / sums_norm));
}

static void check_conv(sample m, int number) {
    run_everywhere(&m.op, &m.s, m.outputs, m.n_outputs);
    compare(&m, number);
    release(&m.s);
}

static void random_convs(int tiled) {
    for (int i = 0; i < repeats(300); i++)
        check_conv(random_conv(0, channels[pick(0, 8)], pick(1, 3), pick(0, 1) ? 3 : 1, tiled), i);
}

void test_conv(void) { random_convs(0); }
void test_conv_tiles(void) { random_convs(1); }

/* Filters of all sizes that the packing tells apart, and more channels than are multiplied at a time. */
void test_conv_deep(void) {
    static const int shapes[][2] = {{300, 80}, {280, 240}, {700, 32}, {560, 400}};
    for (int i = 0; i < repeats(16); i++)
        check_conv(random_conv(shapes[i % 4][0], shapes[i % 4][1], 1, i < 12 ? 3 : 1, i / 4 % 2), i);
}
