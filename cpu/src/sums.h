/* These are sums over tiles of what is computed in units. Units that are smaller than their tile leave theirs in
 * scratch memory, to be added up in order. */
#ifndef SIGE_SUMS_H
#define SIGE_SUMS_H

#include "isa.h"
#include "units.h"

/* Returns the bytes of that scratch memory: 0 if there are no sums, or if a tile is one unit. */
#define sige_unit_sums_bytes SIGE_ISA(sige_unit_sums_bytes)
size_t sige_unit_sums_bytes(const sige_units *units, int32_t sums, int c);

/* Adds up float[units][2][c] to float[tiles][2][c]. */
#define sige_add_unit_sums SIGE_ISA(sige_add_unit_sums)
void sige_add_unit_sums(const sige_units *units, const float *unit_sums, float *sums, int c, sige_pool *pool);

#endif
