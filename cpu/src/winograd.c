#include "winograd.h"

#include "panel.h"

/* F(4, 3) at the points 0, a, -a, b, -b and infinity, with a^2 = 1/2 and b^2 = 2. By Cook and Toom's construction, with
 * M(x) = x (x^2 - a^2) (x^2 - b^2), the input's row of a point p has the coefficients of M(x) / (x - p), that of
 * infinity those of M(x), the filter's row is (1, p, p^2) / M'(p), and the output's column (1, p, p^2, p^3). These
 * points give a third to a half of the rounding error of the customary 0, 1, -1, 2, -2: about 1.6 times that of the
 * plain sum of products. */
#define A 0.70710678118654752440
#define B 1.41421356237309504880

static inline void input_4(const vfloat d[6], vfloat t[6]) {
    const vfloat a = v_splat((float)A), b = v_splat((float)B), two = v_splat(2.0f), half = v_splat(0.5f);
    const vfloat sum = v_splat(2.5f); /* a^2 + b^2 */
    vfloat even_a = d[4] - two * d[2], odd_a = a * (d[3] - two * d[1]);
    vfloat even_b = d[4] - half * d[2], odd_b = b * (d[3] - half * d[1]);
    t[0] = d[0] - sum * d[2] + d[4];
    t[1] = even_a + odd_a;
    t[2] = even_a - odd_a;
    t[3] = even_b + odd_b;
    t[4] = even_b - odd_b;
    t[5] = d[1] - sum * d[3] + d[5];
}

static inline void output_4(const vfloat m[6], vfloat y[4]) {
    const vfloat a = v_splat((float)A), b = v_splat((float)B), two = v_splat(2.0f), half = v_splat(0.5f);
    vfloat even_a = m[1] + m[2], odd_a = a * (m[1] - m[2]);
    vfloat even_b = m[3] + m[4], odd_b = b * (m[3] - m[4]);
    y[0] = m[0] + even_a + even_b;
    y[1] = odd_a + odd_b;
    y[2] = half * even_a + two * even_b;
    y[3] = half * odd_a + two * odd_b + m[5];
}

static inline void input_up(const vfloat d[4], vfloat t[6]) {
    t[0] = d[0] - d[1], t[1] = d[1], t[2] = d[2] - d[1];
    t[3] = d[1] - d[2], t[4] = d[2], t[5] = d[3] - d[2];
}

static inline void output_up(const vfloat m[6], vfloat y[4]) {
    y[0] = m[0] + m[1], y[1] = m[3] + m[4];
    y[2] = m[1] + m[2], y[3] = m[4] + m[5];
}

static inline void input_2(const vfloat d[4], vfloat t[4]) {
    t[0] = d[0] - d[2];
    t[1] = d[1] + d[2];
    t[2] = d[2] - d[1];
    t[3] = d[1] - d[3];
}

static inline void output_2(const vfloat m[4], vfloat y[2]) {
    y[0] = m[0] + m[1] + m[2];
    y[1] = m[1] - m[2] - m[3];
}

void sige_winograd_filter(const float *filter, float *points) {
    static const double g[6][3] = {{1, 0, 0},
                                   {-2.0 / 3, -2.0 / 3 * A, -1.0 / 3},
                                   {-2.0 / 3, 2.0 / 3 * A, -1.0 / 3},
                                   {1.0 / 6, 1.0 / 6 * B, 1.0 / 3},
                                   {1.0 / 6, -1.0 / 6 * B, 1.0 / 3},
                                   {0, 0, 1}};
    for (int i = 0; i < 6; i++)
        for (int j = 0; j < 6; j++) {
            double sum = 0;
            for (int k = 0; k < 9; k++)
                sum += g[i][k / 3] * g[j][k % 3] * (double)filter[k];
            points[i * 6 + j] = (float)sum;
        }
}

static inline void filter_4(const vfloat g[3], vfloat t[6]) {
    const vfloat third = v_splat((float)(1.0 / 3)), sixth = v_splat((float)(1.0 / 6));
    const vfloat two_thirds = v_splat((float)(2.0 / 3));
    vfloat even_a = two_thirds * g[0] + third * g[2], odd_a = v_splat((float)(2.0 / 3 * A)) * g[1];
    vfloat even_b = sixth * g[0] + third * g[2], odd_b = v_splat((float)(1.0 / 6 * B)) * g[1];
    t[0] = g[0];
    t[1] = -(even_a + odd_a);
    t[2] = odd_a - even_a;
    t[3] = even_b + odd_b;
    t[4] = even_b - odd_b;
    t[5] = g[2];
}

static inline void filter_2(const vfloat g[3], vfloat t[4]) {
    const vfloat half = v_splat(0.5f);
    vfloat even = half * (g[0] + g[2]), odd = half * g[1];
    t[0] = g[0];
    t[1] = even + odd;
    t[2] = even - odd;
    t[3] = g[2];
}

static inline void filter_up(const vfloat g[3], vfloat t[6]) {
    const vfloat first = g[0] + g[1], last = g[1] + g[2], sum = first + g[2];
    t[0] = g[0], t[1] = sum, t[2] = last;
    t[3] = first, t[4] = sum, t[5] = g[2];
}

