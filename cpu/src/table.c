#include "op.h"
#include "pack.h"
#include "spin.h"

#define DECLARE(kind, name) extern const sige_op_type SIGE_OP_TYPE(name);
SIGE_OPS(DECLARE)

extern const sige_isa SIGE_ISA(sige_isa);

#define TEXT_OF(name) #name
#define TEXT(name) TEXT_OF(name)
#define ENTRY(kind, name) [SIGE_##kind] = &SIGE_OP_TYPE(name),

const sige_isa SIGE_ISA(sige_isa) = {.name = TEXT(SIGE_ISA_NAME),
                                     .pack_size = sige_packed_size,
                                     .pack = sige_pack_panels,
                                     .spin = sige_spin_vectors,
                                     .types = {SIGE_OPS(ENTRY)}};
