/* A pool has threads that share out the items of one loop at a time, and the scratch memory that they work in. */
#ifndef SIGE_POOL_H
#define SIGE_POOL_H

#include "sige_cpu.h"

/* Runs one item. `thread` is in [0, sige_pool_threads(pool)) and names the scratch memory the item may use. */
typedef void sige_task(void *context, int64_t item, int thread);

/* Runs items 0 ... items - 1, each once, on any thread in any order, and returns when all are done. */
void sige_pool_for(sige_pool *pool, int64_t items, sige_task *task, void *context);

/* A program runs between these. Programs that run at the same time in several pools share the processors. */
void sige_pool_enter(sige_pool *pool);
void sige_pool_leave(sige_pool *pool);

/* Decides how many threads share the loops that follow, of an op that would take one thread about so many nanoseconds.
 * Below sige_shared_from[0] the caller is quicker alone than with others that it must wait for, and below
 * sige_shared_from[1] than with others that it must wake. Whoever runs an item, the results are the same. */
void sige_pool_gather(sige_pool *pool, double work);
extern double sige_shared_from[2];

/* Makes sure of `shared` bytes for all threads together and `own` bytes for each; returns 0 or ENOMEM. What was in the
 * scratch memory is lost when it grows. */
int sige_pool_reserve(sige_pool *pool, size_t shared, size_t own);
void *sige_pool_shared(sige_pool *pool);
void *sige_pool_own(sige_pool *pool, int thread);

#endif
