#ifndef SIGE_SPIN_H
#define SIGE_SPIN_H

#include "isa.h"

/* See sige_spin. */
#define sige_spin_vectors SIGE_ISA(sige_spin_vectors)
double sige_spin_vectors(int64_t steps);

#endif
