#include <errno.h>
#include <string.h>

#include "oracle.h"

/* A small, sound convolution is what the malformed ones are made from. Its slots are 0 input, 1 weights, 2 output, 3
 * list, 4 grid. */
static sige_op sound(slots *s, int with_list) {
    sige_op op = {.kind = SIGE_CONV};
    sige_conv *c = &op.u.conv;
    *c = (sige_conv){.out = {1, 8, 8, 4, 2, SIGE_NONE}, .c_out = 8, .weight = 1, .n_sources = 1, .n_outputs = 1};
    c->bias = c->vec = c->sums = SIGE_NONE;
    c->source[0] = (sige_source){.x = {1, 8, 8, 8, 4, 0, SIGE_NONE, SIGE_NONE, 0},
                                 .kh = 3,
                                 .kw = 3,
                                 .stride = 1,
                                 .pad_top = 1,
                                 .pad_left = 1,
                                 .scale = SIGE_NONE,
                                 .shift = SIGE_NONE};
    c->output[0] = (sige_output){.dst = 2, .scale = SIGE_NONE, .shift = SIGE_NONE};
    floats(s, 512), zeros(s, (int64_t)sige_pack_size(c)), zeros(s, 512);
    int list = integers(s, 6);
    memcpy(s->data[list], (int32_t[]){0, 0, 1, 0, 1, 1}, 24);
    memset(s->data[integers(s, 4)], 0xff, 16);
    if (with_list)
        c->out.list = list;
    return op;
}

/* Makes a paste of the first slot into the third. */
static sige_op copy(void) {
    sige_op op = {.kind = SIGE_PASTE};
    op.u.paste = (sige_paste){.x = {1, 2, 2, 4, 4, 0, SIGE_NONE, SIGE_NONE, 0}, .dst = 2};
    return op;
}

/* Runs the op, after a sound one, and expects a refusal before anything is written, which names the op if that is at
 * fault or its tiles, and the slot if that holds nothing. */
static void refused(sige_pool *pool, slots *s, const sige_op *op, int line) {
    sige_op program[2] = {copy(), *op};
    memset(s->data[2], 0, s->bytes[2]);
    int failed = run(pool, program, 2, s, NULL);
    CHECK(failed == -2 || failed == -1000 || failed == EINVAL, "line %d: returned %d", line, failed);
    const char *named = failed == EINVAL ? "slot " : "op 1: ";
    CHECK(!strncmp(sige_last_error(), named, strlen(named)) && strlen(sige_last_error()) > 12, "line %d: %s", line,
          sige_last_error());
    for (int i = 0; i < 512; i++)
        CHECK(at(s, 2)[i] == 0, "line %d: something ran", line);
}

#define REFUSED(...)                                                                                                   \
    do {                                                                                                               \
        sige_op op = whole;                                                                                            \
        sige_conv *c = &op.u.conv;                                                                                     \
        (void)c;                                                                                                       \
        __VA_ARGS__;                                                                                                   \
        refused(pool, &s, &op, __LINE__);                                                                              \
    } while (0)

