#include "op.h"
#include "pack.h"

static sige_scratch scratch_of(const sige_op *op) {
    switch (op->kind) {
    case SIGE_CONV:
        return sige_conv_scratch(&op->u.conv);
    case SIGE_NORM:
        return sige_norm_scratch(&op->u.norm);
    case SIGE_DEPTHWISE:
        return sige_depthwise_scratch(&op->u.depthwise);
    case SIGE_ATTENTION:
        return sige_attention_scratch(&op->u.attention);
    default:
        return (sige_scratch){0, 0};
    }
}

static void run_op(const sige_op *op, void *const *slots, sige_pool *pool) {
    switch (op->kind) {
    case SIGE_CONV:
        sige_conv_run(&op->u.conv, slots, pool);
        break;
    case SIGE_NORM:
        sige_norm_run(&op->u.norm, slots, pool);
        break;
    case SIGE_DEPTHWISE:
        sige_depthwise_run(&op->u.depthwise, slots, pool);
        break;
    case SIGE_ATTENTION:
        sige_attention_run(&op->u.attention, slots, pool);
        break;
    case SIGE_PASTE:
        sige_paste_run(&op->u.paste, slots, pool);
        break;
    case SIGE_TIMESTEP:
        sige_timestep_run(&op->u.timestep, slots);
        break;
    default:
        break;
    }
}

extern const sige_isa SIGE_ISA(sige_isa);

#define TEXT_OF(name) #name
#define TEXT(name) TEXT_OF(name)

const sige_isa SIGE_ISA(sige_isa) = {.name = TEXT(SIGE_ISA_NAME),
                                     .pack_size = sige_packed_size,
                                     .pack = sige_pack_panels,
                                     .scratch = scratch_of,
                                     .run = run_op};
