#include "harness.h"

#include <errno.h>
#include <math.h>
#include <string.h>

static uint64_t state = 1;

void seed(uint64_t value) { state = value * 2654435761u + 88172645463325252u; }

static uint64_t next(void) { /* xorshift64* (Vigna, 2016) */
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return state * 2685821657736338717u;
}

int pick(int least, int most) { return least + (int)((next() >> 33) % (uint64_t)(most - least + 1)); }
float noise(void) { return (float)(next() >> 40) / (float)(1 << 23) - 1.0f; }

int repeats(int normal) {
    const char *percent = getenv("SIGE_TEST_PERCENT");
    int n = percent ? normal * atoi(percent) / 100 : normal;
    return n > 0 ? n : 1;
}

static int add(slots *s, size_t bytes) {
    CHECK(s->n < MAX_SLOTS, "too many slots");
    s->data[s->n] = malloc(bytes ? bytes : 1);
    CHECK(s->data[s->n], "no memory");
    s->bytes[s->n] = bytes;
    return s->n++;
}

int floats(slots *s, int64_t n) {
    int slot = add(s, (size_t)n * sizeof(float));
    for (int64_t i = 0; i < n; i++)
        at(s, slot)[i] = noise();
    return slot;
}

int zeros(slots *s, int64_t n) {
    int slot = add(s, (size_t)n * sizeof(float));
    memset(s->data[slot], 0, s->bytes[slot]);
    return slot;
}

int integers(slots *s, int64_t n) { return add(s, (size_t)n * sizeof(int32_t)); }

int bytes(slots *s, int64_t n) {
    const int slot = add(s, (size_t)n);
    for (int64_t i = 0; i < n; i++)
        ((uint8_t *)s->data[slot])[i] = (uint8_t)pick(0, 255);
    return slot;
}

void release(slots *s) {
    for (int i = 0; i < s->n; i++)
        free(s->data[i]);
    s->n = 0;
}

double difference(const float *got, const double *want, int64_t n) {
    double error = 0, norm = 0;
    for (int64_t i = 0; i < n; i++) {
        error += ((double)got[i] - want[i]) * ((double)got[i] - want[i]);
        norm += want[i] * want[i];
    }
    return sqrt(error / (norm > 0 ? norm : 1));
}

/* Binds one op; the number of its domain's tiles is taken from it, as the caller of the library has it elsewhere. */
static int tiles_of(const sige_op *op, const slots *s, sige_tiles *tiles) {
    const sige_domain *d = op->kind == SIGE_CONV        ? &op->u.conv.out
                           : op->kind == SIGE_DEPTHWISE ? &op->u.depthwise.out
                           : op->kind == SIGE_ATTENTION ? &op->u.attention.out
                           : op->kind == SIGE_STORE     ? &op->u.store.out
                                                        : NULL;
    if (!d || d->list == SIGE_NONE)
        return 0;
    *tiles = (sige_tiles){.list = d->list, .count = d->tiles, .rows = s->data[d->list]};
    return 1;
}

int run(sige_pool *pool, const sige_op *ops, int n_ops, slots *s, double *seconds) {
    int wrong, n = 0;
    sige_program *program = sige_compile(ops, n_ops, s->n, &wrong);
    if (!program)
        return wrong < 0 ? ENOMEM : -(1 + wrong);
    sige_tiles tiles[64];
    for (int i = 0; i < n_ops && n < 64; i++)
        n += tiles_of(&ops[i], s, &tiles[n]);
    sige_bound *bound = sige_bind(program, tiles, n);
    const int failed = bound ? sige_run(pool, bound, s->data, seconds) : -1000;
    sige_bound_destroy(bound);
    sige_program_destroy(program);
    return failed;
}

void run_everywhere(const sige_op *op, slots *s, const int *outputs, int n_outputs) {
    static const int threads[] = {1, 2, 5};
    static sige_pool *pools[3];
    void *first[8] = {NULL};
    for (int t = 0; t < 3; t++) {
        if (!pools[t])
            pools[t] = sige_pool_create(threads[t]);
        CHECK(pools[t] && sige_pool_threads(pools[t]) == threads[t], "no pool");
        for (int i = 0; i < n_outputs; i++)
            memset(s->data[outputs[i]], 0xff, s->bytes[outputs[i]]); /* NaN */
        int failed = run(pools[t], op, 1, s, NULL);
        CHECK(failed == 0, "%s", sige_last_error());
        for (int i = 0; i < n_outputs; i++) {
            size_t bytes = s->bytes[outputs[i]];
            if (t == 0) {
                first[i] = malloc(bytes ? bytes : 1);
                CHECK(first[i], "no memory");
                memcpy(first[i], s->data[outputs[i]], bytes);
            } else {
                CHECK(!memcmp(first[i], s->data[outputs[i]], bytes), "output %d differs with %d threads", i,
                      threads[t]);
            }
        }
    }
    for (int i = 0; i < n_outputs; i++)
        free(first[i]);
}
