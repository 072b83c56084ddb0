#include "pack.h"

#include "panel.h"
#include "winograd.h"

/* Filters are transformed up to these sizes in bytes, and from so many channels on that it is worth its while. A filter
 * takes 1.8 times its memory as F(2x2, 3x3), and saves time in proportion to the pixels that share it: the largest are
 * only transformed for planes of WINOGRAD_PIXELS and more. */
enum { WINOGRAD_4_BYTES = 10 << 20, WINOGRAD_2_BYTES = 13 << 20, WINOGRAD_2_BYTES_SHARED = 20 << 20 };
enum { WINOGRAD_PIXELS = 256, WINOGRAD_C = 16 };

/* Phases read one pixel of the small image for four: a modulation, or a reflection, may tell these apart. */
static sige_method method_of(const sige_source *s) {
    if (s->stride != 1 || s->kh != 3 || s->kw != 3)
        return SIGE_DIRECT;
    return s->resample > 0 && !s->has_mod && s->pad_mode == SIGE_PAD_ZERO ? SIGE_PHASES : SIGE_WINOGRAD_4;
}

sige_taps sige_taps_of(const sige_source *s, sige_method method, int phase) {
    if (method != SIGE_PHASES)
        return (sige_taps){s->kh, s->kw, 0, 0};
    const int first_y = s->zeros ? phase >> 1 : 0, first_x = s->zeros ? phase & 1 : 0;
    return (sige_taps){2 - first_y, 2 - first_x, first_y, first_x};
}

static sige_method winograd_of(int64_t c, int64_t c_out, int64_t pixels) {
    const int64_t filter = c * sige_panels_width(c_out) * (int64_t)sizeof(float);
    if (c < WINOGRAD_C)
        return SIGE_DIRECT;
    if (filter * sige_winograd_points(SIGE_WINOGRAD_4) <= WINOGRAD_4_BYTES)
        return SIGE_WINOGRAD_4;
    const int64_t most = pixels < WINOGRAD_PIXELS ? WINOGRAD_2_BYTES : WINOGRAD_2_BYTES_SHARED;
    if (filter * sige_winograd_points(SIGE_WINOGRAD_2) <= most)
        return SIGE_WINOGRAD_2;
    return SIGE_DIRECT;
}

sige_layout sige_layout_of(const sige_conv *conv) {
    sige_layout layout = {.winograd = SIGE_DIRECT};
    for (int i = 0; i < conv->n_sources; i++) {
        layout.method[i] = method_of(&conv->source[i]);
        if (layout.method[i] == SIGE_WINOGRAD_4)
            layout.winograd_c += conv->source[i].x.c;
    }
    layout.winograd = winograd_of(layout.winograd_c, conv->c_out, (int64_t)conv->out.h * conv->out.w);
    if (layout.winograd == SIGE_DIRECT)
        layout.winograd_c = 0;
    layout.panel_k = (int64_t)sige_winograd_points(layout.winograd) * layout.winograd_c;
    for (int i = 0; i < conv->n_sources; i++) {
        const sige_source *s = &conv->source[i];
        if (layout.method[i] == SIGE_WINOGRAD_4)
            layout.method[i] = layout.winograd;
        if (layout.method[i] == SIGE_DIRECT)
            layout.k[i] = (int64_t)s->kh * s->kw * s->x.c;
        if (layout.method[i] == SIGE_PHASES)
            layout.k[i] = (s->zeros ? 9 : 16) * (int64_t)s->x.c;
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
static void direct_column(const sige_source *s, const sige_weights *w, int o, int width, float *out) {
    for (int ky = 0; ky < s->kh; ky++)
        for (int kx = 0; kx < s->kw; kx++) {
            const float *row = row_of(s, w, o, ky, kx);
            for (int c = 0; c < s->x.c; c++, out += width)
                *out = row[c];
        }
}

static void phases_column(const sige_source *s, const sige_weights *w, int o, int width, float *out) {
    /* [phase][tap]: first and last of the 3x3 kernel's rows (columns) that fall on the tap; between zeros, the first */
    static const int first[2][2] = {{0, 2}, {0, 1}}, last[2][2] = {{1, 2}, {0, 2}};
    const int(*end)[2] = s->zeros ? first : last;
    for (int phase = 0; phase < 4; phase++) {
        const int py = phase >> 1, px = phase & 1;
        const sige_taps t = sige_taps_of(s, SIGE_PHASES, phase);
        for (int ky = t.first_y; ky < 2; ky++)
            for (int kx = t.first_x; kx < 2; kx++)
                for (int c = 0; c < s->x.c; c++, out += width) {
                    float sum = 0;
                    for (int i = first[py][ky]; i <= end[py][ky]; i++)
                        for (int j = first[px][kx]; j <= end[px][kx]; j++)
                            sum += row_of(s, w, o, i, j)[c];
                    *out = sum;
                }
    }
}

/* `first`: the source's first channel among all that are computed so. */
static void winograd_column(const sige_layout *layout, const sige_source *s, const sige_weights *w, int first, int o,
                            int width, float *out) {
    float filter[9], points[SIGE_WINOGRAD_POINTS];
    for (int c = 0; c < s->x.c; c++) {
        for (int i = 0; i < 9; i++)
            filter[i] = row_of(s, w, o, i / 3, i % 3)[c];
        sige_winograd_filter(layout->winograd, filter, points);
        for (int i = 0; i < sige_winograd_points(layout->winograd); i++)
            out[((int64_t)i * layout->winograd_c + first + c) * width] = points[i];
    }
}

void sige_pack_panels(const sige_conv *conv, const sige_weights *weights, float *packed) {
    const sige_layout layout = sige_layout_of(conv);
    const int channels = (int)sige_panels_width(conv->c_out);
    for (int o = 0; o < channels; o++) {
        const int channel = o % SIGE_PANEL, width = sige_panel_width(o - channel, conv->c_out);
        float *column = packed + (o - channel) * layout.panel_k + channel;
        if (o >= conv->c_out) {
            for (int64_t k = 0; k < layout.panel_k; k++)
                column[k * width] = 0;
            continue;
        }
        float *out = column + (int64_t)sige_winograd_points(layout.winograd) * layout.winograd_c * width;
        for (int i = 0, first = 0; i < conv->n_sources; i++) {
            const sige_source *s = &conv->source[i];
            if (layout.method[i] == SIGE_DIRECT)
                direct_column(s, &weights[i], o, width, out);
            if (layout.method[i] == SIGE_PHASES)
                phases_column(s, &weights[i], o, width, out);
            if (layout.method[i] == SIGE_WINOGRAD_2 || layout.method[i] == SIGE_WINOGRAD_4) {
                winograd_column(&layout, s, &weights[i], first, o, width, column);
                first += s->x.c;
            }
            out += layout.k[i] * width;
        }
    }
}