static void malformed_convs(sige_pool *pool) {
    slots s = {.n = 0};
    sige_op whole = sound(&s, 1);
    CHECK(run(pool, &whole, 1, &s, NULL) == 0, "%s", sige_last_error());
    REFUSED(op.kind = SIGE_KINDS);
    REFUSED(op.kind = -1);
    REFUSED(c->c_out = 0);
    REFUSED(c->out.h = 0);
    REFUSED(c->out.n = 1 << 24; c->out.h = 1 << 24);
    REFUSED(c->out.tile = 0);
    REFUSED(c->out.tiles = -1);
    REFUSED(c->out.list = 99);
    REFUSED(c->out.h = 4);
    REFUSED(c->n_sources = 0);
    REFUSED(c->n_sources = SIGE_MAX_SOURCES + 1);
    REFUSED(c->n_outputs = SIGE_MAX_OUTPUTS + 1);
    REFUSED(c->n_outputs = -1);
    REFUSED(c->weight = SIGE_NONE);
    REFUSED(c->weight = 5);
    REFUSED(c->bias = -2);
    REFUSED(c->vec = 5);
    REFUSED(c->sums = 5);
    REFUSED(c->output[0].dst = SIGE_NONE);
    REFUSED(c->output[0].act = SIGE_ACTIVATIONS);
    REFUSED(c->output[0].scale = 0);
    REFUSED(c->output[0].scale = c->output[0].shift = 7);
    REFUSED(c->output[0].stride = -1);
    REFUSED(c->source[0].x.base = SIGE_NONE);
    REFUSED(c->source[0].x.grid = 4);
    REFUSED(c->source[0].x.stored = 1; c->source[0].x.tile = 0);
    REFUSED(c->source[0].x.grid = 4; c->source[0].x.blocks = 9);
    REFUSED(c->source[0].x.grid = 4; c->source[0].x.blocks = 0; c->source[0].x.tile = 0);
    REFUSED(c->source[0].x.c = -3);
    REFUSED(c->source[0].x.n = 2);
    REFUSED(c->source[0].kh = 8);
    REFUSED(c->source[0].kw = 0);
    REFUSED(c->source[0].stride = 0);
    REFUSED(c->source[0].pad_top = -1);
    REFUSED(c->source[0].pad_left = 4);
    REFUSED(c->source[0].resample = 2);
    REFUSED(c->source[0].resample = -16);
    REFUSED(c->source[0].pad_mode = SIGE_PAD_MODES);
    REFUSED(c->source[0].zeros = 1);
    REFUSED(c->source[0].zeros = c->source[0].resample = 1; c->source[0].kh = 1);
    REFUSED(c->source[0].zeros = c->source[0].resample = 1; c->source[0].pad_mode = SIGE_PAD_REFLECT);
    const sige_tensor two = {1, 8, 8, 16, 4, 0, SIGE_NONE, SIGE_NONE, 0};
#define MODULATED(place, ...)                                                                                          \
    REFUSED(c->place.has_mod = 1; c->place.mod = (sige_modulation){two, two, 0, 8};                                    \
            sige_modulation *m = &c->place.mod; __VA_ARGS__)
    MODULATED(source[0], m->beta_first = 9);
    MODULATED(source[0], m->gamma_first = -1);
    MODULATED(source[0], m->gamma.c = 4);
    MODULATED(source[0], m->gamma.w = 16);
    MODULATED(source[0], m->beta.base = SIGE_NONE);
    MODULATED(source[0], (void)m; c->source[0].resample = 1);
    MODULATED(output[0], m->beta_first = 9);
    MODULATED(output[0], m->beta.h = 4);
    MODULATED(output[0], m->beta.grid = 4);
    REFUSED(c->source[0].scale = 0);
    REFUSED(c->source[0].scale = c->source[0].shift = 7);
    REFUSED(c->source[0].stride_affine = -1);
    REFUSED(c->source[0].act = SIGE_ACTIVATIONS);
    REFUSED(c->has_residual = 1; c->residual = c->source[0].x; c->residual.w = 7);
    REFUSED(c->has_residual = c->residual_resample = 1; c->residual = c->source[0].x);
    REFUSED(c->has_residual = 1; c->residual = c->source[0].x; c->residual_resample = -1);
    REFUSED(c->has_residual = 1; c->residual = c->source[0].x; c->residual.base = 77);
    s.data[0] = (free(s.data[0]), NULL);
    REFUSED((void)0);
    release(&s);
}

