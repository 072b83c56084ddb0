/* These say what the ops mean: they are the loops of the header's comments, in double precision. */
#ifndef ORACLE_H
#define ORACLE_H

#include "harness.h"

/* Returns the number that a half is. */
double oracle_half(const uint8_t *at);

/* Returns channel c of a pixel of the number-th tile of all that there are of a value; 0 where it is not held. */
double oracle_stored(const sige_stored *stored, int64_t number, int tile, int pixel, int c, int channels);

/* Returns the value of pixel (y, x), channel c of a tensor; 0 where it holds none. */
double oracle_pixel(const slots *s, const sige_tensor *t, int image, int y, int x, int c);

/* Returns the value at output pixel (y, x), channel o, before the outputs. */
double oracle_conv(const slots *s, const sige_conv *conv, const sige_weights *weights, int image, int y, int x, int o);
double oracle_depthwise(const slots *s, const sige_depthwise *op, int image, int y, int x, int c);

/* Returns dst of an output at pixel (y, x), channel c, given the value. */
double oracle_output(const slots *s, const sige_output *output, int image, int y, int x, int c, double value);

#endif
