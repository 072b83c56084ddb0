/* The ops. Each says how much scratch memory it needs, for all threads together and for each, and runs. */
#ifndef SIGE_OP_H
#define SIGE_OP_H

#include "common.h"
#include "pool.h"

typedef struct sige_scratch {
    size_t shared, own; /* bytes */
} sige_scratch;

sige_scratch sige_conv_scratch(const sige_conv *op);
sige_scratch sige_norm_scratch(const sige_norm *op);
sige_scratch sige_depthwise_scratch(const sige_depthwise *op);
sige_scratch sige_attention_scratch(const sige_attention *op);

void sige_conv_run(const sige_conv *op, void *const *slots, sige_pool *pool);
void sige_norm_run(const sige_norm *op, void *const *slots, sige_pool *pool);
void sige_depthwise_run(const sige_depthwise *op, void *const *slots, sige_pool *pool);
void sige_attention_run(const sige_attention *op, void *const *slots, sige_pool *pool);
void sige_paste_run(const sige_paste *op, void *const *slots, sige_pool *pool);
void sige_timestep_run(const sige_timestep *op, void *const *slots);

/* NULL, or one sentence saying what is wrong with an op. Looks at the op and, for tile lists, at what the list holds.
 */
const char *sige_check(const sige_op *op, void *const *slots, int n_slots);

#endif
