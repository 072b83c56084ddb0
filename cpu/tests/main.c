#include <string.h>

#include "harness.h"
#include "src/pool.h"

/* Under a sanitizer, too, an allocation that fails returns NULL. */
const char *__asan_default_options(void);
const char *__tsan_default_options(void);
const char *__asan_default_options(void) { return "allocator_may_return_null=1"; }
const char *__tsan_default_options(void) { return "allocator_may_return_null=1"; }

static const struct {
    const char *name;
    void (*run)(void);
} tests[] = {
    {"conv", test_conv},
    {"conv_tiles", test_conv_tiles},
    {"conv_deep", test_conv_deep},
    {"conv_methods", test_conv_methods},
    {"blas", test_blas},
    {"exact", test_exact},
    {"depthwise", test_depthwise},
    {"exact_sums", test_exact_sums},
    {"activations", test_activations},
    {"norm", test_norm},
    {"attention", test_attention},
    {"paste", test_paste},
    {"store", test_store},
    {"check", test_check},
    {"pool", test_pool},
    {"team", test_team},
    {"memory", test_memory},
};

enum { LACKING = 77 }; /* what a skipped test returns, for CTest */

/* Runs the tests named, or all, on the instruction set that SIGE_CPU_ISA names. */
int main(int argc, char **argv) {
    int ran = 0;
    const char *isa = sige_simd();
    if (!isa) {
        fprintf(stderr, "%s\n", sige_last_error());
        return LACKING;
    }
    printf("%s, of %s\n", isa, sige_isas());
    sige_shared_from[0] = sige_shared_from[1] = 0; /* ops of tests are short, and are to be shared */
    for (size_t i = 0; i < sizeof tests / sizeof *tests; i++) {
        bool wanted = argc == 1;
        for (int k = 1; k < argc; k++)
            wanted |= !strcmp(argv[k], tests[i].name);
        if (!wanted)
            continue;
        seed(1);
        tests[i].run();
        printf("%s: passed\n", tests[i].name);
        ran++;
    }
    return ran ? 0 : 1;
}
