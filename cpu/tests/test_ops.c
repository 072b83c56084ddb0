#include <math.h>
#include <string.h>

#include "oracle.h"

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
    int total = 0;
    for (int i = 0; i < m->n_sources; i++) {
        m->c[i] = m->groups * pick(1, 5), m->tiles[i] = pick(1, 200);
        m->sums[i] = floats(&s, (int64_t)m->n * m->tiles[i] * 2 * m->c[i]);
        for (int t = 0; t < m->n * m->tiles[i]; t++) /* squares large enough for any mean */
            for (int c = 0; c < m->c[i]; c++)
                at(&s, m->sums[i])[(t * 2 + 1) * m->c[i] + c] = 2 + noise();
        total += m->c[i];
    }
    m->weight = floats(&s, total), m->bias = floats(&s, total);
    m->scale = zeros(&s, m->n * total), m->shift = zeros(&s, m->n * total);
    run_everywhere(&op, &s, (int[]){m->scale, m->shift}, 2);
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
            scale[image * total + c] = (double)at(&s, m->weight)[c] * inverse;
            shift[image * total + c] = (double)at(&s, m->bias)[c] - mean * scale[image * total + c];
        }
    }
    double a = difference(at(&s, m->scale), scale, m->n * total), b = difference(at(&s, m->shift), shift, m->n * total);
    CHECK(a < 1e-6 && b < 1e-6, "%g, %g", a, b);
    free(sums), free(scale), free(shift);
    release(&s);
}

static void random_pointwise(void) {
    slots s = {.n = 0};
    sige_op op = {.kind = SIGE_POINTWISE};
    sige_pointwise *p = &op.u.pointwise;
    *p = (sige_pointwise){.n = pick(1, 3), .rows = pick(0, 300), .c = pick(1, 70), .n_outputs = pick(1, 4)};
    const int64_t size = (int64_t)p->n * p->rows * p->c;
    p->src = floats(&s, size);
    p->residual = pick(0, 1) ? floats(&s, size) : SIGE_NONE;
    int outputs[SIGE_MAX_OUTPUTS];
    for (int i = 0; i < p->n_outputs; i++) {
        sige_output *o = &p->output[i];
        *o = (sige_output){.dst = zeros(&s, size), .scale = SIGE_NONE, .shift = SIGE_NONE, .act = pick(0, 1)};
        outputs[i] = o->dst;
        if (pick(0, 1))
            continue;
        o->stride = pick(0, 1) * p->c;
        o->scale = floats(&s, (int64_t)p->n * p->c), o->shift = floats(&s, (int64_t)p->n * p->c);
    }
    run_everywhere(&op, &s, outputs, p->n_outputs);
    double *want = doubles(size + 1);
    for (int i = 0; i < p->n_outputs; i++) {
        for (int64_t k = 0; k < size; k++) {
            double v = (double)at(&s, p->src)[k] + (p->residual == SIGE_NONE ? 0 : (double)at(&s, p->residual)[k]);
            want[k] = oracle_output(&s, &p->output[i], (int)(k / ((int64_t)p->rows * p->c)), (int)(k % p->c), v);
        }
        double d = difference(at(&s, p->output[i].dst), want, size);
        CHECK(d < 1e-6, "output %d: %g", i, d);
    }
    if (size) { /* in place: the first output's values again, written over src */
        float *copy = malloc((size_t)size * sizeof(float));
        CHECK(copy, "no memory");
        memcpy(copy, at(&s, p->output[0].dst), (size_t)size * sizeof(float));
        p->output[0].dst = p->src;
        sige_pool *pool = sige_pool_create(2);
        CHECK(!sige_run(pool, &op, 1, s.data, s.n, NULL), "%s", sige_last_error());
        CHECK(!memcmp(copy, at(&s, p->src), (size_t)size * sizeof(float)), "in place is not the same");
        sige_pool_destroy(pool);
        free(copy);
    }
    free(want);
    release(&s);
}

