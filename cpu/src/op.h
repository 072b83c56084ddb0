/* The ops. Each says how much scratch memory it needs, and runs. */
#ifndef SIGE_OP_H
#define SIGE_OP_H

#include "common.h"
#include "isa.h"

#define sige_conv_scratch SIGE_ISA(sige_conv_scratch)
#define sige_norm_scratch SIGE_ISA(sige_norm_scratch)
#define sige_depthwise_scratch SIGE_ISA(sige_depthwise_scratch)
#define sige_attention_scratch SIGE_ISA(sige_attention_scratch)
sige_scratch sige_conv_scratch(const sige_conv *op);
sige_scratch sige_norm_scratch(const sige_norm *op);
sige_scratch sige_depthwise_scratch(const sige_depthwise *op);
sige_scratch sige_attention_scratch(const sige_attention *op);

#define sige_conv_run SIGE_ISA(sige_conv_run)
#define sige_norm_run SIGE_ISA(sige_norm_run)
#define sige_depthwise_run SIGE_ISA(sige_depthwise_run)
#define sige_attention_run SIGE_ISA(sige_attention_run)
#define sige_paste_run SIGE_ISA(sige_paste_run)
#define sige_timestep_run SIGE_ISA(sige_timestep_run)
void sige_conv_run(const sige_conv *op, void *const *slots, sige_pool *pool);
void sige_norm_run(const sige_norm *op, void *const *slots, sige_pool *pool);
void sige_depthwise_run(const sige_depthwise *op, void *const *slots, sige_pool *pool);
void sige_attention_run(const sige_attention *op, void *const *slots, sige_pool *pool);
void sige_paste_run(const sige_paste *op, void *const *slots, sige_pool *pool);
void sige_timestep_run(const sige_timestep *op, void *const *slots);

#endif
