#include <math.h>
#include <string.h>

#include "sample.h"

static double *doubles(int64_t n) {
    double *p = calloc((size_t)n, sizeof *p);
    CHECK(p, "no memory");
    return p;
}

static void random_norm(void) {
    slots s = {.n = 0};
    sige_op op = {.kind = SIGE_NORM};
    sige_norm *m = &op.u.norm;
    *m = (sige_norm){.n = pick(1, 3), .groups = pick(1, 8), .n_sources = pick(1, 3), .pixels = 500, .eps = 1e-6f};
    m->recorded = SIGE_NONE;
    int total = 0;
    for (int i = 0; i < m->n_sources; i++) {
        m->c[i] = m->groups * pick(1, 5), m->tiles[i] = pick(1, 200);
        m->sums[i] = floats(&s, (int64_t)m->n * m->tiles[i] * 2 * m->c[i]);
        for (int t = 0; t < m->n * m->tiles[i]; t++) /* squares large enough for any mean */
            for (int c = 0; c < m->c[i]; c++)
                at(&s, m->sums[i])[(t * 2 + 1) * m->c[i] + c] = 2 + noise();
        total += m->c[i];
    }
    m->weight = pick(0, 2) ? floats(&s, total) : SIGE_NONE, m->bias = pick(0, 2) ? floats(&s, total) : SIGE_NONE;
    m->mod = pick(0, 1) ? floats(&s, m->n * 2 * total) : SIGE_NONE;
    m->scale = zeros(&s, m->n * total), m->shift = zeros(&s, m->n * total);
    m->moments = pick(0, 1) ? zeros(&s, m->n * 4 * m->groups) : SIGE_NONE; /* a double takes two floats */
    m->gain = m->moments == SIGE_NONE ? SIGE_NONE : zeros(&s, m->n * 4 * total);
    run_everywhere(&op, &s, (int[]){m->scale, m->shift, m->moments, m->gain}, m->gain == SIGE_NONE ? 2 : 4);
    double *sums = doubles(2 * total), *scale = doubles(m->n * total), *shift = doubles(m->n * total);
    for (int image = 0; image < m->n; image++) {
        memset(sums, 0, 2 * (size_t)total * sizeof *sums);
        for (int i = 0, first = 0; i < m->n_sources; first += m->c[i++])
            for (int t = 0; t < m->tiles[i]; t++)
                for (int k = 0; k < 2 * m->c[i]; k++)
                    sums[k / m->c[i] * total + first + k % m->c[i]] +=
                        (double)at(&s, m->sums[i])[(image * m->tiles[i] + t) * 2 * m->c[i] + k];
        for (int c = 0; c < total; c++) {
            int width = total / m->groups, first = c / width * width;
            double mean = 0, square = 0;
            for (int k = first; k < first + width; k++)
                mean += sums[k], square += sums[total + k];
            mean /= 500.0 * width, square /= 500.0 * width;
            double inverse = 1 / sqrt(square - mean * mean + (double)m->eps);
            double a = m->weight == SIGE_NONE ? inverse : (double)at(&s, m->weight)[c] * inverse;
            double b = (m->bias == SIGE_NONE ? 0 : (double)at(&s, m->bias)[c]) - mean * a;
            const float *mod = m->mod == SIGE_NONE ? NULL : at(&s, m->mod) + image * 2 * total;
            scale[image * total + c] = mod ? a * (1 + (double)mod[c]) : a;
            shift[image * total + c] = mod ? b * (1 + (double)mod[c]) + (double)mod[total + c] : b;
        }
    }
    double a = difference(at(&s, m->scale), scale, m->n * total), b = difference(at(&s, m->shift), shift, m->n * total);
    CHECK(a < 1e-6 && b < 1e-6, "%g, %g", a, b);
    for (int i = 0; m->gain != SIGE_NONE && i < m->n * total; i++) { /* the map is what moments and gain make */
        const int image = i / total, c = i % total;
        const double *moments = (double *)s.data[m->moments] + image * 2 * m->groups + c / (total / m->groups);
        const double *gain = (double *)s.data[m->gain] + image * 2 * total + c;
        const double of_scale = gain[0] / sqrt(moments[m->groups] + (double)m->eps);
        const double of_shift = gain[total] - moments[0] * of_scale;
        CHECK(at(&s, m->scale)[i] == (float)of_scale, "%g, %g", (double)at(&s, m->scale)[i], of_scale);
        CHECK(fabs((double)at(&s, m->shift)[i] - of_shift) <= 1e-6 * (fabs(of_shift) + fabs(gain[total])), "%g, %g",
              (double)at(&s, m->shift)[i], of_shift);
    }
    free(sums), free(scale), free(shift);
    release(&s);
}

