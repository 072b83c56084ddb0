/* The pixels of a domain are cut into units: squares of at most 4x4 output pixels that are computed together. A tile of
 * 4x4 is one unit, a larger one several, in raster order. */
#ifndef SIGE_UNITS_H
#define SIGE_UNITS_H

#include "common.h"

enum { SIGE_UNIT = 4, SIGE_UNIT_PIXELS = SIGE_UNIT * SIGE_UNIT };

typedef struct sige_units {
    const sige_domain *domain;
    bool listed;         /* units of listed tiles; else of the whole image */
    const int32_t *list; /* int32[tiles][3] */
    int tile, tiles_y, tiles_x;
    int side;         /* of a unit: min(tile, 4) */
    int per_edge;     /* units along a tile's edge */
    int64_t tiles;    /* listed, or of all images */
    int64_t count;    /* of units */
    int down, across; /* units of an image that is not listed */
} sige_units;

typedef struct sige_unit {
    int32_t image, y, x;    /* first pixel */
    int32_t h, w;           /* pixels inside the image, down to 0 */
    int32_t full_h, full_w; /* pixels inside the tile */
    int64_t index;          /* among all units: tile by tile, in raster order inside it */
    int64_t at;             /* where the domain's array holds the first pixel, in pixels */
    int64_t row;            /* from there to the pixel below, in pixels */
} sige_unit;

/* `rows` int32[tiles][3] are the listed tiles. With `tile_matters` false, an image that is not listed may be cut
 * regardless of its tiles. */
sige_units sige_units_of(const sige_domain *domain, const int32_t *rows, bool tile_matters);

sige_unit sige_unit_listed(const sige_units *units, int64_t index);
sige_unit sige_unit_at(const sige_units *units, int image, int row, int column);

#endif
