/* A layout says how the weights of a convolution are packed.
 *
 * Output channels go in panels; the last one is filled up with zeros. A panel holds rows of its width in floats, source
 * by source. A source of kh x kw taps has its channels in blocks: the rows of a block are in the order ky, kx, channel.
 * A 3x3 one of stride 1 has small blocks, whose filters Winograd's algorithm transforms in a core's cache; any other
 * has a single one, which is the order of a window gathered in NHWC. Filters that were transformed when they were
 * packed have 36 points in place of the taps. A source in phases has its taps in the order phase (y, then x), ky, kx,
 * channel. */
#ifndef SIGE_PACK_H
#define SIGE_PACK_H

#include "common.h"
#include "isa.h"

/* Filters that are yet to be transformed come in blocks of so many channels: the points of a block of a panel lie in
 * the second-level cache, with room for all else. */
enum { SIGE_BLOCK = 64 };

typedef struct sige_layout {
    sige_method method[SIGE_MAX_SOURCES]; /* the fastest for many pixels; a plan may choose another one */
    int block[SIGE_MAX_SOURCES];          /* channels of a block; the last one may have fewer */
    int64_t k[SIGE_MAX_SOURCES];          /* rows of a panel */
    int64_t panel_k;                      /* rows of a panel, of all sources */
    bool transformed;                     /* filters are points of SIGE_WINOGRAD_4 */
} sige_layout;

/* It depends on nothing but what sige_pack_size may depend on.
 *
 * Phases: a transposed 3x3 convolution reads an image with zeros between the pixels. Along an axis, with v = y -
 * pad_top, the rows (v >> 1) and (v >> 1) + 1 meet the weights w0 and w2 when v is even, and the second one w1 when it
 * is odd; columns likewise. So it is four convolutions of the small image, of nine taps for four pixels. */
#define sige_layout_of SIGE_ISA(sige_layout_of)
sige_layout sige_layout_of(const sige_conv *conv);

/* A phase of a source reads these taps of its window: y rows of x, from (first_y, first_x) on. A source that is not
 * computed in phases has one, with the whole kernel. */
typedef struct sige_taps {
    int y, x, first_y, first_x;
} sige_taps;

#define sige_taps_of SIGE_ISA(sige_taps_of)
sige_taps sige_taps_of(const sige_source *source, sige_method method, int phase);

/* These are sige_pack_size and sige_pack for one instruction set. */
#define sige_packed_size SIGE_ISA(sige_packed_size)
#define sige_pack_panels SIGE_ISA(sige_pack_panels)
size_t sige_packed_size(const sige_conv *conv);
void sige_pack_panels(const sige_conv *conv, const sige_weights *weights, float *packed);

#endif
