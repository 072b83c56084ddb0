#ifndef PEAK_H
#define PEAK_H

/* Returns seconds of the clock, or with a single thread of the processor's time, which other programs disturb less. */
double now(int threads);

/* Returns the GFLOPS of independent accumulations x += a * b in registers, on so many threads at once: no matrix
 * product can exceed that. */
double fma_peak(int threads);

#endif
