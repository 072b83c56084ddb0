#ifndef SIGE_CHECK_H
#define SIGE_CHECK_H

#include "sige_cpu.h"

/* NULL, or one sentence saying what is wrong with an op. Looks at the op and, for tile lists, at what the list holds.
 */
const char *sige_check(const sige_op *op, void *const *slots, int n_slots);

#endif
