#include "isa.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#if defined(__x86_64__)
#include <cpuid.h>

/* Says whether the operating system keeps these registers of a thread, which are bits of XCR0. */
static bool saved(unsigned registers) {
    unsigned a, b, c, d, low, high;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_OSXSAVE))
        return false;
    __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (low & registers) == registers;
}

static bool has_avx2(void) {
    enum { XMM_YMM = 0x06 };
    unsigned a, b, c, d;
    return __get_cpuid(1, &a, &b, &c, &d) && (c & bit_FMA) && __get_cpuid_count(7, 0, &a, &b, &c, &d) &&
           (b & bit_AVX2) && saved(XMM_YMM);
}

static bool has_avx512(void) {
    enum { XMM_YMM_ZMM_MASKS = 0xe6 };
    const unsigned needed = bit_AVX512F | bit_AVX512BW | bit_AVX512DQ | bit_AVX512VL;
    unsigned a, b, c, d;
    return has_avx2() && __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & needed) == needed && saved(XMM_YMM_ZMM_MASKS);
}

static bool has_generic(void) { return true; }
#elif defined(__aarch64__)
static bool has_neon(void) { return true; }
#else
static bool has_generic(void) { return true; }
#endif

#define SET(name) extern const sige_isa sige_isa_##name;
SIGE_SETS
#undef SET

/* Best first. */
static const struct {
    const sige_isa *isa;
    bool (*usable)(void);
} sets[] = {
#define SET(name) {&sige_isa_##name, has_##name},
    SIGE_SETS
#undef SET
};
enum { SETS = sizeof sets / sizeof *sets };

static const sige_isa *chosen;
static char usable[64];        /* names, best first */
static const char *not_usable; /* what SIGE_CPU_ISA asks for in vain */

__attribute__((constructor)) static void choose(void) {
    const char *wanted = getenv("SIGE_CPU_ISA");
    const bool any = !wanted || !*wanted;
    for (int i = 0; i < SETS; i++) {
        if (!sets[i].usable())
            continue;
        const char *name = sets[i].isa->name;
        if (*usable)
            strcat(usable, ", ");
        strcat(usable, name);
        if (!chosen && (any || !strcmp(wanted, name)))
            chosen = sets[i].isa;
    }
    if (!chosen)
        not_usable = strdup(wanted);
}

const char *sige_isas(void) { return usable; }

const sige_isa *sige_isa_chosen(void) {
    if (!chosen)
        sige_set_error("SIGE_CPU_ISA is \"%s\"; on this processor the CPU library can use: %s",
                       not_usable ? not_usable : "", usable);
    return chosen;
}

const char *sige_simd(void) { return sige_isa_chosen() ? chosen->name : NULL; }

double sige_spin(int64_t steps) { return sige_isa_chosen() ? chosen->spin(steps) : 0; }