/* Recorded statistics that follow some tiles are those of all tiles with these in their place. */
static void random_following(void) {
    slots s = {.n = 0};
    sige_op whole = {.kind = SIGE_NORM};
    sige_norm *m = &whole.u.norm;
    *m = (sige_norm){.n = pick(1, 3), .groups = pick(1, 4), .n_sources = pick(1, 3), .pixels = 500, .eps = 1e-6f};
    m->recorded = m->weight = m->bias = m->mod = SIGE_NONE;
    const int tiles = pick(1, 150), all = m->n * tiles;
    sige_op following = whole;
    sige_norm *f = &following.u.norm;
    int total = 0, listed = 0;
    f->grid = integers(&s, all);
    int32_t *grid = s.data[f->grid];
    for (int t = 0; t < all; t++)
        grid[t] = pick(0, 2) ? -1 : listed++;
    for (int i = 0; i < m->n_sources; i++) {
        const int c = m->c[i] = f->c[i] = m->groups * pick(1, 5);
        m->tiles[i] = f->tiles[i] = tiles;
        m->sums[i] = floats(&s, (int64_t)all * 2 * c);
        f->sums[i] = zeros(&s, (int64_t)(listed + 1) * 2 * c), f->before[i] = zeros(&s, (int64_t)(listed + 1) * 2 * c);
        for (int t = 0; t < all; t++)
            for (int k = 0; k < c; k++)
                at(&s, m->sums[i])[(t * 2 + 1) * c + k] = 2 + noise();
        total += c;
    }
    m->scale = zeros(&s, m->n * total), m->shift = zeros(&s, m->n * total);
    m->moments = zeros(&s, m->n * 4 * m->groups), m->gain = SIGE_NONE;
    run_everywhere(&whole, &s, (int[]){m->moments}, 1);
    for (int i = 0; i < m->n_sources; i++)
        for (int t = 0; t < all; t++)
            for (int k = 0; grid[t] >= 0 && k < 2 * m->c[i]; k++) {
                float *now = at(&s, m->sums[i]) + t * 2 * m->c[i] + k;
                at(&s, f->before[i])[grid[t] * 2 * m->c[i] + k] = *now;
                *now = at(&s, f->sums[i])[grid[t] * 2 * m->c[i] + k] = *now + 0.5f * noise();
            }
    f->scale = zeros(&s, m->n * total), f->shift = zeros(&s, m->n * total);
    f->moments = f->gain = SIGE_NONE;
    f->recorded = zeros(&s, m->n * 4 * m->groups);
    memcpy(s.data[f->recorded], s.data[m->moments], (size_t)m->n * 2 * (size_t)m->groups * sizeof(double));
    run_everywhere(&whole, &s, (int[]){m->scale, m->shift}, 2);
    run_everywhere(&following, &s, (int[]){f->scale, f->shift}, 2);
    for (int i = 0; i < m->n * total; i++) {
        const double scale = (double)at(&s, m->scale)[i], shift = (double)at(&s, m->shift)[i];
        const double a = (double)at(&s, f->scale)[i] - scale, b = (double)at(&s, f->shift)[i] - shift;
        CHECK(fabs(a) <= 1e-6 * fabs(scale) && fabs(b) <= 1e-6 * (1 + fabs(shift)), "%g of %g, %g of %g", a, scale, b,
              shift);
    }
    release(&s);
}

/* Finds which image, and which query of all, is number i of those that an attention has; -1 says that its pixel is
 * beyond the image. */
static int image_of(const slots *s, const sige_domain *d, int i) {
    if (d->list == SIGE_NONE)
        return i / (d->h * d->w);
    const int32_t *entry = (const int32_t *)s->data[d->list] + 3 * (i / (d->tile * d->tile));
    const int pixel = i % (d->tile * d->tile);
    const bool inside = entry[1] * d->tile + pixel / d->tile < d->h && entry[2] * d->tile + pixel % d->tile < d->w;
    return inside ? entry[0] : -1;
}

static void random_attention(bool tiled) {
    sample m = {.op.kind = SIGE_ATTENTION};
    slots *s = &m.s;
    sige_attention *a = &m.op.u.attention;
    *a = (sige_attention){.keys = pick(1, 80), .heads = pick(1, 3), .head_dim = pick(1, 40)};
    pick_domain(&m, &a->out, 9, tiled);
    const sige_domain *domain = &a->out;
    const int width = a->heads * a->head_dim, n = domain->n;
    const int queries = tiled ? domain->tiles * domain->tile * domain->tile : n * domain->h * domain->w;
    a->q_stride = width + pick(0, 4), a->k_stride = width + pick(0, 4), a->v_stride = width + pick(0, 4);
    a->scale = 4.0f / sqrtf((float)a->head_dim);
    a->q = floats(s, (int64_t)queries * a->q_stride);
    a->k = floats(s, (int64_t)n * a->keys * a->k_stride), a->v = floats(s, (int64_t)n * a->keys * a->v_stride);
    a->dst = zeros(s, (int64_t)queries * width);
    run_everywhere(&m.op, s, &a->dst, 1);
    double *want = doubles((int64_t)queries * width + 1), *p = doubles(a->keys);
    for (int row = 0; row < queries; row++)
        for (int head = 0; head < a->heads && image_of(s, domain, row) >= 0; head++) {
            const float *q = at(s, a->q) + row * a->q_stride + head * a->head_dim;
            const int first_key = image_of(s, domain, row) * a->keys;
            double most = -1e300, sum = 0;
            for (int t = 0; t < a->keys; t++) {
                const float *k = at(s, a->k) + (first_key + t) * a->k_stride + head * a->head_dim;
                p[t] = 0;
                for (int d = 0; d < a->head_dim; d++)
                    p[t] += (double)q[d] * (double)k[d] * (double)a->scale;
                most = fmax(most, p[t]);
            }
            for (int t = 0; t < a->keys; t++)
                sum += p[t] = exp(p[t] - most);
            for (int t = 0; t < a->keys; t++)
                for (int d = 0; d < a->head_dim; d++)
                    want[row * width + head * a->head_dim + d] +=
                        p[t] / sum * (double)at(s, a->v)[(first_key + t) * a->v_stride + head * a->head_dim + d];
        }
    double d = difference(at(s, a->dst), want, (int64_t)queries * width);
    CHECK(d < 3e-6, "%g", d);
    for (int i = 0; i < queries * width; i++)
        CHECK(image_of(s, domain, i / width) >= 0 || at(s, a->dst)[i] == 0, "float %d is beyond the image", i);
    free(want), free(p);
    release(s);
}

