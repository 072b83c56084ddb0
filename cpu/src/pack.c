#include "pack.h"

#include "panel.h"
#include "winograd.h"

/* Transformed filters take four times the memory, and as much longer to read: planes of few pixels, whose filters are
 * large, wait for that longer than for a transform. So filters are packed transformed up to this size. */
enum { TRANSFORMED_BYTES = 3 << 20 };

/* Fewer channels than WINOGRAD_C are not worth a transform. */
enum { TRANSFORMED_BLOCK = 256, WINOGRAD_C = 16 };

/* A window of the small image has one pixel for four: a modulation, or a reflection, may tell these apart. */
static sige_method method_of(const sige_source *s) {
    if (s->stride != 1 || s->kh != 3 || s->kw != 3)
        return SIGE_DIRECT;
    const bool small = s->resample == 1 && !s->has_mod && s->pad_mode == SIGE_PAD_ZERO;
    if (small && s->zeros)
        return SIGE_PHASES;
    if (s->x.c < WINOGRAD_C)
        return SIGE_DIRECT;
    return !small ? SIGE_WINOGRAD_4 : s->pad_top & s->pad_left & 1 ? SIGE_WINOGRAD_UP : SIGE_DIRECT;
}

sige_taps sige_taps_of(const sige_source *s, sige_method method, int phase) {
    if (method != SIGE_PHASES)
        return (sige_taps){s->kh, s->kw, 0, 0};
    const int first_y = phase >> 1, first_x = phase & 1;
    return (sige_taps){2 - first_y, 2 - first_x, first_y, first_x};
}

sige_layout sige_layout_of(const sige_conv *conv) {
    sige_layout layout = {.panel_k = 0};
    int64_t filters = 0;
    for (int i = 0; i < conv->n_sources; i++) {
        layout.method[i] = method_of(&conv->source[i]);
        if (layout.method[i] == SIGE_WINOGRAD_4)
            filters += conv->source[i].x.c * sige_panels_width(conv->c_out);
    }
    layout.transformed = filters * sige_winograd_points(SIGE_WINOGRAD_4) * sizeof(float) <= TRANSFORMED_BYTES;
    for (int i = 0; i < conv->n_sources; i++) {
        const sige_source *s = &conv->source[i];
        const int64_t c = s->x.c;
        layout.block[i] = s->x.c;
        layout.k[i] = s->kh * s->kw * c;
        const bool transformed = layout.method[i] == SIGE_WINOGRAD_4 && layout.transformed;
        if (layout.method[i] == SIGE_WINOGRAD_4 || layout.method[i] == SIGE_WINOGRAD_UP)
            layout.block[i] = (int)sige_ceil_div(c, sige_ceil_div(c, transformed ? TRANSFORMED_BLOCK : SIGE_BLOCK));
        if (transformed)
            layout.k[i] = sige_winograd_points(SIGE_WINOGRAD_4) * c;
        layout.panel_k += layout.k[i];
    }
    return layout;
}

size_t sige_packed_size(const sige_conv *conv) {
    return (size_t)(sige_panels_width(conv->c_out) * sige_layout_of(conv).panel_k);
}

/* Returns where weight (o, ky, kx, channel 0) of a source lies. */
static const float *row_of(const sige_source *s, const sige_weights *w, int o, int ky, int kx) {
    return w->data + (((int64_t)o * s->kh + ky) * s->kw + kx) * w->c_total + w->c_first;
}

/* The functions below write channel o's column of a panel: one number in every row of `width` floats. */
static void column_in_blocks(const sige_source *s, int block, const sige_weights *w, int o, int width, float *out) {
    for (int first = 0; first < s->x.c; first += block)
        for (int ky = 0; ky < s->kh; ky++)
            for (int kx = 0; kx < s->kw; kx++) {
                const float *row = row_of(s, w, o, ky, kx);
                for (int c = first; c < sige_min(first + block, s->x.c); c++, out += width)
                    *out = row[c];
            }
}

static void phases_column(const sige_source *s, const sige_weights *w, int o, int width, float *out) {
    static const int tap[2][2] = {{0, 2}, {0, 1}}; /* [phase][second row or column] */
    for (int phase = 0; phase < 4; phase++) {
        const sige_taps t = sige_taps_of(s, SIGE_PHASES, phase);
        for (int ky = t.first_y; ky < 2; ky++)
            for (int kx = t.first_x; kx < 2; kx++) {
                const float *row = row_of(s, w, o, tap[phase >> 1][ky], tap[phase & 1][kx]);
                for (int c = 0; c < s->x.c; c++, out += width)
                    *out = row[c];
            }
    }
}

static void transformed_column(const sige_source *s, int block, const sige_weights *w, int o, int width, float *out) {
    const int points = sige_winograd_points(SIGE_WINOGRAD_4);
    for (int first = 0; first < s->x.c; first += block) {
        const int channels = sige_min(block, s->x.c - first);
        for (int c = 0; c < channels; c++) {
            float filter[9], point[SIGE_WINOGRAD_POINTS];
            for (int i = 0; i < 9; i++)
                filter[i] = row_of(s, w, o, i / 3, i % 3)[first + c];
            sige_winograd_filter(filter, point);
            for (int i = 0; i < points; i++)
                out[(i * channels + c) * width] = point[i];
        }
        out += (int64_t)points * channels * width;
    }
}

void sige_pack_panels(const sige_conv *conv, const sige_weights *weights, float *packed) {
    const sige_layout layout = sige_layout_of(conv);
    const int channels = (int)sige_panels_width(conv->c_out);
    for (int o = 0; o < channels; o++) {
        const int channel = o % SIGE_PANEL, width = sige_panel_width(o - channel, conv->c_out);
        float *out = packed + (o - channel) * layout.panel_k + channel;
        if (o >= conv->c_out) {
            for (int64_t k = 0; k < layout.panel_k; k++)
                out[k * width] = 0;
            continue;
        }
        for (int i = 0; i < conv->n_sources; out += layout.k[i] * width, i++)
            if (layout.method[i] == SIGE_PHASES)
                phases_column(&conv->source[i], &weights[i], o, width, out);
            else if (layout.method[i] == SIGE_WINOGRAD_4 && layout.transformed)
                transformed_column(&conv->source[i], layout.block[i], &weights[i], o, width, out);
            else
                column_in_blocks(&conv->source[i], layout.block[i], &weights[i], o, width, out);
    }
}
