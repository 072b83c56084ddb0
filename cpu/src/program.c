/* Programs are checked when they are compiled, planned when they are bound to tiles, and then only run. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "op.h"

static _Thread_local char last_error[256];

const char *sige_last_error(void) { return last_error; }
int sige_abi(void) { return SIGE_ABI; }

void sige_set_error(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(last_error, sizeof last_error, format, arguments);
    va_end(arguments);
}

size_t sige_tile_bytes(int32_t codec, int32_t tile, int32_t c) {
    const size_t pixels = (size_t)tile * (size_t)tile, channels = (size_t)c;
    switch (codec) {
    case SIGE_FLOAT32:
        return 4 * pixels * channels;
    case SIGE_FLOAT16:
        return 2 * pixels * channels;
    case SIGE_INT8:
        return (4 + pixels) * channels;
    default:
        return 0;
    }
}

size_t sige_pack_size(const sige_conv *conv) {
    const sige_isa *isa = sige_isa_chosen();
    return isa ? isa->pack_size(conv) : 0;
}

void sige_pack(const sige_conv *conv, const sige_weights *weights, float *packed) {
    const sige_isa *isa = sige_isa_chosen();
    if (isa)
        isa->pack(conv, weights, packed);
}

struct sige_program {
    const sige_isa *isa;
    int n_ops, n_slots;
    sige_op *ops;
    sige_used *used; /* by each op */
};

struct sige_bound {
    const sige_program *program;
    sige_op *ops;          /* with their numbers of tiles */
    int32_t *rows;         /* of all lists */
    char *plans;           /* one after the other */
    size_t *plan;          /* of each op: where it begins */
    double *work;          /* and how long it takes one thread */
    unsigned char *needed; /* of each slot: whether it is read or written */
    size_t shared, own;    /* bytes of scratch memory, for all threads together and for each */
};

/* Allocates at least a byte, so that NULL always means that there is no memory. */
static void *allocate(size_t n, size_t size) { return calloc(n ? n : 1, size); }

void sige_program_destroy(sige_program *program) {
    if (!program)
        return;
    free(program->ops);
    free(program->used);
    free(program);
}

void sige_bound_destroy(sige_bound *bound) {
    if (!bound)
        return;
    free(bound->ops);
    free(bound->rows);
    free(bound->plans);
    free(bound->plan);
    free(bound->work);
    free(bound->needed);
    free(bound);
}

sige_program *sige_compile(const sige_op *ops, int n_ops, int n_slots, int *wrong) {
    *wrong = -1;
    const sige_isa *isa = sige_isa_chosen();
    if (!isa)
        return NULL;
    sige_program *p = allocate(1, sizeof *p);
    if (p) {
        *p = (sige_program){.isa = isa, .n_ops = n_ops, .n_slots = n_slots};
        p->ops = allocate((size_t)n_ops, sizeof *p->ops);
        p->used = allocate((size_t)n_ops, sizeof *p->used);
    }
    if (!p || !p->ops || !p->used) {
        sige_set_error("no memory for a program of %d ops", n_ops);
        sige_program_destroy(p);
        return NULL;
    }
    for (int i = 0; i < n_ops; i++) {
        const sige_checker checker = {n_slots, &p->used[i]};
        const bool known = sige_within(ops[i].kind, 0, SIGE_KINDS - 1);
        const char *sentence = known ? isa->types[ops[i].kind]->check(&ops[i], &checker) : "kind is not a sige_kind";
        if (sentence) {
            sige_set_error("op %d: %s", i, sentence);
            *wrong = i;
            sige_program_destroy(p);
            return NULL;
        }
        p->ops[i] = ops[i];
    }
    return p;
}

static const sige_op_type *type_of(const sige_program *p, int i) { return p->isa->types[p->ops[i].kind]; }

/* Returns the pixels that op i of a program computes, in one of its copies of the ops; NULL if its type has no
 * domain. */
static sige_domain *domain_of(const sige_program *p, sige_op *ops, int i) {
    const size_t at = type_of(p, i)->domain;
    return at ? (sige_domain *)(void *)((char *)&ops[i] + at) : NULL;
}

/* Returns the tiles that an op's domain lists, if they were given. */
static const sige_tiles *tiles_of(const sige_domain *domain, const sige_tiles *tiles, int n) {
    for (int i = 0; domain && i < n; i++)
        if (tiles[i].list == domain->list)
            return &tiles[i];
    return NULL;
}

