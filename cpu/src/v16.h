/* Sixteen floats: a panel's channels of a pixel. */
#ifndef SIGE_V16_H
#define SIGE_V16_H

#include "common.h"
#include "simd.h"

typedef struct v16 {
    v8 a, b;
} v16;

/* How many of each half memory holds: 8 and 8, but for the last panel of an odd number of channels. */
typedef struct v16_width {
    int low, high;
} v16_width;

static const v16_width V16_FULL = {8, 8};

/* Of the panel that begins with this channel, of c. */
static inline v16_width v16_width_at(int channel, int c) {
    const int left = c - channel;
    return (v16_width){sige_min(left, 8), sige_max(sige_min(left - 8, 8), 0)};
}

static inline v16 v16_load(const float *p, v16_width n) {
    if (n.high == 8)
        return (v16){v8_load(p), v8_load(p + 8)};
    return (v16){v8_load_n(p, n.low), n.high ? v8_load_n(p + 8, n.high) : (v8){0}};
}

static inline void v16_store(float *p, v16 v, v16_width n) {
    if (n.high == 8) {
        v8_store(p, v.a);
        v8_store(p + 8, v.b);
    } else {
        v8_store_n(p, v.a, n.low);
        if (n.high)
            v8_store_n(p + 8, v.b, n.high);
    }
}

static inline v16 v16_add(v16 x, v16 y) { return (v16){x.a + y.a, x.b + y.b}; }
static inline v16 v16_fma(v16 x, v16 y, v16 z) { return (v16){x.a * y.a + z.a, x.b * y.b + z.b}; }

#endif
