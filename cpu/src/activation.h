/* A number goes through an activation last. */
#ifndef SIGE_ACTIVATION_H
#define SIGE_ACTIVATION_H

#include "sige_cpu.h"
#include "simd.h"

static inline vfloat sige_activate(vfloat v, int act) {
    switch (act) {
    case SIGE_SILU:
        return v_silu(v);
    case SIGE_RELU:
        return v_relu(v);
    case SIGE_LEAKY_RELU:
        return v_leaky_relu(v);
    case SIGE_TANH:
        return v_tanh(v);
    default:
        return v;
    }
}

/* Runs CALL(act) with the activation as a constant, so that a loop in it is compiled for each. */
#define SIGE_WITH_CONSTANT_ACT(act, CALL)                                                                              \
    switch (act) {                                                                                                     \
    case SIGE_SILU:                                                                                                    \
        CALL(SIGE_SILU);                                                                                               \
        break;                                                                                                         \
    case SIGE_RELU:                                                                                                    \
        CALL(SIGE_RELU);                                                                                               \
        break;                                                                                                         \
    case SIGE_LEAKY_RELU:                                                                                              \
        CALL(SIGE_LEAKY_RELU);                                                                                         \
        break;                                                                                                         \
    case SIGE_TANH:                                                                                                    \
        CALL(SIGE_TANH);                                                                                               \
        break;                                                                                                         \
    default:                                                                                                           \
        CALL(SIGE_IDENTITY);                                                                                           \
    }

#endif