static void random_attention(void) {
    slots s = {.n = 0};
    sige_op op = {.kind = SIGE_ATTENTION};
    sige_attention *a = &op.u.attention;
    *a = (sige_attention){
        .n = pick(1, 2), .queries = pick(0, 60), .keys = pick(1, 80), .heads = pick(1, 3), .head_dim = pick(1, 40)};
    const int width = a->heads * a->head_dim;
    a->q_stride = width + pick(0, 4), a->k_stride = width + pick(0, 4), a->v_stride = width + pick(0, 4);
    a->scale = 4.0f / sqrtf((float)a->head_dim);
    a->q = floats(&s, (int64_t)a->n * a->queries * a->q_stride);
    a->k = floats(&s, (int64_t)a->n * a->keys * a->k_stride), a->v = floats(&s, (int64_t)a->n * a->keys * a->v_stride);
    a->out = zeros(&s, (int64_t)a->n * a->queries * width);
    run_everywhere(&op, &s, &a->out, 1);
    double *want = doubles((int64_t)a->n * a->queries * width + 1), *p = doubles(a->keys);
    for (int row = 0; row < a->n * a->queries; row++)
        for (int head = 0; head < a->heads; head++) {
            const float *q = at(&s, a->q) + row * a->q_stride + head * a->head_dim;
            const int first_key = row / a->queries * a->keys;
            double most = -1e300, sum = 0;
            for (int t = 0; t < a->keys; t++) {
                const float *k = at(&s, a->k) + (first_key + t) * a->k_stride + head * a->head_dim;
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
                        p[t] / sum * (double)at(&s, a->v)[(first_key + t) * a->v_stride + head * a->head_dim + d];
        }
    double d = difference(at(&s, a->out), want, (int64_t)a->n * a->queries * width);
    CHECK(d < 3e-6, "%g", d);
    free(want), free(p);
    release(&s);
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
    x->base = floats(&s, pixels * x->c);
    op.u.paste.dst = zeros(&s, pixels * x->c);
    run_everywhere(&op, &s, &op.u.paste.dst, 1);
    for (int64_t i = 0; i < pixels * x->c; i++) {
        int64_t pixel = i / x->c;
        double want = oracle_pixel(&s, x, (int)(pixel / (x->h * x->w)), (int)(pixel / x->w % x->h), (int)(pixel % x->w),
                                   (int)(i % x->c));
        CHECK((double)at(&s, op.u.paste.dst)[i] == want, "float %d", (int)i);
    }
    release(&s);
}

void test_norm(void) {
    for (int i = 0; i < repeats(50); i++)
        random_norm();
}

void test_pointwise(void) {
    for (int i = 0; i < repeats(50); i++)
        random_pointwise();
}

void test_attention(void) {
    for (int i = 0; i < repeats(50); i++)
        random_attention();
}

void test_paste(void) {
    for (int i = 0; i < repeats(50); i++)
        random_paste();
}

void test_timestep(void) {
    slots s = {.n = 0};
    sige_op op = {.kind = SIGE_TIMESTEP};
    sige_timestep *t = &op.u.timestep;
    *t = (sige_timestep){.n = 2, .dim = 10, .max_period = 10000, .t = zeros(&s, 2), .out = zeros(&s, 20)};
    at(&s, t->t)[0] = 490, at(&s, t->t)[1] = 3;
    run_everywhere(&op, &s, &t->out, 1);
    for (int i = 0; i < 20; i++) {
        double phase = (double)at(&s, t->t)[i / 10] * pow(10000, -(i % 5) / 4.0);
        double want = i % 10 < 5 ? sin(phase) : cos(phase);
        CHECK(fabs((double)at(&s, t->out)[i] - want) < 1e-6, "float %d: %g, not %g", i, (double)at(&s, t->out)[i],
              want);
    }
    release(&s);
}