/* Fills in the number of tiles; where there are none, there is nothing to plan. */
static const char *bind_op(sige_bound *b, int i, const sige_tiles *tiles, int n, size_t *first_row) {
    sige_domain *domain = domain_of(b->program, b->ops, i);
    const int32_t *rows = NULL;
    if (domain && domain->list != SIGE_NONE) {
        const sige_tiles *found = tiles_of(domain, tiles, n);
        if (!found)
            return "its domain lists tiles that were not given";
        const char *sentence = sige_check_tiles(domain, found);
        if (sentence)
            return sentence;
        rows = b->rows + first_row[found - tiles];
        domain->tiles = found->count;
        if (domain->tiles == 0)
            return NULL;
    }
    const sige_used *used = &b->program->used[i];
    for (int s = 0; s < used->n; s++)
        b->needed[used->slots[s]] = 1;
    const sige_needs needs = type_of(b->program, i)->plan(&b->ops[i], rows, b->plans + b->plan[i]);
    b->shared = needs.shared > b->shared ? needs.shared : b->shared;
    b->own = needs.own > b->own ? needs.own : b->own;
    b->work[i] = needs.work;
    return NULL;
}

static bool allocate_bound(sige_bound *b, const sige_tiles *tiles, int n) {
    const sige_program *p = b->program;
    size_t rows = 0, bytes = 0;
    for (int i = 0; i < n; i++)
        rows += tiles[i].count > 0 ? (size_t)tiles[i].count : 0;
    b->plan = allocate((size_t)p->n_ops, sizeof *b->plan);
    if (!b->plan)
        return false;
    for (int i = 0; i < p->n_ops; i++)
        b->plan[i] = bytes, bytes += sige_line(type_of(p, i)->plan_bytes);
    b->ops = allocate((size_t)p->n_ops, sizeof *b->ops);
    b->work = allocate((size_t)p->n_ops, sizeof *b->work);
    b->rows = allocate(3 * rows, sizeof *b->rows);
    b->plans = allocate(bytes, 1);
    b->needed = allocate((size_t)p->n_slots, 1);
    return b->ops && b->work && b->rows && b->plans && b->needed;
}

sige_bound *sige_bind(const sige_program *program, const sige_tiles *tiles, int n) {
    sige_bound *b = allocate(1, sizeof *b);
    size_t *first_row = allocate((size_t)n, sizeof *first_row);
    if (b)
        *b = (sige_bound){.program = program};
    if (!b || !first_row || !allocate_bound(b, tiles, n)) {
        sige_set_error("no memory for a bound program of %d ops", program->n_ops);
        free(first_row);
        sige_bound_destroy(b);
        return NULL;
    }
    size_t at = 0;
    for (int i = 0; i < n; at += tiles[i].count > 0 ? 3 * (size_t)tiles[i].count : 0, i++) {
        first_row[i] = at;
        if (tiles[i].count > 0 && tiles[i].rows)
            memcpy(b->rows + at, tiles[i].rows, 3 * (size_t)tiles[i].count * sizeof *b->rows);
    }
    memcpy(b->ops, program->ops, (size_t)program->n_ops * sizeof *b->ops);
    const char *sentence = NULL;
    for (int i = 0; i < program->n_ops && !sentence; i++)
        if ((sentence = bind_op(b, i, tiles, n, first_row)))
            sige_set_error("op %d: %s", i, sentence);
    free(first_row);
    if (!sentence)
        return b;
    sige_bound_destroy(b);
    return NULL;
}

/* Says whether an op has pixels to compute. */
static bool has_work(const sige_bound *bound, int i) {
    const sige_domain *domain = domain_of(bound->program, bound->ops, i);
    return !domain || domain->list == SIGE_NONE || domain->tiles;
}

int sige_explain(const sige_bound *bound, int op, sige_choice *choice) {
    const sige_op_type *type = type_of(bound->program, op);
    if (!type->explain || !has_work(bound, op))
        return 1;
    type->explain(bound->plans + bound->plan[op], choice);
    return 0;
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

int sige_run(sige_pool *pool, const sige_bound *bound, void *const *slots, double *seconds) {
    const sige_program *p = bound->program;
    for (int i = 0; i < p->n_slots; i++)
        if (bound->needed[i] && !slots[i]) {
            sige_set_error("slot %d is NULL", i);
            return EINVAL;
        }
    if (sige_pool_reserve(pool, bound->shared, bound->own)) {
        sige_set_error("no memory for %zu bytes of scratch",
                       bound->shared + bound->own * (size_t)sige_pool_threads(pool));
        return ENOMEM;
    }
    sige_pool_enter(pool);
    for (int i = 0; i < p->n_ops; i++) {
        const double start = seconds ? now() : 0;
        if (has_work(bound, i)) {
            sige_pool_gather(pool, bound->work[i]);
            type_of(p, i)->run(&bound->ops[i], bound->plans + bound->plan[i], slots, pool);
        }
        if (seconds)
            seconds[i] = now() - start;
    }
    sige_pool_leave(pool);
    return 0;
}
