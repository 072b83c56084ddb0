#include <errno.h>
#include <stdio.h>
#include <time.h>

#include "op.h"
#include "simd.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

static _Thread_local char last_error[256];

const char *sige_last_error(void) { return last_error; }
int sige_abi(void) { return SIGE_ABI; }
size_t sige_op_size(void) { return sizeof(sige_op); }

const char *sige_simd(void) {
#if defined(__x86_64__) && defined(__AVX2__)
    /* the processor has FMA and AVX2, and the operating system keeps the registers' upper halves */
    unsigned a, b, c, d, saved, high;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_FMA) || !(c & bit_OSXSAVE))
        return NULL;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || !(b & bit_AVX2))
        return NULL;
    __asm__("xgetbv" : "=a"(saved), "=d"(high) : "c"(0));
    if ((saved & 6) != 6)
        return NULL;
#endif
    return SIGE_SIMD_NAME;
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

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

int sige_run(sige_pool *pool, const sige_op *ops, int n_ops, void *const *slots, int n_slots, double *seconds) {
    sige_scratch most = {0, 0};
    for (int i = 0; i < n_ops; i++) {
        const char *wrong = sige_check(&ops[i], slots, n_slots);
        if (wrong) {
            snprintf(last_error, sizeof last_error, "op %d: %s", i, wrong);
            return -(1 + i);
        }
        sige_scratch s = scratch_of(&ops[i]);
        if (s.shared > most.shared)
            most.shared = s.shared;
        if (s.own > most.own)
            most.own = s.own;
    }
    if (sige_pool_reserve(pool, most.shared, most.own)) {
        snprintf(last_error, sizeof last_error, "no memory for %zu bytes of scratch",
                 most.shared + most.own * (size_t)sige_pool_threads(pool));
        return ENOMEM;
    }
    for (int i = 0; i < n_ops; i++) {
        const double start = seconds ? now() : 0;
        run_op(&ops[i], slots, pool);
        if (seconds)
            seconds[i] = now() - start;
    }
    return 0;
}
