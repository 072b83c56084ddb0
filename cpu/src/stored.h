/* Stored tiles are decoded as they are read, a vector of channels at a time. */
#ifndef SIGE_STORED_H
#define SIGE_STORED_H

#include "common.h"
#include "simd.h"

typedef uint16_t vhalf __attribute__((vector_size(SIGE_LANES * 2)));
typedef uint8_t vbyte __attribute__((vector_size(SIGE_LANES)));

/* Loads the first n numbers of a vector, which need no alignment; the rest are zero. */
static inline vhalf v_load_halves(const void *p, int n) {
    vhalf v = {0};
    memcpy(&v, p, n == SIGE_LANES ? sizeof v : (size_t)n * 2);
    return v;
}

static inline vbyte v_load_bytes(const void *p, int n) {
    vbyte v = {0};
    memcpy(&v, p, n == SIGE_LANES ? sizeof v : (size_t)n);
    return v;
}

/* Halves have an exponent that counts from 112 less than that of floats. */
#define SIGE_HALF_EXPONENT 0x1p112f

/* Converts binary16, which must be finite. */
static inline vfloat v_from_half(vhalf bits) {
    const vint wide = __builtin_convertvector(bits, vint);
    const vfloat size = (vfloat)((wide & 0x7fff) << 13) * v_splat(SIGE_HALF_EXPONENT);
    return (vfloat)((vint)size | (wide & 0x8000) << 16);
}

/* Rounds to the nearest binary16, to even in the middle; what is too large becomes the largest one. */
static inline vhalf v_to_half(vfloat x) {
    const vint bits = (vint)v_clamp(x, -65504.0f, 65504.0f);
    const vint size = (vint)((vfloat)(bits & 0x7fffffff) * v_splat(1.0f / SIGE_HALF_EXPONENT));
    const vint rounded = (size + 0xfff + (size >> 13 & 1)) >> 13;
    return __builtin_convertvector(rounded | (bits >> 16 & 0x8000), vhalf);
}

/* This is where the channels of a pixel begin. */
typedef struct sige_pixel {
    const void *data;    /* NULL: the tensor holds none */
    const uint8_t *tile; /* the coded tile that it is a pixel of; NULL: data are floats */
} sige_pixel;

/* Decodes channels k ... k + n - 1, at most a vector, of a pixel of a coded tile of c channels. */
static inline vfloat sige_decode(int codec, sige_pixel p, int c, int k, int n) {
    if (codec == SIGE_FLOAT16)
        return v_from_half(v_load_halves((const uint8_t *)p.data + 2 * k, n));
    const vfloat scale = v_from_half(v_load_halves(p.tile + 2 * k, n));
    const vfloat least = v_from_half(v_load_halves(p.tile + 2 * (c + k), n));
    const vbyte code = v_load_bytes((const uint8_t *)p.data + k, n);
    return __builtin_convertvector(__builtin_convertvector(code, vint), vfloat) * scale + least;
}

/* Returns pixel i of a stored tile. */
static inline sige_pixel sige_stored_pixel(int codec, const uint8_t *tile, int c, int64_t i) {
    if (codec == SIGE_FLOAT32)
        return (sige_pixel){tile + 4 * i * c, NULL};
    return (sige_pixel){tile + (codec == SIGE_FLOAT16 ? 2 * i : 4 + i) * c, tile};
}

/* Returns the bytes from one pixel to the next in a row of a tile, or of a plane of floats. */
static inline int64_t sige_pixel_bytes(int codec, sige_pixel p, int c) {
    return (int64_t)c * (!p.tile ? 4 : codec == SIGE_FLOAT16 ? 2 : 1);
}

#endif