static void malformed_others(sige_pool *pool) {
    slots s = {.n = 0};
    sige_op whole = sound(&s, 0);
    sige_norm norm = {.recorded = SIGE_NONE,
                      .moments = SIGE_NONE,
                      .gain = SIGE_NONE,
                      .n = 1,
                      .pixels = 4,
                      .groups = 2,
                      .n_sources = 1,
                      .tiles = {1},
                      .c = {4},
                      .eps = 1e-6f};
#define NORM(change) REFUSED(op = (sige_op){.kind = SIGE_NORM, .u.norm = norm}; sige_norm *m = &op.u.norm; change)
    NORM(m->groups = 3);
    NORM(m->groups = 0);
    NORM(m->n_sources = 5);
    NORM(m->tiles[0] = 0);
    NORM(m->scale = 5);
    NORM(m->mod = 5);
    NORM(m->moments = 5);
    NORM(m->recorded = 5);
    NORM(m->recorded = 0; m->grid = 5);
    NORM(m->recorded = 0; m->before[0] = SIGE_NONE);
    NORM(m->recorded = 0; m->n_sources = 2; m->c[1] = 4; m->tiles[1] = 2);
    NORM(m->gain = -2);
    NORM(m->weight = -2);
    NORM(m->sums[0] = SIGE_NONE);
    NORM(m->eps = -1);
    sige_store store = {.out = whole.u.conv.out, .c = 8, .src = 0, .dst = 0, .change = SIGE_NONE};
#define STORE(change) REFUSED(op = (sige_op){.kind = SIGE_STORE, .u.store = store}; sige_store *t = &op.u.store; change)
    STORE(t->c = 0);
    STORE(t->out.h = 0);
    STORE(t->src = SIGE_NONE);
    STORE(t->dst = 5);
    STORE(t->change = -2);
    sige_depthwise depthwise = {.out = whole.u.conv.out, .c = 8, .weight = SIGE_NONE, .bias = SIGE_NONE};
    depthwise.n_outputs = 1, depthwise.sums = SIGE_NONE;
    depthwise.source = whole.u.conv.source[0], depthwise.output[0] = whole.u.conv.output[0];
#define DEPTHWISE(change)                                                                                              \
    REFUSED(op = (sige_op){.kind = SIGE_DEPTHWISE, .u.depthwise = depthwise}; sige_depthwise *d = &op.u.depthwise;     \
            change)
    DEPTHWISE(d->c = 0);
    DEPTHWISE(d->c = 7);
    DEPTHWISE(d->out.h = -1);
    DEPTHWISE(d->weight = 5);
    DEPTHWISE(d->bias = 5);
    DEPTHWISE(d->sums = 5);
    DEPTHWISE(d->n_outputs = 5);
    DEPTHWISE(d->output[0].act = -1);
    DEPTHWISE(d->source.kh = 8);
    DEPTHWISE(d->source.x.base = 5);
    DEPTHWISE(d->source.zeros = d->source.resample = 1);
    DEPTHWISE(d->has_residual = 1; d->residual = d->source.x; d->residual.c = 4);
    sige_attention attention = {.out = {1, 2, 1, 4, 0, SIGE_NONE},
                                .keys = 2,
                                .heads = 1,
                                .head_dim = 4,
                                .q_stride = 4,
                                .k_stride = 4,
                                .v_stride = 4,
                                .scale = 1};
#define ATTENTION(change)                                                                                              \
    REFUSED(op = (sige_op){.kind = SIGE_ATTENTION, .u.attention = attention}; sige_attention *a = &op.u.attention;     \
            change)
    ATTENTION(a->keys = 0);
    ATTENTION(a->out.w = 0);
    ATTENTION(a->out.list = 3; a->out.tiles = 2; a->out.h = 4);
    ATTENTION(a->q_stride = 3);
    ATTENTION(a->heads = 0);
    ATTENTION(a->dst = 5);
    ATTENTION(a->scale = -1);
    REFUSED(op = (sige_op){.kind = SIGE_PASTE}; op.u.paste.x = whole.u.conv.source[0].x; op.u.paste.dst = 5);
    REFUSED(op = (sige_op){.kind = SIGE_PASTE}; op.u.paste.x = whole.u.conv.source[0].x; op.u.paste.x.h = 0);
    release(&s);
}

