#include "conv.h"

/* An area is the part of an image under a window: that of the units it covers, as far as these are inside the image. */
typedef struct area {
    int image, y, x;    /* first pixel */
    int bottom, right;  /* behind the last pixel */
    int last_y, last_x; /* where the last units begin */
} area;

static area area_of(const sige_unit *unit, int n) {
    area a = {.image = unit->image, .y = unit->y, .x = unit->x, .bottom = unit->y, .right = unit->x};
    a.last_y = a.y, a.last_x = a.x;
    for (int u = 0; u < n; u++, unit++) {
        if (!unit->h)
            continue;
        a.bottom = sige_max(a.bottom, unit->y + unit->h), a.right = sige_max(a.right, unit->x + unit->w);
        a.last_y = sige_max(a.last_y, unit->y), a.last_x = sige_max(a.last_x, unit->x);
    }
    return a;
}

/* Fills the part of a window that pixels inside the image read. */
static void gather(const sige_conv_source *s, const area *a, float *window) {
    const sige_source *op = s->op;
    int y = a->y * op->stride - op->pad_top, x = a->x * op->stride - op->pad_left, h, w;
    if (s->method == SIGE_DIRECT) {
        h = (a->bottom - 1 - a->y) * op->stride + op->kh;
        w = (a->right - 1 - a->x) * op->stride + op->kw;
    } else if (s->method == SIGE_PHASES) { /* of the small image, from under the first tap to under the last one */
        h = ((a->bottom - 1 - op->pad_top) >> 1) - (y >> 1) + 2;
        w = ((a->right - 1 - op->pad_left) >> 1) - (x >> 1) + 2;
        y >>= 1, x >>= 1;
    } else {
        const int up = s->method == SIGE_WINOGRAD_UP, side = sige_winograd_window(s->method);
        h = ((a->last_y - a->y) >> up) + side;
        w = ((a->last_x - a->x) >> up) + side;
        y >>= up, x >>= up;
    }
    sige_window(&s->input, a->image, y, x, h, w, window, (size_t)s->row);
}

/* Returns how many floats into a window (or image) the input of output pixel (y, x) begins, if the window begins with
 * that of (first_y, first_x); and its phase. */
static int64_t locate(const sige_conv_source *s, int first_y, int first_x, int y, int x, int *phase) {
    *phase = 0;
    if (s->method == SIGE_PHASES) {
        const int top = s->op->pad_top, left = s->op->pad_left;
        *phase = ((y - top) & 1) * 2 + ((x - left) & 1);
        y = ((y - top) >> 1) - ((first_y - top) >> 1), x = ((x - left) >> 1) - ((first_x - left) >> 1);
        return y * s->row + (int64_t)x * s->op->x.c;
    }
    return s->op->stride * ((y - first_y) * s->row + (int64_t)(x - first_x) * s->op->x.c);
}

static void list_pixels(const sige_conv_source *s, const sige_chunk *chunk, bool listed, sige_pixels *p) {
    const int top = s->in_place ? 0 : chunk->unit->y, left = s->in_place ? 0 : chunk->unit->x;
    int n = 0;
    for (int phase = 0; phase < 4; phase++) {
        p->first[phase] = n;
        uint32_t row = 0;
        for (int u = 0; u < chunk->n_units; u++) {
            const sige_unit *unit = &chunk->unit[u];
            const int first_y = listed ? unit->y : top, first_x = listed ? unit->x : left;
            const int64_t window = listed ? u * s->window : 0;
            for (int i = 0; i < unit->h * unit->w; i++, row++) {
                int in;
                const int64_t at = locate(s, first_y, first_x, unit->y + i / unit->w, unit->x + i % unit->w, &in);
                if (in != phase)
                    continue;
                p->off[n] = (uint32_t)(window + at);
                p->row[n++] = row;
            }
        }
        if (s->method == SIGE_DIRECT)
            break; /* all are of phase 0 */
    }
    for (int phase = s->method == SIGE_DIRECT ? 1 : 4; phase <= 4; phase++)
        p->first[phase] = n;
}

/* Transforms the windows of a source. */
static void transform(const sige_conv_job *j, const sige_conv_source *s, sige_chunk *chunk) {
    const int c = s->op->x.c, up = s->method == SIGE_WINOGRAD_UP;
    const size_t points = (size_t)sige_winograd_points(s->method), parts = (size_t)sige_winograd_parts(s->method);
    float *out = sige_chunk_at(chunk, s->transformed);
    for (int u = 0; u < chunk->n_units; u++, out += parts * s->part) {
        const sige_unit *unit = &chunk->unit[u];
        if (!unit->h)
            continue;
        const float *window = sige_chunk_at(chunk, s->windows);
        if (j->units.listed)
            window += u * s->window;
        else
            window += ((unit->y - chunk->unit->y) >> up) * s->row + ((unit->x - chunk->unit->x) >> up) * (int64_t)c;
        float *block = out;
        for (int first = 0; first < c; first += s->block, block += points * s->point)
            sige_winograd_input(s->method, window + first, (size_t)s->row, c, sige_min(s->block, c - first), block,
                                s->point, s->part);
    }
}

static void list_units(const sige_conv_job *j, sige_chunk *chunk, int64_t index) {
    const sige_units *u = &j->units;
    chunk->n_units = 0;
    if (u->listed) {
        for (int64_t i = index * j->chunk_w; i < u->count && i < (index + 1) * j->chunk_w; i++)
            chunk->unit[chunk->n_units++] = sige_unit_listed(u, i);
        return;
    }
    const int down = (int)sige_ceil_div(u->down, j->chunk_h), across = (int)sige_ceil_div(u->across, j->chunk_w);
    const int image = (int)(index / ((int64_t)down * across));
    const int top = (int)(index / across % down) * j->chunk_h, left = (int)(index % across) * j->chunk_w;
    for (int y = top; y < sige_min(top + j->chunk_h, u->down); y++)
        for (int x = left; x < sige_min(left + j->chunk_w, u->across); x++)
            chunk->unit[chunk->n_units++] = sige_unit_at(u, image, y, x);
}

void sige_chunk_prepare(const sige_conv_job *j, sige_chunk *chunk, int64_t index) {
    list_units(j, chunk, index);
    chunk->n_pixels = 0;
    for (int u = 0; u < chunk->n_units; u++) {
        chunk->n_pixels += chunk->unit[u].h * chunk->unit[u].w;
        sige_find_reads(&j->epilogue, &chunk->unit[u], &chunk->reads[u]);
    }
    if (chunk->n_pixels == 0)
        return;
    const int windows = j->units.listed ? chunk->n_units : 1, units = j->units.listed ? 1 : chunk->n_units;
    for (int i = 0; i < j->op->n_sources; i++) {
        const sige_conv_source *s = &j->source[i];
        float *window = sige_chunk_at(chunk, s->windows);
        for (int k = 0; k < windows && !s->in_place; k++) {
            const area a = area_of(&chunk->unit[k], units);
            if (a.bottom > a.y)
                gather(s, &a, window + k * s->window);
        }
        chunk->input[i] = s->in_place ? sige_find_pixel(&s->input.x, chunk->unit->image, 0, 0).data : window;
        if (sige_by_winograd(s->method))
            transform(j, s, chunk);
        else
            list_pixels(s, chunk, j->units.listed, &chunk->pixels[i]);
    }
}
