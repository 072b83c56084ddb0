#include <math.h>
#include <string.h>

#include "sample.h"

/* A store, and what was there before it. */
typedef struct storing {
    slots s;
    sige_op op;
    int down, across;
    sige_stored before;
    const float *plane; /* one or the other */
} storing;

static double before_at(const storing *t, int64_t tile, int pixel, int c, bool now) {
    const sige_store *op = &t->op.u.store;
    if (op->stored) {
        const sige_stored *stored = now ? t->s.data[op->dst] : &t->before;
        return oracle_stored(stored, tile, op->out.tile, pixel, c, op->c);
    }
    const int64_t image = tile / (t->down * t->across);
    const int64_t y = tile / t->across % t->down * op->out.tile + pixel / op->out.tile;
    const int64_t x = tile % t->across * op->out.tile + pixel % op->out.tile;
    const float *plane = now ? at(&t->s, op->dst) : t->plane;
    return (double)plane[((image * op->out.h + y) * op->out.w + x) * op->c + c];
}

/* Returns by how much a stored value may differ from what it was, the largest and smallest of the tile's channel. */
static double tolerance(int codec, double value, double least, double most) {
    if (codec == SIGE_FLOAT32)
        return 0;
    if (codec == SIGE_FLOAT16)
        return fabs(value) * 0x1p-11 + 0x1p-25;
    return ((most - least) * (1 + 0x1p-9) + fabs(least) * 0x1p-9 + 0x1p-16) / 255 / 2 + fabs(value) * 0x1p-22;
}

static double source_at(const storing *t, int64_t entry, int64_t tile, int pixel, int c) {
    const sige_store *op = &t->op.u.store;
    const int side = op->out.tile;
    if (op->out.list != SIGE_NONE)
        return (double)at(&t->s, op->src)[(entry * side * side + pixel) * op->c + c];
    const int64_t image = tile / (t->down * t->across), y = tile / t->across % t->down * side + pixel / side;
    return (double)at(
        &t->s, op->src)[((image * op->out.h + y) * op->out.w + tile % t->across * side + pixel % side) * op->c + c];
}

/* Adds to `change` how the sums of a tile become others, and to `size` what was added up: decoding rounds to floats. */
static void compare_tile(const storing *t, int64_t entry, int64_t tile, double *change, double *size) {
    const sige_store *op = &t->op.u.store;
    const int side = op->out.tile, codec = op->stored ? t->before.codec : SIGE_FLOAT32;
    const int64_t image = tile / (t->down * t->across);
    const bool held = !op->stored || !t->before.index || t->before.index[tile] >= 0;
    for (int c = 0; c < op->c && held; c++) {
        double least = INFINITY, most = -INFINITY, sum = 0, squares = 0;
        for (int round = 0; round < 2; round++)
            for (int i = 0; i < side * side; i++) {
                if (tile / t->across % t->down * side + i / side >= op->out.h ||
                    tile % t->across * side + i % side >= op->out.w)
                    continue;
                const double want = source_at(t, entry, tile, i, c);
                least = fmin(least, want), most = fmax(most, want);
                if (round == 0)
                    continue;
                const double got = before_at(t, tile, i, c, true), old = before_at(t, tile, i, c, false);
                CHECK(fabs(got - want) <= tolerance(codec, want, least, most), "codec %d: %g, not %g", codec, got,
                      want);
                sum += got - old, squares += got * got - old * old;
                *size += fabs(got) + fabs(old) + got * got + old * old;
            }
        const int rows = op->squares ? 2 : 1;
        change[image * rows * op->c + c] += sum;
        if (op->squares)
            change[(image * rows + 1) * op->c + c] += squares;
    }
}

