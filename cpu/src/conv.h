/* A convolution is three files: conv_plan.c decides how the work is cut, chunk.c brings in what a piece of it reads,
 * conv.c multiplies. A chunk is a few units: neighbours in a rectangle when all pixels are computed, any listed ones
 * otherwise. Their input is gathered into a thread's own memory, close to the caches: one window that covers the
 * rectangle, or one for each listed unit. Then the panels of output channels are multiplied and finished, one after
 * another. */
#ifndef SIGE_CONV_H
#define SIGE_CONV_H

#include <stdatomic.h>

#include "epilogue.h"
#include "op.h"
#include "pack.h"
#include "panel.h"
#include "units.h"
#include "window.h"
#include "winograd.h"

/* A chunk has at most so many units that their pixels, and their windows as Winograd's algorithm sees them, fill whole
 * calls of the micro-kernel. */
enum { SIGE_CHUNK_UNITS = SIGE_LANES == 16 ? 32 : 36, SIGE_CHUNK_PIXELS = SIGE_CHUNK_UNITS * SIGE_UNIT * SIGE_UNIT };

typedef struct sige_conv_source {
    const sige_source *op;
    sige_input input;
    sige_method method;
    bool in_place;          /* read where it is; nothing is gathered */
    int block;              /* channels of a block */
    int64_t first_row;      /* of a panel: where its own begin */
    int window_h, window_w; /* pixels of a window, at most */
    int64_t row, window;    /* floats from one row of a window to the next, and of a window */
    size_t windows;         /* in a thread's memory: byte where they begin */
    size_t transformed;     /* and those that are transformed, [block][point][unit, part][channel] */
    size_t point, part;     /* floats from one point of them to the next, from one unit or part */
    int64_t filters;        /* floats from a panel's shared filters to its own */
} sige_conv_source;

typedef struct sige_conv_job {
    const sige_conv *op;
    int64_t panel_k; /* rows of a panel */
    int panels;
    sige_method winograd; /* SIGE_DIRECT: no source is computed so */
    sige_filters filters;
    int64_t shared_filters; /* floats of a panel's, if they are SIGE_SHARED */
    sige_units units;
    int chunk_h, chunk_w; /* units; listed ones: 1 x chunk_w */
    int64_t chunks;
    sige_conv_source source[SIGE_MAX_SOURCES];
    size_t own_filters, products, own_bytes; /* in a thread's memory: bytes where they begin, and its size */

    /* The slots hold these; sige_conv_plan does not look them up. */
    const float *weight;
    sige_epilogue epilogue;
    float *sums;        /* by unit */
    float *all_filters; /* [panel][source][block][point][channel] rows, if they are SIGE_SHARED */

    sige_pool *pool;
    atomic_llong *next_chunk;
    atomic_int *next_panel; /* by chunk */
} sige_conv_job;

/* One source sees a chunk's pixels by phase: where each one's input begins, and its row of acc. */
typedef struct sige_pixels {
    int first[5]; /* phase i is first[i] ... first[i + 1] - 1 */
    uint32_t off[SIGE_CHUNK_PIXELS], row[SIGE_CHUNK_PIXELS];
} sige_pixels;

/* A thread's memory starts with this; windows, their transforms and products follow. */
typedef struct sige_chunk {
    float acc[SIGE_CHUNK_PIXELS * SIGE_PANEL];
    int n_units, n_pixels;
    sige_unit unit[SIGE_CHUNK_UNITS];
    sige_reads reads[SIGE_CHUNK_UNITS];
    const float *input[SIGE_MAX_SOURCES]; /* what `off` counts from */
    sige_pixels pixels[SIGE_MAX_SOURCES];
} sige_chunk;

static inline float *sige_chunk_at(sige_chunk *chunk, size_t byte) { return (float *)(void *)((char *)chunk + byte); }

#define sige_conv_plan SIGE_ISA(sige_conv_plan)
sige_conv_job sige_conv_plan(const sige_conv *op, const int32_t *rows);

/* Tells what a plan has decided. */
#define sige_conv_choice SIGE_ISA(sige_conv_choice)
sige_choice sige_conv_choice(const sige_conv_job *job);

/* Looks up a source's slots. */
#define sige_conv_bind SIGE_ISA(sige_conv_bind)
void sige_conv_bind(sige_conv_source *source, void *const *slots);

/* Lists the chunk's pixels, gathers its windows, and transforms those that Winograd's algorithm reads. */
#define sige_chunk_prepare SIGE_ISA(sige_chunk_prepare)
void sige_chunk_prepare(const sige_conv_job *job, sige_chunk *chunk, int64_t index);

#endif
