#if defined(__linux__)
#define _GNU_SOURCE /* sched_getaffinity */
#endif
#include "pool.h"

#include "isa.h"

#include <errno.h>
#include <pthread.h>
#if defined(__APPLE__)
#include <pthread/qos.h>
#include <sys/sysctl.h>
#endif
#if defined(__linux__)
#include <sched.h>
#endif
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A loop is one 64-bit word: how many items it has (high half) and how many were claimed (low half). A worker claims an
 * item by adding one. Because count and index travel in one word, a worker that wakes up late claims either an item of
 * the current loop or nothing: nobody ever waits for a worker that has no item. */
enum { MAX_ITEMS = 1 << 30 };

/* A waiting thread looks again so often before it sleeps: some 20 microseconds, about the gap between two ops. */
enum { SPINS = 2000 };

typedef struct worker {
    sige_pool *pool;
    pthread_t thread;
    int index;
} worker;

struct sige_pool {
    _Alignas(64) _Atomic uint64_t claim;
    _Alignas(64) _Atomic int64_t unfinished;
    _Alignas(64) sige_task *task;
    void *context;
    int64_t first; /* item number of the loop's item 0 */
    int threads, spins;
    atomic_int asleep; /* so many workers sleep */
    atomic_int team;   /* so many of the threads share the loops of an op */
    bool stop;         /* under lock */
    pthread_mutex_t lock;
    pthread_cond_t work, finished;
    worker *workers; /* threads - 1; the caller of sige_pool_for is thread 0 */
    void *shared, **own;
    size_t shared_bytes, own_bytes;
};

