#include "../src/isa.h"
#include "../src/simd.h"

/* Runs `steps` independent accumulations x += a * b in each of so many registers that none waits for its own sum;
 * returns how many floating-point operations that is. Compiled once for each instruction set. */
#define sige_spin SIGE_ISA(sige_spin)
double sige_spin(long steps);

#define CHAINS(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11)
enum { N_CHAINS = 12 };

double sige_spin(long steps) {
    vfloat a = v_splat(0.999f), b = v_splat(0.001f), sum = {0};
#define START(i) vfloat x##i = v_splat((float)i);
#define STEP(i) x##i += a * b;
#define END(i) sum += x##i;
    CHAINS(START)
    for (long step = 0; step < steps; step++) {
        __asm__ volatile("" : : "r"(&a), "r"(&b) : "memory"); /* or a * b would be computed ahead */
        CHAINS(STEP)
    }
    CHAINS(END)
    volatile float used = v_sum(sum);
    (void)used;
    return 2 * (double)(N_CHAINS * SIGE_LANES * steps);
}
