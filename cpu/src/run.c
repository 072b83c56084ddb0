#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>

#include "check.h"
#include "isa.h"

static _Thread_local char last_error[256];

const char *sige_last_error(void) { return last_error; }
int sige_abi(void) { return SIGE_ABI; }
size_t sige_op_size(void) { return sizeof(sige_op); }

void sige_set_error(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(last_error, sizeof last_error, format, arguments);
    va_end(arguments);
}

size_t sige_pack_size(const sige_conv *conv) {
    const sige_isa *isa = sige_isa_chosen();
    return isa ? isa->pack_size(conv) : 0;
}

void sige_pack(const sige_conv *conv, const sige_weights *weights, float *packed) {
    const sige_isa *isa = sige_isa_chosen();
    if (isa)
        isa->pack(conv, weights, packed);
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

int sige_run(sige_pool *pool, const sige_op *ops, int n_ops, void *const *slots, int n_slots, double *seconds) {
    const sige_isa *isa = sige_isa_chosen(); /* there is one, for there is a pool */
    sige_scratch most = {0, 0};
    for (int i = 0; i < n_ops; i++) {
        const char *wrong = sige_check(&ops[i], slots, n_slots);
        if (wrong) {
            sige_set_error("op %d: %s", i, wrong);
            return -(1 + i);
        }
        sige_scratch s = isa->scratch(&ops[i]);
        if (s.shared > most.shared)
            most.shared = s.shared;
        if (s.own > most.own)
            most.own = s.own;
    }
    if (sige_pool_reserve(pool, most.shared, most.own)) {
        sige_set_error("no memory for %zu bytes of scratch", most.shared + most.own * (size_t)sige_pool_threads(pool));
        return ENOMEM;
    }
    for (int i = 0; i < n_ops; i++) {
        const double start = seconds ? now() : 0;
        isa->run(&ops[i], slots, pool);
        if (seconds)
            seconds[i] = now() - start;
    }
    return 0;
}
