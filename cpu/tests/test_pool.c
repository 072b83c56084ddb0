#include <sched.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>

#include "harness.h"
#include "src/pool.h"

/* Many short ops run on many threads, again and again: what one op writes the next one reads. */
void test_pool(void) {
    for (int threads = 1; threads <= 5; threads += 2) {
        slots s = {.n = 0};
        enum { ROWS = 3000, OPS = 40 };
        int x[2] = {zeros(&s, ROWS * 16), zeros(&s, ROWS * 16)}, one = zeros(&s, 16);
        for (int i = 0; i < 16; i++)
            at(&s, one)[i] = 1;
        sige_op ops[OPS];
        for (int i = 0; i < OPS; i++) {
            ops[i] = (sige_op){.kind = SIGE_DEPTHWISE};
            sige_depthwise *d = &ops[i].u.depthwise;
            *d = (sige_depthwise){.out = {1, ROWS / 40, 40, 4, 0, SIGE_NONE}, .c = 16, .bias = one, .n_outputs = 1};
            d->weight = d->sums = SIGE_NONE;
            d->source = (sige_source){.kh = 1, .kw = 1, .stride = 1, .scale = SIGE_NONE, .shift = SIGE_NONE};
            d->source.x = (sige_tensor){1, ROWS / 40, 40, 16, 4, x[i % 2], SIGE_NONE, SIGE_NONE, 0};
            d->output[0] = (sige_output){.dst = x[1 - i % 2], .scale = SIGE_NONE, .shift = SIGE_NONE};
        }
        double seconds[OPS];
        for (int round = 0; round < repeats(20); round++) {
            sige_pool *pool = sige_pool_create(threads);
            CHECK(pool, "no pool");
            for (int again = 0; again < 5; again++) {
                memset(at(&s, x[0]), 0, s.bytes[x[0]]);
                CHECK(!run(pool, ops, OPS, &s, again ? seconds : NULL), "%s", sige_last_error());
                for (int i = 0; i < ROWS * 16; i++)
                    CHECK(at(&s, x[0])[i] == (float)OPS, "float %d is %g", i, (double)at(&s, x[0])[i]);
            }
            sige_pool_destroy(pool);
        }
        release(&s);
    }
    sige_pool_destroy(NULL);
}

/* An item takes long enough that others come, and says who ran it. */
static void note(void *context, int64_t item, int thread) {
    (void)item;
    for (volatile int i = 0; i < 20000; i++)
        ;
    atomic_fetch_or((atomic_int *)context, 1 << thread);
}

/* A thread that runs an item waits for all others, which thereby get one; a minute at most, should one not come. */
typedef struct meeting {
    int threads;
    atomic_int ran;
} meeting;

static void meet(void *context, int64_t item, int thread) {
    (void)item;
    meeting *m = context;
    atomic_fetch_or(&m->ran, 1 << thread);
    const time_t end = time(NULL) + 60;
    while (atomic_load(&m->ran) != (1 << m->threads) - 1 && time(NULL) < end)
        sched_yield();
}

/* Returns which threads of a pool ran a loop of an op of so much work, a bit for each. */
static int team_of(sige_pool *pool, double work) {
    atomic_int ran = 0;
    sige_pool_gather(pool, work);
    sige_pool_for(pool, 50, note, &ran);
    return atomic_load(&ran);
}

/* Short ops are not shared; pools that run at the same time do not take more threads than there are processors, but one
 * alone takes all that it was made with. */
void test_team(void) {
    sige_pool *each = sige_pool_create(0);
    CHECK(each, "no pool");
    const int processors = sige_pool_threads(each), threads = processors + 2 < 30 ? processors + 2 : 30;
    sige_pool *a = sige_pool_create(threads), *b = sige_pool_create(threads);
    CHECK(a && b, "no pools");
    sige_shared_from[0] = 100, sige_shared_from[1] = 1000;
    sige_pool_enter(a);
    for (int i = 0; i < 20; i++)
        CHECK(team_of(a, 99) == 1, "a short op was shared");
    meeting all = {.threads = threads};
    sige_pool_gather(a, 1e6);
    sige_pool_for(a, threads, meet, &all);
    int ran = atomic_load(&all.ran);
    CHECK(ran == (1 << threads) - 1, "threads %x of %d shared a long op", ran, threads);
    sige_pool_enter(b);
    for (int i = 0; i < 20; i++) {
        ran = team_of(a, 1e6);
        CHECK(ran < 1 << (processors < 2 ? 1 : (processors + 1) / 2), "threads %x, beside those of another pool", ran);
    }
    sige_pool_leave(b), sige_pool_leave(a);
    sige_shared_from[0] = sige_shared_from[1] = 0;
    sige_pool_destroy(a), sige_pool_destroy(b), sige_pool_destroy(each);
}
