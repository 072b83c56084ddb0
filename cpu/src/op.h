/* These are the kinds of op. Each has a file of its own, named after it, that defines its `sige_op_type`. */
#ifndef SIGE_OP_H
#define SIGE_OP_H

#include "common.h"
#include "isa.h"
#include "simd.h"

/* X(its kind, its member of sige_op.u) */
#define SIGE_OPS(X)                                                                                                    \
    X(CONV, conv) X(NORM, norm) X(DEPTHWISE, depthwise) X(ATTENTION, attention) X(PASTE, paste) X(STORE, store)

/* Returns about how many nanoseconds a thread takes for so many multiplications and for so many floats that it moves,
 * where both keep it from half of what a processor of 3 GHz can do. */
static inline double sige_work(double multiplications, double floats) {
    return multiplications / (3 * SIGE_LANES) + floats / 4;
}

#define SIGE_OP_TYPE(name) SIGE_ISA(sige_type_of_##name)

#endif
