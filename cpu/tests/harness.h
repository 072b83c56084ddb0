/* The tests share these: a seeded generator, slots that grow, comparison, and a run of one op on several numbers of
 * threads. */
#ifndef HARNESS_H
#define HARNESS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "sige_cpu.h"

#define CHECK(condition, ...)                                                                                          \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            fprintf(stderr, "%s:%d: %s: ", __FILE__, __LINE__, #condition);                                            \
            fprintf(stderr, __VA_ARGS__);                                                                              \
            fprintf(stderr, "\n");                                                                                     \
            exit(1);                                                                                                   \
        }                                                                                                              \
    } while (0)

/* Returns a uniform integer in [least, most], or a uniform float in [-1, 1). The sequence is the same on every
 * machine. */
void seed(uint64_t value);
int pick(int least, int most);
float noise(void);

/* Returns how often to repeat a random test: `normal`, or the share of it that SIGE_TEST_PERCENT says (an emulator is
 * slow). */
int repeats(int normal);

enum { MAX_SLOTS = 128 };
typedef struct slots {
    void *data[MAX_SLOTS];
    size_t bytes[MAX_SLOTS];
    int n;
} slots;

/* Makes a new slot of exactly so many floats (so that a sanitizer sees one read too many): noise, or zeros. */
int floats(slots *s, int64_t n);
int zeros(slots *s, int64_t n);
int integers(slots *s, int64_t n);
int bytes(slots *s, int64_t n);
static inline float *at(const slots *s, int slot) { return s->data[slot]; }
void release(slots *s);

/* Returns the relative RMS difference of n floats from an oracle's doubles. */
double difference(const float *got, const double *want, int64_t n);

/* Compiles, binds and runs ops, whose domains have their numbers of tiles and the slots of their lists. Returns 0, or
 * -(1 + i) when op i is malformed, or -1000 when its tiles are, or what sige_run gives. */
int run(sige_pool *pool, const sige_op *ops, int n_ops, slots *s, double *seconds);

/* Runs the op with 1, 2 and 5 threads, and fails unless the slots come out the same to the bit. They are filled with
 * junk before each run to make sure of that. */
void run_everywhere(const sige_op *op, slots *s, const int *outputs, int n_outputs);

void test_conv(void);
void test_conv_tiles(void);
void test_conv_deep(void);
void test_conv_methods(void);
void test_blas(void);
void test_exact(void);
void test_depthwise(void);
void test_exact_sums(void);
void test_activations(void);
void test_store(void);
void test_norm(void);
void test_attention(void);
void test_paste(void);
void test_check(void);
void test_pool(void);
void test_team(void);
void test_memory(void);

#endif
