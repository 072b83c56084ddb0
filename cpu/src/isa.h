/* One library holds several instruction sets. Most sources, the kernels, are compiled once for each set, with
 * SIGE_ISA_NAME its name; the others once, for any processor of the architecture. A function that kernels share is
 * renamed by SIGE_ISA in the header that declares it, so that each set calls its own. Other sources call the kernels
 * through the table of the set that was chosen. */
#ifndef SIGE_ISA_H
#define SIGE_ISA_H

#include "check.h"
#include "pool.h"

#define SIGE_JOIN_NAMES(name, isa) name##_##isa
#define SIGE_JOIN(name, isa) SIGE_JOIN_NAMES(name, isa)
#define SIGE_ISA(name) SIGE_JOIN(name, SIGE_ISA_NAME)

/* What an op needs: bytes of scratch memory, for all threads together and for each, and about how many nanoseconds of
 * one thread. */
typedef struct sige_needs {
    size_t shared, own;
    double work;
} sige_needs;

/* A kind of op. `domain` is the offset in a sige_op where its domain lies; it is 0 for a norm, which has no pixels, and
 * for a paste, which has all. `check` is called by sige_compile. `plan` decides how an op is computed, and writes that
 * into `plan_bytes` of its own; `rows` are the tiles that its domain lists, NULL for every pixel. It is not called for
 * an op without tiles. `explain` is that of convolutions, and NULL for others. */
typedef struct sige_op_type {
    size_t domain, plan_bytes;
    const char *(*check)(const sige_op *op, const sige_checker *checker);
    sige_needs (*plan)(const sige_op *op, const int32_t *rows, void *plan);
    void (*run)(const sige_op *op, const void *plan, void *const *slots, sige_pool *pool);
    void (*explain)(const void *plan, sige_choice *choice);
} sige_op_type;

typedef struct sige_isa {
    const char *name;
    size_t (*pack_size)(const sige_conv *conv);
    void (*pack)(const sige_conv *conv, const sige_weights *weights, float *packed);
    double (*spin)(int64_t steps);
    const sige_op_type *types[SIGE_KINDS];
} sige_isa;

/* Returns the set that was chosen when the library was loaded; NULL, and the reason in sige_last_error, if there is
 * none. */
const sige_isa *sige_isa_chosen(void);

/* Keeps a sentence, or several words, for sige_last_error. */
__attribute__((format(printf, 1, 2))) void sige_set_error(const char *format, ...);

#endif
