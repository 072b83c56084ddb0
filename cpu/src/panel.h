/* A panel is the output channels that a micro-kernel computes together: two vectors of them. The last one of an odd
 * number of channels may be narrow, a single vector, which saves the weights and the multiplication of another. */
#ifndef SIGE_PANEL_H
#define SIGE_PANEL_H

#include "common.h"
#include "simd.h"

enum { SIGE_PANEL = 2 * SIGE_LANES };

/* Returns how many of c channels are in the panel that begins with this one. */
static inline int sige_panel_channels(int channel, int c) { return sige_min(c - channel, SIGE_PANEL); }

/* Returns the floats in a row of its packed weights. */
static inline int sige_panel_width(int channel, int c) { return c - channel > SIGE_LANES ? SIGE_PANEL : SIGE_LANES; }

/* Returns the floats in a row of all panels. */
static inline int64_t sige_panels_width(int64_t c) { return sige_ceil_div(c, SIGE_LANES) * SIGE_LANES; }

/* A pixel has so many channels in a panel. */
typedef struct vpanel {
    vfloat part[2];
} vpanel;

static inline vpanel p_splat(float s) { return (vpanel){{v_splat(s), v_splat(s)}}; }
static inline vpanel p_zero(void) { return (vpanel){{{0}, {0}}}; }
static inline vpanel p_load(const float *p) { return (vpanel){{v_load(p), v_load(p + SIGE_LANES)}}; }

static inline void p_store(float *p, vpanel v) {
    v_store(p, v.part[0]);
    v_store(p + SIGE_LANES, v.part[1]);
}

/* Loads or stores the first n; the rest are zero and are not touched in memory. */
static inline vpanel p_load_n(const float *p, int n) {
    if (n == SIGE_PANEL)
        return p_load(p);
    const int second = n - SIGE_LANES;
    return (vpanel){
        {v_load_n(p, sige_min(n, SIGE_LANES)), second > 0 ? v_load_n(p + SIGE_LANES, second) : (vfloat){0}}};
}

static inline void p_store_n(float *p, vpanel v, int n) {
    if (n == SIGE_PANEL) {
        p_store(p, v);
        return;
    }
    v_store_n(p, v.part[0], sige_min(n, SIGE_LANES));
    if (n > SIGE_LANES)
        v_store_n(p + SIGE_LANES, v.part[1], n - SIGE_LANES);
}

static inline vpanel p_add(vpanel x, vpanel y) { return (vpanel){{x.part[0] + y.part[0], x.part[1] + y.part[1]}}; }

static inline vpanel p_fma(vpanel x, vpanel y, vpanel z) {
    return (vpanel){{x.part[0] * y.part[0] + z.part[0], x.part[1] * y.part[1] + z.part[1]}};
}

#endif
