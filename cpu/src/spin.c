#include "spin.h"

#include "simd.h"

/* In so many registers none waits for its own sum. */
#define CHAINS(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11)
enum { N_CHAINS = 12 };

double sige_spin_vectors(int64_t steps) {
    vfloat a = v_splat(0.999f), b = v_splat(0.001f), sum = {0};
#define START(i) vfloat x##i = v_splat((float)i);
#define STEP(i) x##i += a * b;
#define END(i) sum += x##i;
    CHAINS(START)
    for (int64_t step = 0; step < steps; step++) {
        __asm__ volatile("" : : "r"(&a), "r"(&b) : "memory"); /* or a * b would be computed ahead */
        CHAINS(STEP)
    }
    CHAINS(END)
    volatile float used = v_sum(sum);
    (void)used;
    return 2 * N_CHAINS * SIGE_LANES * (double)steps;
}
