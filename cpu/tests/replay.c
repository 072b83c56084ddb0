/* Runs what another program wrote down: ops, tiles and arrays. So a network runs where there is no Python, as under an
 * emulator.
 *
 *     sige_cpu_replay FILE RESULTS [TIMES ...]
 *
 * Weights are packed, then all passes run in order, each so many times, on one thread. RESULTS receives the arrays that
 * are asked for. What is printed: the instruction set, and the multiplications that convolutions of each pass are left
 * with.
 *
 * FILE, every number an int64 where nothing else is said:
 *
 *     numbers of arrays, of packs, of passes, of results
 *     an array:    bytes; codec of the tiles that it holds, or -1; 1 and its bytes, or 0 for zeros
 *     a pack:      array that receives packed weights; sige_conv; for each source c_total, c_first, bytes, its floats
 *     a pass:      number of ops, sige_op each; number of slots, each an array, or -1, and an offset in it;
 *                  number of lists of tiles, each a slot, a count and int32[count][3]
 *     a result:    array
 *
 * It is written by benchmarks/neon/replay.py and trusted. */
#include <stdio.h>
#include <stdlib.h>

#include "sige_cpu.h"

static FILE *file;

static _Noreturn void fail(const char *what) {
    fprintf(stderr, "sige_cpu_replay: %s\n", what);
    exit(1);
}

static void *zeros(size_t bytes) {
    void *p = NULL;
    if (posix_memalign(&p, 64, bytes + 64))
        fail("no memory");
    for (size_t i = 0; i < bytes; i++)
        ((char *)p)[i] = 0;
    return p;
}

static void *given(size_t bytes) {
    void *p = zeros(bytes);
    if (bytes && fread(p, bytes, 1, file) != 1)
        fail("the file ends early");
    return p;
}

static int64_t number(void) {
    int64_t n = 0;
    if (fread(&n, sizeof n, 1, file) != 1)
        fail("the file ends early");
    return n;
}

typedef struct array {
    uint8_t *data;
    size_t bytes;
    sige_stored stored; /* what its slot points to, where its codec is not -1 */
} array;

typedef struct pass {
    sige_program *program;
    sige_bound *bound;
    void **slots;
    int n_ops;
} pass;

static array read_array(void) {
    array a = {.bytes = (size_t)number()};
    const int32_t codec = (int32_t)number();
    a.data = number() ? given(a.bytes) : zeros(a.bytes);
    a.stored = (sige_stored){.tiles = a.data, .codec = codec};
    return a;
}

static void read_pack(array *arrays) {
    array *target = &arrays[number()];
    sige_conv *conv = given(sizeof *conv);
    sige_weights weights[SIGE_MAX_SOURCES];
    for (int i = 0; i < conv->n_sources; i++) {
        weights[i].c_total = (int32_t)number();
        weights[i].c_first = (int32_t)number();
        weights[i].data = given((size_t)number());
    }
    target->bytes = sige_pack_size(conv) * sizeof(float);
    target->data = zeros(target->bytes);
    sige_pack(conv, weights, (float *)target->data);
}

static pass read_pass(array *arrays) {
    pass p = {.n_ops = (int)number()};
    sige_op *ops = given((size_t)p.n_ops * sizeof *ops);
    const int n_slots = (int)number();
    p.slots = zeros((size_t)n_slots * sizeof *p.slots);
    for (int i = 0; i < n_slots; i++) {
        const int64_t which = number(), offset = number();
        if (which >= 0)
            p.slots[i] = arrays[which].stored.codec >= 0 ? (void *)&arrays[which].stored : arrays[which].data + offset;
    }
    const int n_lists = (int)number();
    sige_tiles *tiles = zeros((size_t)n_lists * sizeof *tiles);
    for (int i = 0; i < n_lists; i++) {
        tiles[i].list = (int32_t)number();
        tiles[i].count = (int32_t)number();
        tiles[i].rows = given((size_t)tiles[i].count * 3 * sizeof *tiles[i].rows);
    }
    int wrong;
    p.program = sige_compile(ops, p.n_ops, n_slots, &wrong);
    p.bound = p.program ? sige_bind(p.program, tiles, n_lists) : NULL;
    if (!p.bound)
        fail(sige_last_error());
    return p;
}

static double macs_of(const pass *p) {
    double macs = 0;
    sige_choice choice;
    for (int i = 0; i < p->n_ops; i++)
        if (!sige_explain(p->bound, i, &choice))
            macs += choice.macs;
    return macs;
}

int main(int argc, char **argv) {
    file = argc > 2 ? fopen(argv[1], "rb") : NULL;
    if (!file)
        fail("needs a file to read and one to write");
    const int64_t n_arrays = number(), n_packs = number(), n_passes = number(), n_results = number();
    array *arrays = zeros((size_t)n_arrays * sizeof *arrays);
    pass *passes = zeros((size_t)n_passes * sizeof *passes);
    for (int64_t i = 0; i < n_arrays; i++)
        arrays[i] = read_array();
    for (int64_t i = 0; i < n_packs; i++)
        read_pack(arrays);
    for (int64_t i = 0; i < n_passes; i++)
        passes[i] = read_pass(arrays);
    sige_pool *pool = sige_pool_create(1);
    if (!pool)
        fail(sige_last_error());
    printf("%s", sige_simd());
    for (int64_t i = 0; i < n_passes; i++) {
        printf(" %.0f", macs_of(&passes[i]));
        const int times = argc > 3 + i ? atoi(argv[3 + i]) : 1;
        for (int k = 0; k < times; k++)
            if (sige_run(pool, passes[i].bound, passes[i].slots, NULL))
                fail(sige_last_error());
    }
    printf("\n");
    FILE *results = fopen(argv[2], "wb");
    for (int64_t i = 0; i < n_results; i++) {
        const array *a = &arrays[number()];
        if (!results || fwrite(a->data, 1, a->bytes, results) != a->bytes)
            fail("the results cannot be written");
    }
    return fclose(results) ? 1 : 0;
}
