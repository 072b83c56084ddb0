#include "sample.h"

static double value(const sample *m, int image, int y, int x, int c) {
    return oracle_depthwise(&m->s, &m->op.u.depthwise, image, y, x, c);
}

/* A plain source is read as it is, pixel by pixel, in the tiles that it is kept in. */
static sige_source plain_source(sample *m, const sige_domain *out, int c) {
    sige_source s = {.kh = 1, .kw = 1, .stride = 1, .scale = SIGE_NONE, .shift = SIGE_NONE, .raw = pick(0, 1)};
    s.x = random_tensor(&m->s, out->n, out->h, out->w, c, pick(0, 1) ? out->tile : pick(1, 4));
    return s;
}

static void random_depthwise(bool tiled, bool plain, int number) {
    static const int channels[] = {1, 3, 8, 16, 17, 32, 37, 70}, kernels[] = {1, 1, 2, 3, 3, 5, 7};
    sample m = {.n_outputs = 0};
    m.op.kind = SIGE_DEPTHWISE;
    sige_depthwise *op = &m.op.u.depthwise;
    *op =
        (sige_depthwise){.c = plain && pick(0, 1) ? 32 : channels[pick(0, 7)], .weight = SIGE_NONE, .bias = SIGE_NONE};
    pick_domain(&m, &op->out, 21, tiled);
    op->source =
        plain ? plain_source(&m, &op->out, op->c) : random_source(&m, &op->out, op->c, kernels[pick(0, 6)], tiled);
    if (pick(0, 2))
        op->weight = floats(&m.s, (int64_t)op->source.kh * op->source.kw * op->c);
    if (pick(0, 1))
        op->bias = floats(&m.s, op->c);
    op->has_residual = random_residual(&m, &op->out, op->c, tiled, &op->residual, &op->residual_resample);
    op->n_outputs = random_outputs(&m, &op->out, op->c, op->output, &op->sums);
    check_sample(&m, &op->out, op->c, op->output, op->n_outputs, op->sums, value, "depthwise", number);
}

void test_depthwise(void) {
    for (int i = 0; i < repeats(600); i++)
        random_depthwise(i % 2, i % 3 == 1, i);
}

/* Sums of equal numbers are exact, so the mean of a channel that is the same everywhere is. */
void test_exact_sums(void) {
    slots s = {.n = 0};
    sige_op op = {.kind = SIGE_DEPTHWISE};
    sige_depthwise *d = &op.u.depthwise;
    *d = (sige_depthwise){.out = {1, 32, 40, 8, 0, SIGE_NONE}, .c = 20, .weight = SIGE_NONE, .bias = SIGE_NONE};
    d->source = (sige_source){.kh = 1, .kw = 1, .stride = 1, .scale = SIGE_NONE, .shift = SIGE_NONE};
    d->source.x = (sige_tensor){1, 32, 40, 20, 4, zeros(&s, 32 * 40 * 20), SIGE_NONE, SIGE_NONE, 0};
    d->sums = zeros(&s, 20 * 2 * 20);
    float *x = at(&s, d->source.x.base);
    for (int i = 0; i < 32 * 40 * 20; i++)
        x[i] = i < 20 ? noise() : x[i % 20];
    run_everywhere(&op, &s, &d->sums, 1);
    for (int i = 0; i < 20 * 2 * 20; i++)
        CHECK(i / 20 % 2 || at(&s, d->sums)[i] == 64 * x[i % 20], "float %d", i);
    release(&s);
}
