#ifndef SIGE_CHECK_H
#define SIGE_CHECK_H

#include "sige_cpu.h"

/* Slots that an op reads or writes, whatever tiles are active. */
enum { SIGE_MAX_USED = 128 };
typedef struct sige_used {
    int n;
    int32_t slots[SIGE_MAX_USED];
} sige_used;

/* NULL, or one sentence saying what is wrong with an op of a program with so many slots. */
const char *sige_check(const sige_op *op, int n_slots, sige_used *used);

/* The same of the tiles that a domain lists. */
const char *sige_check_tiles(const sige_domain *domain, const sige_tiles *tiles);

#endif
