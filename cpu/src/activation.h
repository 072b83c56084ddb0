/* What a number goes through last. */
#ifndef SIGE_ACTIVATION_H
#define SIGE_ACTIVATION_H

#include "sige_cpu.h"
#include "simd.h"

static inline v8 sige_activate(v8 v, int act) {
    switch (act) {
    case SIGE_SILU:
        return v8_silu(v);
    case SIGE_RELU:
        return v8_relu(v);
    case SIGE_LEAKY_RELU:
        return v8_leaky_relu(v);
    case SIGE_TANH:
        return v8_tanh(v);
    default:
        return v;
    }
}

#endif