/* Transforms a vector of filters, first the columns, then the rows; taps lie so many floats apart. */
#define FILTERS(NAME, POINTS, TRANSFORM)                                                                               \
    static inline void NAME(const float *filters, int64_t tap, float *out) {                                           \
        const int64_t point = sige_filter_point(tap);                                                                  \
        vfloat t[POINTS][3];                                                                                           \
        for (int x = 0; x < 3; x++) {                                                                                  \
            vfloat g[3], column[POINTS];                                                                               \
            for (int y = 0; y < 3; y++)                                                                                \
                g[y] = v_load(filters + (y * 3 + x) * tap);                                                            \
            TRANSFORM(g, column);                                                                                      \
            for (int y = 0; y < POINTS; y++)                                                                           \
                t[y][x] = column[y];                                                                                   \
        }                                                                                                              \
        for (int y = 0; y < POINTS; y++) {                                                                             \
            vfloat points[POINTS];                                                                                     \
            TRANSFORM(t[y], points);                                                                                   \
            for (int x = 0; x < POINTS; x++)                                                                           \
                v_store(out + (y * POINTS + x) * point, points[x]);                                                    \
        }                                                                                                              \
    }
FILTERS(filters_4, 6, filter_4)
FILTERS(filters_up, 6, filter_up)
FILTERS(filters_2, 4, filter_2)

void sige_winograd_filters(sige_method method, const float *filters, int64_t floats, float *out) {
    for (int64_t i = 0; i < floats; i += SIGE_LANES)
        if (method == SIGE_WINOGRAD_4)
            filters_4(filters + i, floats, out + i);
        else if (method == SIGE_WINOGRAD_UP)
            filters_up(filters + i, floats, out + i);
        else
            filters_2(filters + i, floats, out + i);
}

/* Transforms n of c channels, at most a vector: first the columns, then the rows. */
#define WINDOW(NAME, SIDE, POINTS, TRANSFORM)                                                                          \
    static inline void NAME(const float *window, size_t row, size_t c, int n, float *out, size_t point) {              \
        vfloat t[POINTS][SIDE];                                                                                        \
        for (int x = 0; x < SIDE; x++) {                                                                               \
            vfloat d[SIDE], column[POINTS];                                                                            \
            for (int y = 0; y < SIDE; y++)                                                                             \
                d[y] = v_some(window + (size_t)y * row + (size_t)x * c, n);                                            \
            TRANSFORM(d, column);                                                                                      \
            for (int y = 0; y < POINTS; y++)                                                                           \
                t[y][x] = column[y];                                                                                   \
        }                                                                                                              \
        for (int y = 0; y < POINTS; y++) {                                                                             \
            vfloat points[POINTS];                                                                                     \
            TRANSFORM(t[y], points);                                                                                   \
            for (int x = 0; x < POINTS; x++)                                                                           \
                v_put(out + (size_t)(y * POINTS + x) * point, points[x], n);                                           \
        }                                                                                                              \
    }
WINDOW(window_4, 6, 6, input_4)
WINDOW(window_up, 4, 6, input_up)
WINDOW(window_2, 4, 4, input_2)

static inline void input(sige_method method, const float *window, size_t row, size_t c, int n, float *out, size_t point,
                         size_t part) {
    if (method == SIGE_WINOGRAD_4) {
        window_4(window, row, c, n, out, point);
    } else if (method == SIGE_WINOGRAD_UP) {
        window_up(window, row, c, n, out, point);
    } else {
        for (size_t i = 0; i < 4; i++)
            window_2(window + i / 2 * 2 * row + i % 2 * 2 * c, row, c, n, out + i * part, point);
    }
}

void sige_winograd_input(sige_method method, const float *window, size_t row, int c, int channels, float *out,
                         size_t point, size_t part) {
    int k = 0;
    for (; k + SIGE_LANES <= channels; k += SIGE_LANES)
        input(method, window + k, row, (size_t)c, SIGE_LANES, out + k, point, part);
    if (k < channels)
        input(method, window + k, row, (size_t)c, channels - k, out + k, point, part);
}

/* Transforms products to a vector of channels of the 4x4 outputs. */
#define PRODUCTS(NAME, TRANSFORM)                                                                                      \
    static inline void NAME(const float *products, size_t point, vfloat y[4][4]) {                                     \
        vfloat t[4][6];                                                                                                \
        for (int j = 0; j < 6; j++) {                                                                                  \
            vfloat m[6], column[4];                                                                                    \
            for (int i = 0; i < 6; i++)                                                                                \
                m[i] = v_load(products + (size_t)(i * 6 + j) * point);                                                 \
            TRANSFORM(m, column);                                                                                      \
            for (int i = 0; i < 4; i++)                                                                                \
                t[i][j] = column[i];                                                                                   \
        }                                                                                                              \
        for (int i = 0; i < 4; i++)                                                                                    \
            TRANSFORM(t[i], y[i]);                                                                                     \
    }
PRODUCTS(products_4, output_4)
PRODUCTS(products_up, output_up)

static inline void products_2(const float *products, size_t point, vfloat y[4][4]) {
    for (int part = 0; part < 4; part++) {
        vfloat t[2][4];
        for (int j = 0; j < 4; j++) {
            vfloat m[4], column[2];
            for (int i = 0; i < 4; i++)
                m[i] = v_load(products + (size_t)(i * 4 + j) * point + part * SIGE_PANEL);
            output_2(m, column);
            for (int i = 0; i < 2; i++)
                t[i][j] = column[i];
        }
        for (int i = 0; i < 2; i++)
            output_2(t[i], &y[part / 2 * 2 + i][part % 2 * 2]);
    }
}

void sige_winograd_output(sige_method method, const float *products, size_t point, int h, int w, float *out) {
    for (int part = 0; part < SIGE_PANEL; part += SIGE_LANES) {
        vfloat y[4][4];
        if (method == SIGE_WINOGRAD_4)
            products_4(products + part, point, y);
        else if (method == SIGE_WINOGRAD_UP)
            products_up(products + part, point, y);
        else
            products_2(products + part, point, y);
        for (int i = 0; i < h; i++)
            for (int j = 0; j < w; j++)
                v_store(out + (i * w + j) * SIGE_PANEL + part, y[i][j]);
    }
}