static inline void relax(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* Returns on how many processors this process may run. Where some are slower, those do not count: a loop would end
 * later with them, for the others wait for what a slow one has claimed. */
static int processors(void) {
#if defined(__APPLE__)
    int fast;
    size_t size = sizeof fast;
    if (sysctlbyname("hw.perflevel0.logicalcpu", &fast, &size, NULL, 0) == 0 && fast > 0)
        return fast;
#endif
#if defined(__linux__)
    cpu_set_t allowed; /* a container, or taskset, may leave only some */
    if (sched_getaffinity(0, sizeof allowed, &allowed) == 0)
        return CPU_COUNT(&allowed);
#endif
    const long online = sysconf(_SC_NPROCESSORS_ONLN);
    return online < 1 ? 1 : (int)online;
}

/* Threads of the pools that run a program now. */
static atomic_int running;

/* Sharing a loop takes about 0.6 microseconds with threads that spin, and at least 5 with threads that sleep; it gains
 * half of what one thread takes at first, and brings data from another core's cache. */
double sige_shared_from[2] = {4e3, 20e3};

void sige_pool_enter(sige_pool *pool) { atomic_fetch_add_explicit(&running, pool->threads, memory_order_relaxed); }
void sige_pool_leave(sige_pool *pool) { atomic_fetch_sub_explicit(&running, pool->threads, memory_order_relaxed); }

void sige_pool_gather(sige_pool *pool, double work) {
    const int all = atomic_load_explicit(&running, memory_order_relaxed);
    int team = pool->threads;
    if (work < sige_shared_from[atomic_load_explicit(&pool->asleep, memory_order_relaxed) > 0]) {
        team = 1;
    } else if (all > team) {
        const int there = processors();
        if (all > there)
            team = sige_max(1, (int)((int64_t)team * there / all));
    }
    atomic_store_explicit(&pool->team, team, memory_order_relaxed);
}

static bool claimable(uint64_t claim) { return (claim & UINT32_MAX) < claim >> 32; }

static void run_items(sige_pool *pool, int thread) {
    while (claimable(atomic_load_explicit(&pool->claim, memory_order_relaxed))) {
        uint64_t claim = atomic_fetch_add_explicit(&pool->claim, 1, memory_order_acquire);
        if (!claimable(claim))
            return;
        pool->task(pool->context, pool->first + (int64_t)(claim & UINT32_MAX), thread);
        if (atomic_fetch_sub_explicit(&pool->unfinished, 1, memory_order_acq_rel) == 1 && thread != 0) {
            pthread_mutex_lock(&pool->lock);
            pthread_cond_signal(&pool->finished);
            pthread_mutex_unlock(&pool->lock);
        }
    }
}

/* Says whether a loop waits for this worker. */
static bool wanted(const worker *self) {
    return claimable(atomic_load_explicit(&self->pool->claim, memory_order_relaxed)) &&
           self->index < atomic_load_explicit(&self->pool->team, memory_order_relaxed);
}

static void *work(void *argument) {
    const worker *self = argument;
    sige_pool *pool = self->pool;
#if defined(__APPLE__)
    /* A user waits for this. Threads of no class of their own may be kept from the fast cores. */
    pthread_set_qos_class_self_np(QOS_CLASS_USER_INITIATED, 0);
#endif
    for (;;) {
        for (int i = 0; i < pool->spins && !wanted(self); i++)
            relax();
        if (!wanted(self)) {
            pthread_mutex_lock(&pool->lock);
            atomic_fetch_add_explicit(&pool->asleep, 1, memory_order_relaxed);
            while (!pool->stop && !wanted(self))
                pthread_cond_wait(&pool->work, &pool->lock);
            atomic_fetch_sub_explicit(&pool->asleep, 1, memory_order_relaxed);
            bool stop = pool->stop;
            pthread_mutex_unlock(&pool->lock);
            if (stop)
                return NULL;
        }
        run_items(pool, self->index);
    }
}

static void run_batch(sige_pool *pool, int64_t first, int64_t items) {
    pool->first = first;
    atomic_store_explicit(&pool->unfinished, items, memory_order_relaxed);
    atomic_store_explicit(&pool->claim, (uint64_t)items << 32, memory_order_release);
    pthread_mutex_lock(&pool->lock); /* a worker checks the claim under this lock before it sleeps */
    pthread_cond_broadcast(&pool->work);
    pthread_mutex_unlock(&pool->lock);
    run_items(pool, 0);
    for (int i = 0; i < pool->spins && atomic_load_explicit(&pool->unfinished, memory_order_acquire) > 0; i++)
        relax();
    if (atomic_load_explicit(&pool->unfinished, memory_order_acquire) > 0) {
        pthread_mutex_lock(&pool->lock);
        while (atomic_load_explicit(&pool->unfinished, memory_order_acquire) > 0)
            pthread_cond_wait(&pool->finished, &pool->lock);
        pthread_mutex_unlock(&pool->lock);
    }
}

void sige_pool_for(sige_pool *pool, int64_t items, sige_task *task, void *context) {
    if (items <= 1 || atomic_load_explicit(&pool->team, memory_order_relaxed) == 1) {
        for (int64_t i = 0; i < items; i++)
            task(context, i, 0);
        return;
    }
    pool->task = task;
    pool->context = context;
    for (int64_t first = 0; first < items; first += MAX_ITEMS)
        run_batch(pool, first, items - first < MAX_ITEMS ? items - first : MAX_ITEMS);
}

static int regrow(void **memory, size_t bytes) {
    free(*memory);
    *memory = NULL;
    return bytes == 0 ? 0 : posix_memalign(memory, 64, bytes);
}

int sige_pool_reserve(sige_pool *pool, size_t shared, size_t own) {
    int failed = 0;
    if (shared > pool->shared_bytes) {
        failed = regrow(&pool->shared, shared);
        pool->shared_bytes = failed ? 0 : shared;
    }
    if (own > pool->own_bytes) {
        for (int i = 0; i < pool->threads; i++)
            failed |= regrow(&pool->own[i], own);
        pool->own_bytes = failed ? 0 : own;
    }
    return failed ? ENOMEM : 0;
}

void *sige_pool_shared(sige_pool *pool) { return pool->shared; }
void *sige_pool_own(sige_pool *pool, int thread) { return pool->own[thread]; }
int sige_pool_threads(const sige_pool *pool) { return pool->threads; }

sige_pool *sige_pool_create(int threads) {
    if (!sige_isa_chosen())
        return NULL;
    if (threads <= 0)
        threads = processors();
    void *memory = NULL;
    if (posix_memalign(&memory, _Alignof(sige_pool), sizeof(sige_pool)))
        return NULL;
    sige_pool *pool = memory;
    memset(pool, 0, sizeof *pool);
    pool->threads = 1;                                /* those that run, should making one fail */
    pool->spins = threads > processors() ? 0 : SPINS; /* or one would spin where another has an item */
    atomic_init(&pool->team, 1);
    pool->workers = calloc((size_t)threads, sizeof *pool->workers);
    pool->own = calloc((size_t)threads, sizeof *pool->own);
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->work, NULL);
    pthread_cond_init(&pool->finished, NULL);
    bool made = pool->workers && pool->own;
    for (int i = 1; made && i < threads; i++) {
        worker *w = &pool->workers[i - 1];
        *w = (worker){.pool = pool, .index = i};
        made = pthread_create(&w->thread, NULL, work, w) == 0;
        if (made)
            pool->threads++;
    }
    atomic_store_explicit(&pool->team, pool->threads, memory_order_relaxed);
    if (made)
        return pool;
    sige_pool_destroy(pool);
    return NULL;
}

void sige_pool_destroy(sige_pool *pool) {
    if (!pool)
        return;
    pthread_mutex_lock(&pool->lock);
    pool->stop = true;
    pthread_cond_broadcast(&pool->work);
    pthread_mutex_unlock(&pool->lock);
    for (int i = 0; i < pool->threads - 1; i++)
        pthread_join(pool->workers[i].thread, NULL);
    for (int i = 0; pool->own && i < pool->threads; i++)
        free(pool->own[i]);
    free(pool->shared);
    free(pool->own);
    free(pool->workers);
    pthread_mutex_destroy(&pool->lock);
    pthread_cond_destroy(&pool->work);
    pthread_cond_destroy(&pool->finished);
    free(pool);
}
