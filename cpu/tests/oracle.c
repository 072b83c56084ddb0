#include "oracle.h"

#include <math.h>

double oracle_pixel(const slots *s, const sige_tensor *t, int image, int y, int x, int c) {
    if (t->grid != SIGE_NONE) {
        int down = (t->h + t->tile - 1) / t->tile, across = (t->w + t->tile - 1) / t->tile;
        const int32_t *grid = s->data[t->grid];
        int b = grid[(image * down + y / t->tile) * across + x / t->tile];
        if (b >= 0)
            return (double)at(s, t->blocks)[((b * t->tile + y % t->tile) * t->tile + x % t->tile) * t->c + c];
        if (t->base == SIGE_NONE)
            return 0;
    }
    return (double)at(s, t->base)[((image * t->h + y) * t->w + x) * t->c + c];
}

static double tap(const slots *s, const sige_source *source, int image, int y, int x, int c) {
    int h = source->x.h << source->upsample, w = source->x.w << source->upsample;
    if (y < 0 || y >= h || x < 0 || x >= w)
        return 0;
    y >>= source->upsample, x >>= source->upsample;
    double value = oracle_pixel(s, &source->x, image, y, x, c);
    const sige_tensor *t = &source->x;
    if (t->grid != SIGE_NONE) {
        const int32_t *grid = s->data[t->grid];
        int down = (t->h + t->tile - 1) / t->tile, across = (t->w + t->tile - 1) / t->tile;
        if (t->base == SIGE_NONE || grid[(image * down + y / t->tile) * across + x / t->tile] >= 0)
            return value;
    }
    const sige_output on_read = {
        .scale = source->scale, .shift = source->shift, .stride = source->stride_affine, .act = source->act};
    return oracle_output(s, &on_read, image, c, value);
}

double oracle_conv(const slots *s, const sige_conv *conv, const sige_weights *weights, int image, int y, int x, int o) {
    double sum = 0;
    for (int i = 0; i < conv->n_sources; i++) {
        const sige_source *v = &conv->source[i];
        for (int ky = 0; ky < v->kh; ky++)
            for (int kx = 0; kx < v->kw; kx++)
                for (int c = 0; c < v->x.c; c++) {
                    double w = (double)weights[i]
                                   .data[((o * v->kh + ky) * v->kw + kx) * weights[i].c_total + weights[i].c_first + c];
                    sum += w * tap(s, v, image, y * v->stride + ky - v->pad_top, x * v->stride + kx - v->pad_left, c);
                }
    }
    if (conv->bias != SIGE_NONE)
        sum += (double)at(s, conv->bias)[o];
    if (conv->vec != SIGE_NONE)
        sum += (double)at(s, conv->vec)[image * conv->vec_stride + o];
    if (conv->has_residual)
        sum += oracle_pixel(s, &conv->residual, image, y, x, o);
    return sum;
}

double oracle_output(const slots *s, const sige_output *output, int image, int c, double value) {
    if (output->scale != SIGE_NONE)
        value = value * (double)at(s, output->scale)[image * output->stride + c] +
                (double)at(s, output->shift)[image * output->stride + c];
    return output->act == SIGE_SILU ? value / (1 + exp(-value)) : value;
}