static void random_paste(void) {
    slots s = {.n = 0};
    sige_op op = {.kind = SIGE_PASTE};
    sige_tensor *x = &op.u.paste.x;
    *x = (sige_tensor){.n = pick(1, 2), .h = pick(1, 20), .w = pick(1, 20), .c = pick(1, 40), .tile = pick(1, 6)};
    int tiles = x->n * ((x->h + x->tile - 1) / x->tile) * ((x->w + x->tile - 1) / x->tile), active = 0;
    x->grid = integers(&s, tiles);
    for (int i = 0; i < tiles; i++)
        ((int32_t *)s.data[x->grid])[i] = pick(0, 1) ? active++ : -1;
    x->blocks = floats(&s, (int64_t)active * x->tile * x->tile * x->c);
    const int64_t pixels = (int64_t)x->n * x->h * x->w;
    x->stored = pick(0, 1);
    x->base = x->stored ? random_stored(&s, tiles, x->tile, x->c) : floats(&s, pixels * x->c);
    op.u.paste.dst = zeros(&s, pixels * x->c);
    run_everywhere(&op, &s, &op.u.paste.dst, 1);
    for (int64_t i = 0; i < pixels * x->c; i++) {
        int64_t pixel = i / x->c;
        double want = oracle_pixel(&s, x, (int)(pixel / (x->h * x->w)), (int)(pixel / x->w % x->h), (int)(pixel % x->w),
                                   (int)(i % x->c));
        const double got = (double)at(&s, op.u.paste.dst)[i]; /* decoding rounds to floats */
        CHECK(x->stored ? fabs(got - want) <= 1e-6 * (fabs(want) + 2) : got == want, "float %d", (int)i);
    }
    release(&s);
}

void test_norm(void) {
    for (int i = 0; i < repeats(50); i++)
        random_norm(), random_following();
}

void test_attention(void) {
    for (int i = 0; i < repeats(100); i++)
        random_attention(i % 2);
}

void test_paste(void) {
    for (int i = 0; i < repeats(50); i++)
        random_paste();
}

/* Activations by themselves, from where they are tiny to where they saturate, are off by a few units in the last
 * place. */
void test_activations(void) {
    enum { N = 4096, C = 8 };
    for (int act = 0; act < SIGE_ACTIVATIONS; act++) {
        slots s = {.n = 0};
        sige_op op = {.kind = SIGE_DEPTHWISE};
        sige_depthwise *d = &op.u.depthwise;
        *d = (sige_depthwise){.out = {1, 1, N / C, 4, 0, SIGE_NONE}, .c = C, .n_outputs = 1};
        d->weight = d->bias = d->sums = SIGE_NONE;
        d->source = (sige_source){.kh = 1, .kw = 1, .stride = 1, .scale = SIGE_NONE, .shift = SIGE_NONE};
        d->source.x = (sige_tensor){1, 1, N / C, C, 4, floats(&s, N), SIGE_NONE, SIGE_NONE, 0};
        d->output[0] = (sige_output){.dst = zeros(&s, N), .scale = SIGE_NONE, .shift = SIGE_NONE, .act = act};
        for (int i = 0; i < N; i++)
            at(&s, d->source.x.base)[i] *= i % 4 == 0 ? 1e-4f : i % 4 == 1 ? 1 : i % 4 == 2 ? 10 : 80;
        run_everywhere(&op, &s, &d->output[0].dst, 1);
        const sige_output alone = {.scale = SIGE_NONE, .shift = SIGE_NONE, .act = act};
        for (int i = 0; i < N; i++) {
            double x = (double)at(&s, d->source.x.base)[i], want = oracle_output(&s, &alone, 0, 0, 0, 0, x);
            double got = (double)at(&s, d->output[0].dst)[i];
            CHECK(fabs(got - want) <= (4e-7 + 1e-7 * fabs(x)) * fabs(want) + 1e-37, "activation %d of %g is %g, not %g",
                  act, x, got, want);
        }
        release(&s);
    }
}
