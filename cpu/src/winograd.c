#include "winograd.h"

#include <string.h>

#include "panel.h"
#include "units.h"

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

/* Transforms n channels, at most a vector, of a square along both axes, first its columns, then its rows. Numbers of
 * floats lie between rows and columns, of what is read and of what is written. */
#define SQUARE(TRANSFORM, FROM, TO)                                                                                    \
    static inline void square_##TRANSFORM(const float *from, size_t row, size_t column, int n, float *to,              \
                                          size_t to_row, size_t to_column) {                                           \
        vfloat t[TO][FROM];                                                                                            \
        for (size_t x = 0; x < FROM; x++) {                                                                            \
            vfloat d[FROM], of_column[TO];                                                                             \
            for (size_t y = 0; y < FROM; y++)                                                                          \
                d[y] = v_some(from + y * row + x * column, n);                                                         \
            TRANSFORM(d, of_column);                                                                                   \
            for (size_t y = 0; y < TO; y++)                                                                            \
                t[y][x] = of_column[y];                                                                                \
        }                                                                                                              \
        for (size_t y = 0; y < TO; y++) {                                                                              \
            vfloat of_row[TO];                                                                                         \
            TRANSFORM(t[y], of_row);                                                                                   \
            for (size_t x = 0; x < TO; x++)                                                                            \
                v_put(to + y * to_row + x * to_column, of_row[x], n);                                                  \
        }                                                                                                              \
    }
SQUARE(filter_4, 3, 6)
SQUARE(filter_up, 3, 6)
SQUARE(filter_2, 3, 4)
SQUARE(input_4, 6, 6)
SQUARE(input_up, 4, 6)
SQUARE(input_2, 4, 4)
SQUARE(output_4, 6, 4)
SQUARE(output_up, 6, 4)
SQUARE(output_2, 4, 2)

void sige_winograd_filters(sige_method method, const float *filters, int64_t floats, float *out) {
    const size_t tap = (size_t)floats, point = (size_t)sige_filter_point(floats);
    for (size_t i = 0; i < tap; i += SIGE_LANES)
        if (method == SIGE_WINOGRAD_4)
            square_filter_4(filters + i, 3 * tap, tap, SIGE_LANES, out + i, 6 * point, point);
        else if (method == SIGE_WINOGRAD_UP)
            square_filter_up(filters + i, 3 * tap, tap, SIGE_LANES, out + i, 6 * point, point);
        else
            square_filter_2(filters + i, 3 * tap, tap, SIGE_LANES, out + i, 4 * point, point);
}

#if SIGE_LANES == 16
#define ALWAYS static inline __attribute__((always_inline))

/* Returns row i of a filter's transformed column. */
ALWAYS vfloat filter_4_row(int i, vfloat a, vfloat b, vfloat c) {
    vfloat column[] = {a, b, c}, t[6];
    filter_4(column, t);
    return t[i];
}

/* Multiplies by the points of row i: their sums are 24 registers, and a row of a filter's points are six more. */
ALWAYS void few_points(const sige_few *f, int i, int rows, int part, int lines, const float *ahead) {
    vfloat sum[6][SIGE_FEW];
    float *acc = f->acc + (size_t)i * 6 * f->point + part;
    const float *x = f->x + i * 6 * SIGE_FEW_POINT, *w = f->filters + part;
    const int64_t tap = f->channels * f->width;
#pragma GCC unroll 6
    for (int j = 0; j < 6; j++)
#pragma GCC unroll 4
        for (int r = 0; r < rows; r++)
            sum[j][r] = f->fresh ? (vfloat){0} : v_load(acc + (size_t)j * f->point + r * SIGE_PANEL);
    for (const float *end = x + f->channels; x < end; x++, w += f->width, ahead += lines * SIGE_LINE) {
#pragma GCC unroll 3
        for (int line = 0; line < lines; line++)
            __builtin_prefetch(ahead + line * SIGE_LINE);
        vfloat g[3], t[6];
#pragma GCC unroll 3
        for (int k = 0; k < 3; k++)
            g[k] = filter_4_row(i, v_load(w + k * tap), v_load(w + (3 + k) * tap), v_load(w + (6 + k) * tap));
        filter_4(g, t);
#pragma GCC unroll 6
        for (int j = 0; j < 6; j++)
#pragma GCC unroll 4
            for (int r = 0; r < rows; r++)
                sum[j][r] += v_splat(x[j * SIGE_FEW_POINT + r * SIGE_FEW_ROW]) * t[j];
    }
#pragma GCC unroll 6
    for (int j = 0; j < 6; j++)
#pragma GCC unroll 4
        for (int r = 0; r < rows; r++)
            v_store(acc + (size_t)j * f->point + r * SIGE_PANEL, sum[j][r]);
}

