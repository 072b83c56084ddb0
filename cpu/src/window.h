/* Tensors are read pixel by pixel, or as a window gathered into contiguous memory. */
#ifndef SIGE_WINDOW_H
#define SIGE_WINDOW_H

#include "common.h"
#include "isa.h"
#include "stored.h"

/* A view is a tensor with its slots looked up. */
typedef struct sige_view {
    const float *base, *blocks;
    const int32_t *grid;
    const sige_stored *stored; /* in place of base, or NULL */
    size_t tile_bytes;         /* of a stored tile */
    int32_t n, h, w, c, tile, tiles_y, tiles_x;
} sige_view;

/* Returns channels k ... k + n - 1, at most a vector, of a pixel of a view. */
static inline vfloat sige_channels(const sige_view *v, sige_pixel p, int k, int n) {
    return p.tile ? sige_decode(v->stored->codec, p, v->c, k, n) : v_some((const float *)p.data + k, n);
}

/* Returns the pixel that comes `pixels` after another in the same row, of a tile or of a plane. */
static inline sige_pixel sige_next(const sige_view *v, sige_pixel p, int64_t pixels) {
    const int codec = p.tile ? v->stored->codec : SIGE_FLOAT32;
    return (sige_pixel){(const uint8_t *)p.data + pixels * sige_pixel_bytes(codec, p, v->c), p.tile};
}

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
    bool raw, modulated;
    sige_mod mod;
} sige_input;

#define sige_view_of SIGE_ISA(sige_view_of)
#define sige_mod_of SIGE_ISA(sige_mod_of)
#define sige_input_of SIGE_ISA(sige_input_of)
sige_view sige_view_of(const sige_tensor *tensor, void *const *slots);
sige_mod sige_mod_of(const sige_modulation *modulation, void *const *slots);
sige_input sige_input_of(const sige_source *source, void *const *slots);

/* Returns a pixel inside the image. The tensor holds none where it is inactive and there is no base. */
#define sige_find_pixel SIGE_ISA(sige_find_pixel)
sige_pixel sige_find_pixel(const sige_view *view, int image, int y, int x);

/* Finds the pixels of gamma and beta; both hold none where one of them does not. */
#define sige_find_mod SIGE_ISA(sige_find_mod)
void sige_find_mod(const sige_mod *mod, int image, int y, int x, sige_pixel *gamma, sige_pixel *beta);

/* Reads rows y ... y + h - 1, columns x ... x + w - 1 of the image as it looks resampled, to dst, whose rows lie `row`
 * floats apart. Pixels that the tensor does not hold are zero. */
#define sige_window SIGE_ISA(sige_window)
void sige_window(const sige_input *input, int image, int y, int x, int h, int w, float *dst, size_t row);

/* Returns where such a window lies in memory as sige_window would write it, with rows w * c floats apart, and brings it
 * in. Returns NULL unless these are whole rows of one tile, as wide as it, to which nothing is done. */
#define sige_window_in_place SIGE_ISA(sige_window_in_place)
const float *sige_window_in_place(const sige_input *input, int image, int y, int x, int h, int w);

#endif