void test_check(void) {
    sige_pool *pool = sige_pool_create(2);
    CHECK(sige_abi() == SIGE_ABI, "the library is of another version");
    malformed_convs(pool);
    malformed_others(pool);

    slots s = {.n = 0}; /* no tiles: nothing is read, so nothing need be there */
    sige_op op = sound(&s, 1);
    op.u.conv.out.tiles = 0;
    for (int i = 0; i < s.n; i++)
        s.data[i] = (free(s.data[i]), NULL);
    CHECK(run(pool, &op, 1, &s, NULL) == 0, "%s", sige_last_error());

    int wrong; /* a list that was not given, and an array that is not there */
    op = sound(&s, 1);
    sige_program *program = sige_compile(&op, 1, s.n, &wrong);
    CHECK(program && !sige_bind(program, NULL, 0), "a missing list is bound");
    CHECK(strstr(sige_last_error(), "not given"), "%s", sige_last_error());
    sige_program_destroy(program);
    op.u.conv.out.list = SIGE_NONE;
    void *weight = s.data[op.u.conv.weight];
    s.data[op.u.conv.weight] = NULL;
    CHECK(run(pool, &op, 1, &s, NULL) == EINVAL, "a NULL is read");
    s.data[op.u.conv.weight] = weight;
    release(&s);
    sige_pool_destroy(pool);
}

/* A dense domain and the list of all its tiles are the same arithmetic. */
void test_exact(void) {
    slots s = {.n = 0};
    sige_op op = {.kind = SIGE_CONV};
    sige_conv *c = &op.u.conv;
    *c = (sige_conv){.out = {1, 24, 20, 4, 30, SIGE_NONE}, .c_out = 48, .n_sources = 1, .n_outputs = 1};
    c->bias = c->vec = c->sums = SIGE_NONE;
    c->source[0] = (sige_source){
        .kh = 3, .kw = 3, .stride = 1, .pad_top = 1, .pad_left = 1, .scale = SIGE_NONE, .shift = SIGE_NONE};
    c->source[0].x = (sige_tensor){1, 24, 20, 64, 4, floats(&s, 24 * 20 * 64), SIGE_NONE, SIGE_NONE, 0};
    c->weight = zeros(&s, (int64_t)sige_pack_size(c));
    sige_weights w = {.data = at(&s, floats(&s, 48 * 9 * 64)), .c_total = 64};
    sige_pack(c, &w, at(&s, c->weight));
    const int dense = zeros(&s, 24 * 20 * 48), tiles = zeros(&s, 24 * 20 * 48), list = integers(&s, 90);
    for (int i = 0; i < 30; i++)
        memcpy((int32_t *)s.data[list] + 3 * i, (int32_t[]){0, i / 5, i % 5}, 12);
    c->output[0] = (sige_output){.dst = dense, .scale = SIGE_NONE, .shift = SIGE_NONE};
    run_everywhere(&op, &s, &dense, 1);
    c->out.list = list, c->output[0].dst = tiles;
    run_everywhere(&op, &s, &tiles, 1);
    for (int i = 0; i < 24 * 20 * 48; i++) {
        int y = i / 48 / 20, x = i / 48 % 20, tile = y / 4 * 5 + x / 4;
        CHECK(at(&s, dense)[i] == at(&s, tiles)[((tile * 4 + y % 4) * 4 + x % 4) * 48 + i % 48], "float %d", i);
    }
    release(&s);
}

/* No machine has the scratch memory of this op: nothing runs, and the pool goes on working. */
void test_memory(void) {
    slots s = {.n = 0};
    floats(&s, 16), zeros(&s, 16), zeros(&s, 16);
    sige_op ops[2] = {copy(), {.kind = SIGE_ATTENTION}};
    const int dim = 1 << 14;
    ops[1].u.attention = (sige_attention){.out = {1, 1, 1, 4, 0, SIGE_NONE},
                                          .keys = 1 << 24,
                                          .heads = 1,
                                          .head_dim = dim,
                                          .q_stride = dim,
                                          .k_stride = dim,
                                          .v_stride = dim};
    sige_pool *pool = sige_pool_create(2);
    CHECK(run(pool, ops, 2, &s, NULL) == ENOMEM, "%s", sige_last_error());
    CHECK(strstr(sige_last_error(), "bytes"), "%s", sige_last_error());
    for (int i = 0; i < 16; i++)
        CHECK(at(&s, 2)[i] == 0, "something ran");
    sige_op small = sound(&s, 0);
    small.u.conv.source[0].x.base = 3, small.u.conv.weight = 4, small.u.conv.output[0].dst = 5;
    CHECK(run(pool, &small, 1, &s, NULL) == 0, "%s", sige_last_error());
    sige_pool_destroy(pool);
    release(&s);
}