/* The first and the last row load less than the others, and bring in more: nine cache lines for a channel in all. */
#define FEW(ROWS)                                                                                                      \
    static __attribute__((noinline)) void few_##ROWS(const sige_few *f, int part, const float *ahead) {                \
        const int64_t step = f->channels * SIGE_LINE;                                                                  \
        few_points(f, 0, ROWS, part, 3, ahead);                                                                        \
        few_points(f, 1, ROWS, part, 1, ahead + 3 * step);                                                             \
        few_points(f, 2, ROWS, part, 1, ahead + 4 * step);                                                             \
        few_points(f, 3, ROWS, part, 1, ahead + 5 * step);                                                             \
        few_points(f, 4, ROWS, part, 1, ahead + 6 * step);                                                             \
        few_points(f, 5, ROWS, part, 2, ahead + 7 * step);                                                             \
    }
FEW(1)
FEW(2)
FEW(3)
FEW(4)

void sige_winograd_few(const sige_few *f) {
    static void (*const of[])(const sige_few *, int, const float *) = {NULL, few_1, few_2, few_3, few_4};
    for (int part = 0; part < f->width; part += SIGE_LANES)
        of[f->rows](f, part, f->ahead + 9 * f->channels * part);
}
#else
void sige_winograd_few(const sige_few *f) { (void)f; }
#endif

static inline void input(sige_method method, const float *window, size_t row, size_t c, int n, float *out, size_t point,
                         size_t part) {
    if (method == SIGE_WINOGRAD_4) {
        square_input_4(window, row, c, n, out, 6 * point, point);
    } else if (method == SIGE_WINOGRAD_UP) {
        square_input_up(window, row, c, n, out, 6 * point, point);
    } else {
        for (size_t i = 0; i < 4; i++)
            square_input_2(window + i / 2 * 2 * row + i % 2 * 2 * c, row, c, n, out + i * part, 4 * point, point);
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

/* Transforms a vector of a panel's products to 4x4 outputs, which are panels. */
static inline void output(sige_method method, const float *products, size_t point, float *out) {
    enum { N = SIGE_LANES, ROW = SIGE_UNIT * SIGE_PANEL };
    if (method == SIGE_WINOGRAD_4) {
        square_output_4(products, 6 * point, point, N, out, ROW, SIGE_PANEL);
    } else if (method == SIGE_WINOGRAD_UP) {
        square_output_up(products, 6 * point, point, N, out, ROW, SIGE_PANEL);
    } else {
        for (size_t i = 0; i < 4; i++)
            square_output_2(products + i * SIGE_PANEL, 4 * point, point, N,
                            out + i / 2 * 2 * ROW + i % 2 * 2 * SIGE_PANEL, ROW, SIGE_PANEL);
    }
}

void sige_winograd_output(sige_method method, const float *products, size_t point, int h, int w, float *out) {
    float whole[SIGE_UNIT_PIXELS * SIGE_PANEL];
    const bool cut = h < SIGE_UNIT || w < SIGE_UNIT;
    for (int part = 0; part < SIGE_PANEL; part += SIGE_LANES)
        output(method, products + part, point, (cut ? whole : out) + part);
    for (int i = 0; cut && i < h; i++)
        memcpy(out + i * w * SIGE_PANEL, whole + i * SIGE_UNIT * SIGE_PANEL, (size_t)(w * SIGE_PANEL) * sizeof *out);
}
