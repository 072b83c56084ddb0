#include "peak.h"

#include <pthread.h>
#include <time.h>

#include "../src/simd.h"

double now(int threads) {
    struct timespec t;
    clock_gettime(threads == 1 ? CLOCK_PROCESS_CPUTIME_ID : CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

enum { STEPS = 1000000, MAX_THREADS = 64 };

#define CHAINS(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11)

static void *spin(void *result) {
    v8 a = v8_splat(0.999f), b = v8_splat(0.001f), sum = {0};
#define START(i) v8 x##i = v8_splat((float)i);
#define STEP(i) x##i += a * b;
#define END(i) sum += x##i;
    CHAINS(START)
    for (int step = 0; step < STEPS; step++) {
        __asm__ volatile("" : : "r"(&a), "r"(&b) : "memory"); /* or a * b would be computed ahead */
        CHAINS(STEP)
    }
    CHAINS(END)
    *(float *)result = v8_sum(sum);
    return NULL;
}

double fma_peak(int threads) {
    pthread_t thread[MAX_THREADS];
    float results[MAX_THREADS];
    const double start = now(threads);
    for (int i = 1; i < threads; i++)
        pthread_create(&thread[i], NULL, spin, &results[i]);
    spin(&results[0]);
    for (int i = 1; i < threads; i++)
        pthread_join(thread[i], NULL);
    return 1e-9 * (double)threads * (double)STEPS * 12 * 16 / (now(threads) - start);
}