static void random_store(bool tiled, int number) {
    static const int channels[] = {1, 3, 8, 16, 17, 37};
    storing t = {.s.n = 0};
    sample m = {.n_outputs = 0};
    sige_store *op = &t.op.u.store;
    t.op.kind = SIGE_STORE;
    *op = (sige_store){.c = channels[pick(0, 5)], .change = SIGE_NONE, .stored = pick(0, 4) > 0, .squares = pick(0, 1)};
    pick_domain(&m, &op->out, 21, tiled);
    t.s = m.s;
    t.down = (op->out.h + op->out.tile - 1) / op->out.tile, t.across = (op->out.w + op->out.tile - 1) / op->out.tile;
    const int64_t all = (int64_t)op->out.n * t.down * t.across, pixels = (int64_t)op->out.n * op->out.h * op->out.w;
    op->src = floats(&t.s, (tiled ? (int64_t)op->out.tiles * op->out.tile * op->out.tile : pixels) * op->c);
    for (int64_t i = 0; pick(0, 3) == 0 && i < (int64_t)(t.s.bytes[op->src] / 4); i++)
        at(&t.s, op->src)[i] = 1000 + (number % 3 ? at(&t.s, op->src)[i] : 0);
    void *old;
    size_t size;
    if (op->stored) {
        op->dst = random_stored(&t.s, all, op->out.tile, op->c);
        t.before = *(sige_stored *)t.s.data[op->dst];
        size = (size_t)all * sige_tile_bytes(t.before.codec, op->out.tile, op->c);
        old = memcpy(malloc(size ? size : 1), t.before.tiles, size);
        t.before.tiles = old;
    } else {
        op->dst = floats(&t.s, pixels * op->c);
        size = t.s.bytes[op->dst];
        t.plane = old = memcpy(malloc(size ? size : 1), t.s.data[op->dst], size);
    }
    const int64_t sums = op->out.n * (op->squares ? 2 : 1) * op->c;
    const bool any = !tiled || op->out.tiles; /* without tiles nothing is run */
    if (any && pick(0, 1))
        op->change = zeros(&t.s, 2 * sums);
    void *now = op->stored ? ((sige_stored *)t.s.data[op->dst])->tiles : t.s.data[op->dst];
    double *first = calloc((size_t)sums, sizeof *first), *want = calloc((size_t)sums, sizeof *want);
    CHECK(first && want, "no memory");
    for (int threads = 1; threads < 4; threads++) {
        memcpy(now, old, size);
        sige_pool *pool = sige_pool_create(threads);
        CHECK(pool && run(pool, &t.op, 1, &t.s, NULL) == 0, "%s", sige_last_error());
        sige_pool_destroy(pool);
        if (op->change == SIGE_NONE)
            continue;
        if (threads > 1)
            CHECK(!memcmp(first, t.s.data[op->change], (size_t)sums * sizeof *first), "threads change the sums");
        memcpy(first, t.s.data[op->change], (size_t)sums * sizeof *first);
    }
    double added = 0;
    for (int64_t i = 0; i < (tiled ? op->out.tiles : all); i++) {
        const int32_t *entry = tiled ? (const int32_t *)t.s.data[op->out.list] + 3 * i : NULL;
        compare_tile(&t, i, tiled ? (int64_t)(entry[0] * t.down + entry[1]) * t.across + entry[2] : i, want, &added);
    }
    for (int64_t i = 0; op->change != SIGE_NONE && i < sums; i++)
        CHECK(fabs(first[i] - want[i]) <= 0x1p-22 * added, "sum %d: %g, not %g", (int)i, first[i], want[i]);
    /* Tiles that are not listed are as they were. */
    for (int64_t tile = 0; tiled && tile < all; tile++) {
        bool listed = false;
        for (int i = 0; i < op->out.tiles; i++) {
            const int32_t *entry = (const int32_t *)t.s.data[op->out.list] + 3 * i;
            listed |= (int64_t)(entry[0] * t.down + entry[1]) * t.across + entry[2] == tile;
        }
        for (int i = 0; i < op->out.tile * op->out.tile && !listed; i++)
            if (tile / t.across % t.down * op->out.tile + i / op->out.tile < op->out.h &&
                tile % t.across * op->out.tile + i % op->out.tile < op->out.w)
                CHECK(before_at(&t, tile, i, 0, true) == before_at(&t, tile, i, 0, false), "tile %d", (int)tile);
    }
    free(old), free(first), free(want);
    release(&t.s);
}

void test_store(void) {
    for (int i = 0; i < repeats(400); i++)
        random_store(i % 2, i);
}
