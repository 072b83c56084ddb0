/* The checks of ops are made of these. A check returns NULL, or one sentence that says what is wrong. */
#ifndef SIGE_CHECK_H
#define SIGE_CHECK_H

#include "common.h"

/* Sizes are limited so that every product of them that an op computes fits 63 bits, and a chunk's offsets 32. */
enum { SIGE_MAX_SIZE = 1 << 24, SIGE_MAX_CHANNELS = 1 << 20 };
#define SIGE_MAX_FLOATS ((int64_t)1 << 40)

/* An op reads or writes these slots, whatever tiles are active. */
enum { SIGE_MAX_USED = 128 };
typedef struct sige_used {
    int n;
    int32_t slots[SIGE_MAX_USED];
} sige_used;

/* One op is checked: its program has so many slots, and it was found to use some. */
typedef struct sige_checker {
    int n_slots;
    sige_used *used;
} sige_checker;

#define REQUIRE(condition, sentence)                                                                                   \
    do {                                                                                                               \
        if (!(condition))                                                                                              \
            return sentence;                                                                                           \
    } while (0)
#define PASS(check)                                                                                                    \
    do {                                                                                                               \
        const char *wrong = check;                                                                                     \
        if (wrong)                                                                                                     \
            return wrong;                                                                                              \
    } while (0)

static inline bool sige_within(int32_t value, int32_t least, int32_t most) { return value >= least && value <= most; }

/* Returns a product of positive numbers, or more than SIGE_MAX_FLOATS. */
static inline int64_t sige_bounded(int64_t a, int64_t b) {
    return a > SIGE_MAX_FLOATS / b ? SIGE_MAX_FLOATS + 1 : a * b;
}

/* Says whether a slot exists; it then counts as used. */
bool sige_has(const sige_checker *checker, int32_t slot);
bool sige_has_or_none(const sige_checker *checker, int32_t slot);

const char *sige_check_tensor(const sige_checker *checker, const sige_tensor *tensor);

/* The domain has c channels. */
const char *sige_check_domain(const sige_checker *checker, const sige_domain *domain, int32_t c);

const char *sige_check_source(const sige_checker *checker, const sige_source *source, const sige_domain *out);
const char *sige_check_finish(const sige_checker *checker, const sige_finish *finish);

/* Checks the tiles that a domain is given. */
const char *sige_check_tiles(const sige_domain *domain, const sige_tiles *tiles);

#endif
