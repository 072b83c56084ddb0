/* Reading a tensor: a pixel, or a window gathered into contiguous memory. */
#ifndef SIGE_WINDOW_H
#define SIGE_WINDOW_H

#include "common.h"

/* A tensor with its slots looked up, and what its base goes through when it is read. */
typedef struct sige_view {
    const float *base, *blocks;
    const int32_t *grid;
    int32_t n, h, w, c, tile, tiles_y, tiles_x;
    const float *scale, *shift; /* both or neither */
    int64_t stride;
    int act;
} sige_view;

sige_view sige_view_of(const sige_tensor *tensor, void *const *slots);
sige_view sige_view_of_source(const sige_source *source, void *const *slots);

/* The channels of a pixel inside the image, as they are in memory; NULL where the tensor holds none (an inactive pixel
 * without a base). */
const float *sige_pixel(const sige_view *view, int image, int y, int x);

/* Reads rows y ... y + h - 1, columns x ... x + w - 1 of the image (upsampled by 2^upsample, nearest) to dst, whose
 * rows lie `row` floats apart. Pixels outside the image, or that the tensor does not hold, are zero. */
void sige_window(const sige_view *view, int image, int y, int x, int h, int w, int upsample, float *dst, size_t row);

#endif
