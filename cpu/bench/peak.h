#ifndef PEAK_H
#define PEAK_H

/* Seconds: of the clock, or with a single thread of the processor's time, which other programs disturb less. */
double now(int threads);

/* GFLOPS of independent accumulations x += a * b in registers, on so many threads at once: what no matrix product can
 * exceed. */
double fma_peak(int threads);

#endif
