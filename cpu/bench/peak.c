#include "peak.h"

#include <pthread.h>
#include <time.h>

#include "sige_cpu.h"

double now(int threads) {
    struct timespec t;
    clock_gettime(threads == 1 ? CLOCK_PROCESS_CPUTIME_ID : CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

enum { STEPS = 1000000, MAX_THREADS = 64 };

static void *run(void *flops) {
    *(double *)flops = sige_spin(STEPS);
    return NULL;
}

double fma_peak(int threads) {
    pthread_t thread[MAX_THREADS];
    double flops[MAX_THREADS], sum = 0;
    const double start = now(threads);
    for (int i = 1; i < threads; i++)
        pthread_create(&thread[i], NULL, run, &flops[i]);
    run(&flops[0]);
    for (int i = 1; i < threads; i++)
        pthread_join(thread[i], NULL);
    for (int i = 0; i < threads; i++)
        sum += flops[i];
    return 1e-9 * sum / (now(threads) - start);
}
