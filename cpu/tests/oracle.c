#include "oracle.h"

#include <math.h>
#include <string.h>

static bool is_active(const slots *s, const sige_tensor *t, int image, int y, int x, int *block) {
    if (t->grid == SIGE_NONE)
        return false;
    const int down = (t->h + t->tile - 1) / t->tile, across = (t->w + t->tile - 1) / t->tile;
    *block = ((const int32_t *)s->data[t->grid])[(image * down + y / t->tile) * across + x / t->tile];
    return *block >= 0;
}

static bool holds(const slots *s, const sige_tensor *t, int image, int y, int x) {
    int block;
    if (is_active(s, t, image, y, x, &block))
        return true;
    if (!t->stored)
        return t->base != SIGE_NONE;
    const int32_t *index = ((const sige_stored *)s->data[t->base])->index;
    const int down = (t->h + t->tile - 1) / t->tile, across = (t->w + t->tile - 1) / t->tile;
    return !index || index[(image * down + y / t->tile) * across + x / t->tile] >= 0;
}

double oracle_half(const uint8_t *at) {
    uint16_t bits;
    memcpy(&bits, at, sizeof bits);
    const int exponent = bits >> 10 & 31, fraction = bits & 1023;
    const double size = exponent ? ldexp(1024 + fraction, exponent - 25) : ldexp(fraction, -24);
    return bits >> 15 ? -size : size;
}

double oracle_stored(const sige_stored *stored, int64_t number, int tile, int pixel, int c, int channels) {
    if (stored->index)
        number = stored->index[number];
    if (number < 0)
        return 0;
    const int pixels = tile * tile, at = pixel * channels + c;
    const int64_t floats = number * pixels * channels;
    if (stored->codec == SIGE_FLOAT32)
        return (double)((const float *)(const void *)stored->tiles)[floats + at];
    if (stored->codec == SIGE_FLOAT16)
        return oracle_half(stored->tiles + 2 * (floats + at));
    const uint8_t *of = stored->tiles + number * (4 + pixels) * channels;
    return oracle_half(of + 2 * (channels + c)) + oracle_half(of + 2 * c) * of[4 * channels + at];
}

double oracle_pixel(const slots *s, const sige_tensor *t, int image, int y, int x, int c) {
    int b;
    if (is_active(s, t, image, y, x, &b))
        return (double)at(s, t->blocks)[((b * t->tile + y % t->tile) * t->tile + x % t->tile) * t->c + c];
    if (t->stored) {
        const int down = (t->h + t->tile - 1) / t->tile, across = (t->w + t->tile - 1) / t->tile;
        const int number = (image * down + y / t->tile) * across + x / t->tile;
        return oracle_stored(s->data[t->base], number, t->tile, y % t->tile * t->tile + x % t->tile, c, t->c);
    }
    return t->base == SIGE_NONE ? 0 : (double)at(s, t->base)[((image * t->h + y) * t->w + x) * t->c + c];
}

static double activate(double v, int act) {
    switch (act) {
    case SIGE_SILU:
        return v / (1 + exp(-v));
    case SIGE_RELU:
        return v > 0 ? v : 0;
    case SIGE_LEAKY_RELU:
        return v > 0 ? v : (double)0.2f * v;
    case SIGE_TANH:
        return tanh(v);
    default:
        return v;
    }
}

/* Returns act((v * scale + shift) * (1 + gamma) + beta), as far as they are there. */
static double treat(const slots *s, double v, int scale, int shift, int64_t channel, const sige_modulation *mod,
                    int image, int y, int x, int c, int act) {
    if (scale != SIGE_NONE)
        v = v * (double)at(s, scale)[channel] + (double)at(s, shift)[channel];
    if (mod)
        v = v * (1 + oracle_pixel(s, &mod->gamma, image, y, x, mod->gamma_first + c)) +
            oracle_pixel(s, &mod->beta, image, y, x, mod->beta_first + c);
    return activate(v, act);
}

static int reflect(int at, int size) { return at < 0 ? -at : at >= size ? 2 * (size - 1) - at : at; }

/* Returns what a tap reads at a coordinate of the resampled image. */
static double tap(const slots *s, const sige_source *v, int image, int y, int x, int c) {
    const int k = v->resample, h = k < 0 ? v->x.h >> -k : v->x.h << k, w = k < 0 ? v->x.w >> -k : v->x.w << k;
    if (v->pad_mode == SIGE_PAD_REFLECT)
        y = reflect(y, h), x = reflect(x, w);
    if (y < 0 || y >= h || x < 0 || x >= w || (v->zeros && (y % 2 || x % 2)))
        return 0;
    const int from_y = k < 0 ? y << -k : y >> k, from_x = k < 0 ? x << -k : x >> k;
    if (!holds(s, &v->x, image, from_y, from_x))
        return 0;
    if (v->has_mod && !(holds(s, &v->mod.gamma, image, y, x) && holds(s, &v->mod.beta, image, y, x)))
        return 0;
    int block;
    const double value = oracle_pixel(s, &v->x, image, from_y, from_x, c);
    if (!v->has_mod && !v->raw && is_active(s, &v->x, image, from_y, from_x, &block))
        return value;
    return treat(s, value, v->scale, v->shift, image * v->stride_affine + c, v->has_mod ? &v->mod : NULL, image, y, x,
                 c, v->act);
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
        sum += oracle_pixel(s, &conv->residual, image, y >> conv->residual_resample, x >> conv->residual_resample, o);
    return sum;
}

double oracle_depthwise(const slots *s, const sige_depthwise *op, int image, int y, int x, int c) {
    const sige_source *v = &op->source;
    double sum = 0;
    for (int ky = 0; ky < v->kh; ky++)
        for (int kx = 0; kx < v->kw; kx++) {
            double w = 1.0 / (v->kh * v->kw);
            if (op->weight != SIGE_NONE)
                w = (double)at(s, op->weight)[(ky * v->kw + kx) * op->c + c];
            sum += w * tap(s, v, image, y * v->stride + ky - v->pad_top, x * v->stride + kx - v->pad_left, c);
        }
    if (op->bias != SIGE_NONE)
        sum += (double)at(s, op->bias)[c];
    if (op->has_residual)
        sum += oracle_pixel(s, &op->residual, image, y >> op->residual_resample, x >> op->residual_resample, c);
    return sum;
}

double oracle_output(const slots *s, const sige_output *o, int image, int y, int x, int c, double value) {
    const bool modulated = o->has_mod && holds(s, &o->mod.gamma, image, y, x) && holds(s, &o->mod.beta, image, y, x);
    return treat(s, value, o->scale, o->shift, image * o->stride + c, modulated ? &o->mod : NULL, image, y, x, c,
                 o->act);
}
