/* Winograd's algorithm (Lavin and Gray, arXiv:1509.09308) convolves by 3x3 kernels of stride 1: a 6x6 window gives 4x4
 * outputs, either as one F(4x4, 3x3), with 36 points, or as four F(2x2, 3x3) in raster order, with 16 points each
 * ("parts" below). Window and filter are transformed and multiplied point by point, which is a matrix product over the
 * channels; then the products are transformed back.
 *
 * Of a nearest-upsampled image 4x4 outputs read but 4x4 pixels of the small one. Along an axis two outputs are sums of
 * two neighbours with the weights w0, w1 + w2, the others with w0 + w1, w2; each pair is an F(2, 2) of three points. So
 * there are 36 here, too. */
#ifndef SIGE_WINOGRAD_H
#define SIGE_WINOGRAD_H

#include "pack.h"
#include "simd.h"

enum { SIGE_WINOGRAD_POINTS = 36 };

static inline bool sige_by_winograd(sige_method m) { return m >= SIGE_WINOGRAD_2; }
static inline int sige_winograd_points(sige_method m) {
    return m == SIGE_WINOGRAD_2 ? 16 : sige_by_winograd(m) ? SIGE_WINOGRAD_POINTS : 0;
}
static inline int sige_winograd_window(sige_method m) { return m == SIGE_WINOGRAD_UP ? 4 : 6; }
static inline int sige_winograd_parts(sige_method m) { return m == SIGE_WINOGRAD_2 ? 4 : 1; }

/* Transforms a filter [3][3] for F(4x4, 3x3), in double precision. */
#define sige_winograd_filter SIGE_ISA(sige_winograd_filter)
void sige_winograd_filter(const float *filter, float *points);

/* Returns the floats from one point of so many floats of transformed filters to the next. The points lay a power of two
 * apart otherwise, and would compete for a few sets of the first-level cache. */
static inline int64_t sige_filter_point(int64_t floats) { return floats + 16; }

/* Transforms filters: [9][floats], tap by tap, become [points][sige_filter_point(floats)]; they are whole vectors. */
#define sige_winograd_filters SIGE_ISA(sige_winograd_filters)
void sige_winograd_filters(sige_method method, const float *filters, int64_t floats, float *out);

/* Transforms `channels` of a window of c channels, whose rows lie `row` floats apart. Point p, part i goes to out + p *
 * point + i * part. */
#define sige_winograd_input SIGE_ISA(sige_winograd_input)
void sige_winograd_input(sige_method method, const float *window, size_t row, int c, int channels, float *out,
                         size_t point, size_t part);

/* So few rows of transformed windows have room in the registers beside a row of a filter's points, on an instruction
 * set with 32 of them. Such rows lie SIGE_FEW_ROW floats apart, and points SIGE_FEW_POINT. */
enum { SIGE_FEW = SIGE_LANES == 16 ? 4 : 0, SIGE_FEW_ROW = SIGE_BLOCK, SIGE_FEW_POINT = 4 * SIGE_FEW_ROW + 16 };

/* A product of a few rows with filters for F(4x4, 3x3), [9][channels][width], that are transformed on the way:
 *
 *     acc[p * point + row * SIGE_PANEL] += sum over c < channels of x[p * SIGE_FEW_POINT + row * SIGE_FEW_ROW + c] *
 *                                                                   transformed[p][c][0 ... width)
 *
 * or = the sum, when it is `fresh`. Bytes from `ahead` on, as many as the filters have, are brought in meanwhile. */
typedef struct sige_few {
    const float *x, *filters, *ahead;
    int64_t channels;
    int width, rows; /* 1 ... SIGE_FEW rows */
    float *acc;
    size_t point;
    bool fresh;
} sige_few;

#define sige_winograd_few SIGE_ISA(sige_winograd_few)
void sige_winograd_few(const sige_few *product);

/* Transforms the products of a panel: point p, part i is read from products + p * point + i * SIGE_PANEL. The first h x
 * w outputs are written to out [h][w][SIGE_PANEL]. */
#define sige_winograd_output SIGE_ISA(sige_winograd_output)
void sige_winograd_output(sige_method method, const float *products, size_t point, int h, int w, float *out);

#endif
