#include <math.h>
#include <string.h>

#include "op.h"

/* Each thread adds up slices of an image's tiles, in double precision; then the slices are added up in order. */
enum { SLICE = 64 };

typedef struct norm_job {
    const sige_norm *op;
    void *const *slots;
    const int32_t *grid; /* of the tiles that the sums are of; NULL: of all */
    double *sums;        /* [image][slice][2][channels]; of listed tiles what they changed by */
    int channels, slices;
} norm_job;

static int channels_of(const sige_norm *op) {
    int c = 0;
    for (int i = 0; i < op->n_sources; i++)
        c += op->c[i];
    return c;
}

static int slices_of(const sige_norm *op) {
    int tiles = 0;
    for (int i = 0; i < op->n_sources; i++)
        tiles = sige_max(tiles, op->tiles[i]);
    return (int)sige_ceil_div(tiles, SLICE);
}

static const char *check(const sige_op *of, const sige_checker *k) {
    const sige_norm *op = &of->u.norm;
    REQUIRE(sige_within(op->n, 1, SIGE_MAX_SIZE) && op->pixels >= 1 && op->groups >= 1,
            "n, pixels and groups must be positive");
    REQUIRE(sige_within(op->n_sources, 1, SIGE_MAX_SOURCES), "n_sources must be 1 ... SIGE_MAX_SOURCES");
    int64_t channels = 0;
    for (int i = 0; i < op->n_sources; i++) {
        REQUIRE(sige_within(op->c[i], 1, SIGE_MAX_CHANNELS) && sige_within(op->tiles[i], 1, SIGE_MAX_SIZE),
                "c and tiles must be positive");
        REQUIRE(sige_has(k, op->sums[i]), "sums must be a slot");
        if (op->recorded != SIGE_NONE)
            REQUIRE(sige_has(k, op->before[i]) && op->tiles[i] == op->tiles[0],
                    "with recorded, before must be a slot, and all sources have the same tiles");
        channels += op->c[i];
    }
    REQUIRE(sige_has_or_none(k, op->recorded) && (op->recorded == SIGE_NONE || sige_has(k, op->grid)),
            "recorded must be a slot or SIGE_NONE, and with it grid a slot");
    REQUIRE(channels % op->groups == 0, "groups must divide the number of channels");
    REQUIRE(sige_has_or_none(k, op->weight) && sige_has_or_none(k, op->bias) && sige_has_or_none(k, op->mod),
            "weight, bias and mod must be slots or SIGE_NONE");
    REQUIRE(sige_has(k, op->scale) && sige_has(k, op->shift), "scale and shift must be slots");
    REQUIRE(sige_has_or_none(k, op->moments) && sige_has_or_none(k, op->gain),
            "moments and gain must be slots or SIGE_NONE");
    REQUIRE(op->eps >= 0, "eps must not be negative");
    return NULL;
}

static sige_needs plan(const sige_op *of, const int32_t *rows, void *made) {
    (void)rows, (void)made;
    const sige_norm *op = &of->u.norm;
    double floats = 0;
    for (int i = 0; i < op->n_sources; i++)
        floats += 2.0 * op->n * op->tiles[i] * op->c[i];
    size_t slices = (size_t)op->n * (size_t)slices_of(op);
    return (sige_needs){.shared = slices * 2 * (size_t)channels_of(op) * sizeof(double), .work = sige_work(0, floats)};
}

static void add_slice(void *context, int64_t item, int thread) {
    (void)thread;
    const norm_job *j = context;
    const int64_t image = item / j->slices, slice = item % j->slices;
    double *sum = j->sums + item * 2 * j->channels, *squares = sum + j->channels;
    memset(sum, 0, 2 * (size_t)j->channels * sizeof(double));
    for (int i = 0; i < j->op->n_sources; i++) {
        const int c = j->op->c[i], tiles = j->op->tiles[i];
        const int64_t first = image * tiles;
        const float *sums = j->slots[j->op->sums[i]], *before = j->grid ? j->slots[j->op->before[i]] : NULL;
        for (int64_t t = slice * SLICE; t < sige_min((int)(slice + 1) * SLICE, tiles); t++) {
            const int64_t at = j->grid ? j->grid[first + t] : first + t;
            if (at < 0)
                continue;
            const float *src = sums + at * 2 * c, *old = before ? before + at * 2 * c : NULL;
            for (int k = 0; k < c; k++) {
                sum[k] += (double)src[k] - (old ? (double)old[k] : 0);
                squares[k] += (double)src[c + k] - (old ? (double)old[c + k] : 0);
            }
        }
        sum += c, squares += c;
    }
}

static void finish_group(const norm_job *j, int64_t image, int group, int width) {
    const int first = group * width;
    double sum = 0, squares = 0;
    for (int slice = 0; slice < j->slices; slice++) {
        const double *s = j->sums + (image * j->slices + slice) * 2 * j->channels + first;
        for (int k = 0; k < width; k++)
            sum += s[k], squares += s[j->channels + k];
    }
    const double count = (double)j->op->pixels * width;
    const double *from = sige_slot_of_doubles(j->slots, j->op->recorded);
    from = from ? from + 2 * image * j->op->groups + group : NULL;
    const double before = from ? from[0] : 0, change = sum / count, mean = before + change;
    const double moved = squares / count - change * (before + mean); /* of E[x^2] - E[x]^2 */
    const double variance = fmax((from ? from[j->op->groups] : 0) + moved, 0.0);
    const double inverse = 1.0 / sqrt(variance + (double)j->op->eps);
    double *moments = sige_slot_of_doubles(j->slots, j->op->moments);
    if (moments) {
        moments += 2 * image * j->op->groups + group;
        moments[0] = mean, moments[j->op->groups] = variance;
    }
    const float *weight = sige_slot(j->slots, j->op->weight), *bias = sige_slot(j->slots, j->op->bias);
    const float *mod = sige_slot(j->slots, j->op->mod);
    double *gain = sige_slot_of_doubles(j->slots, j->op->gain);
    float *scale = (float *)j->slots[j->op->scale] + image * j->channels;
    float *shift = (float *)j->slots[j->op->shift] + image * j->channels;
    for (int k = first; k < first + width; k++) {
        const int64_t s = 2 * image * j->channels + k, t = s + j->channels; /* of two rows of channels */
        const double factor = mod ? 1 + (double)mod[s] : 1;
        const double a = (weight ? (double)weight[k] : 1) * factor;
        const double b = (bias ? (double)bias[k] : 0) * factor + (mod ? (double)mod[t] : 0);
        if (gain)
            gain[s] = a, gain[t] = b;
        scale[k] = (float)(a * inverse);
        shift[k] = (float)(b - mean * (a * inverse));
    }
}

static void run(const sige_op *of, const void *planned, void *const *slots, sige_pool *pool) {
    (void)planned;
    const sige_norm *op = &of->u.norm;
    norm_job j = {.op = op, .slots = slots, .sums = sige_pool_shared(pool)};
    j.grid = op->recorded == SIGE_NONE ? NULL : slots[op->grid];
    j.channels = channels_of(op);
    j.slices = slices_of(op);
    sige_pool_for(pool, (int64_t)op->n * j.slices, add_slice, &j);
    const int width = j.channels / op->groups;
    for (int image = 0; image < op->n; image++)
        for (int g = 0; g < op->groups; g++)
            finish_group(&j, image, g, width);
}

const sige_op_type SIGE_OP_TYPE(norm) = {.check = check, .plan = plan, .run = run};
