/* These are the kinds of op. Each has a file of its own, named after it, that defines its `sige_op_type`. */
#ifndef SIGE_OP_H
#define SIGE_OP_H

#include "common.h"
#include "isa.h"

/* X(its kind, its member of sige_op.u) */
#define SIGE_OPS(X)                                                                                                    \
    X(CONV, conv) X(NORM, norm) X(DEPTHWISE, depthwise) X(ATTENTION, attention) X(PASTE, paste) X(STORE, store)

#define SIGE_OP_TYPE(name) SIGE_ISA(sige_type_of_##name)

#endif
