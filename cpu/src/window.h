/* Tensors are read pixel by pixel, or as a window gathered into contiguous memory. */
#ifndef SIGE_WINDOW_H
#define SIGE_WINDOW_H

#include "common.h"
#include "isa.h"

/* A view is a tensor with its slots looked up. */
typedef struct sige_view {
    const float *base, *blocks;
    const int32_t *grid;
    int32_t n, h, w, c, tile, tiles_y, tiles_x;
} sige_view;

/* This is a modulation with its slots looked up. */
typedef struct sige_mod {
    sige_view gamma, beta;
    int32_t gamma_first, beta_first;
} sige_mod;

/* An input is a source with its slots looked up: a tensor, how it looks, and what its pixels go through when they are
 * read. */
typedef struct sige_input {
    sige_view x;
    int resample;
    bool reflect;
    const float *scale, *shift; /* both or neither */
    int64_t stride;
    int act;
    bool modulated;
    sige_mod mod;
} sige_input;

#define sige_view_of SIGE_ISA(sige_view_of)
#define sige_mod_of SIGE_ISA(sige_mod_of)
#define sige_input_of SIGE_ISA(sige_input_of)
sige_view sige_view_of(const sige_tensor *tensor, void *const *slots);
sige_mod sige_mod_of(const sige_modulation *modulation, void *const *slots);
sige_input sige_input_of(const sige_source *source, void *const *slots);

/* Returns the channels of a pixel inside the image, as they are in memory; NULL where the tensor holds none, which is
 * so of an inactive pixel without a base. */
#define sige_pixel SIGE_ISA(sige_pixel)
const float *sige_pixel(const sige_view *view, int image, int y, int x);

/* Finds gamma and beta for channel 0 of a pixel; both are NULL where one of them is not held. */
#define sige_mod_pixel SIGE_ISA(sige_mod_pixel)
void sige_mod_pixel(const sige_mod *mod, int image, int y, int x, const float **gamma, const float **beta);

/* Reads rows y ... y + h - 1, columns x ... x + w - 1 of the image as it looks resampled, to dst, whose rows lie `row`
 * floats apart. Pixels that the tensor does not hold are zero. */
#define sige_window SIGE_ISA(sige_window)
void sige_window(const sige_input *input, int image, int y, int x, int h, int w, float *dst, size_t row);

#endif
