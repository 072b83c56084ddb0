/* This prints what it takes to share a loop among threads: from the beginning of a loop that does next to nothing to
 * its end, when the others spin, as they do right after another op, and when they sleep.
 *
 *     sige_cpu_fork [threads [rounds]]
 *
 * The least of the rounds is what the machine can do; the median is what it did, other programs and all. */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "src/pool.h"

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

enum { WAIT = 15000 }; /* steps of an item: some microseconds, so that others have the time to come */

static void item(void *context, int64_t index, int thread) {
    (void)index;
    atomic_fetch_add_explicit((atomic_int *)context, thread ? 1 : 0, memory_order_relaxed);
    for (volatile int i = 0; i < WAIT; i++)
        ;
}

static int by_size(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Returns the seconds of loops of as many items as there are threads, sorted, after pauses. */
static void loops(sige_pool *pool, int rounds, long pause, double *seconds, double *shared) {
    atomic_int elsewhere = 0;
    const int items = sige_pool_threads(pool);
    for (int i = 0; i < rounds; i++) {
        const struct timespec sleep = {0, pause};
        if (pause)
            nanosleep(&sleep, NULL);
        const double start = now();
        sige_pool_for(pool, items, item, &elsewhere);
        seconds[i] = now() - start;
    }
    qsort(seconds, (size_t)rounds, sizeof *seconds, by_size);
    *shared = atomic_load(&elsewhere) / (double)rounds;
}

int main(int argc, char **argv) {
    const int threads = argc > 1 ? atoi(argv[1]) : 2, rounds = argc > 2 ? atoi(argv[2]) : 2000;
    double *seconds = rounds > 0 ? malloc((size_t)rounds * sizeof *seconds) : NULL;
    sige_pool *pool = sige_pool_create(threads), *alone = sige_pool_create(1);
    if (!seconds || !pool || !alone) {
        fprintf(stderr, "usage: sige_cpu_fork [threads [rounds]]\n");
        return 1;
    }
    const struct {
        const char *name;
        sige_pool *pool;
        long pause; /* nanoseconds */
    } cases[] = {{"one thread, one item", alone, 0}, {"others spin", pool, 0}, {"others sleep", pool, 300000}};
    printf("%-22s %9s %9s   items by others\n", "microseconds of a loop", "least", "median");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        double shared;
        loops(cases[i].pool, rounds, cases[i].pause, seconds, &shared);
        printf("%-22s %9.2f %9.2f   %.2f\n", cases[i].name, 1e6 * seconds[0], 1e6 * seconds[rounds / 2], shared);
    }
    sige_pool_destroy(pool);
    sige_pool_destroy(alone);
    free(seconds);
    return 0;
}
