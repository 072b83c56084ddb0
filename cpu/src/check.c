#include "check.h"

enum { MAX_DOWN = 15 };

bool sige_has(const sige_checker *k, int32_t slot) {
    if (!sige_within(slot, 0, k->n_slots - 1) || k->used->n == SIGE_MAX_USED)
        return false;
    k->used->slots[k->used->n++] = slot;
    return true;
}
bool sige_has_or_none(const sige_checker *k, int32_t slot) { return slot == SIGE_NONE || sige_has(k, slot); }

static bool shape_ok(int32_t n, int32_t h, int32_t w, int32_t c) {
    if (!sige_within(n, 1, SIGE_MAX_SIZE) || !sige_within(h, 1, SIGE_MAX_SIZE) || !sige_within(w, 1, SIGE_MAX_SIZE) ||
        !sige_within(c, 1, SIGE_MAX_CHANNELS))
        return false;
    return sige_bounded(sige_bounded(n, h), sige_bounded(w, c)) <= SIGE_MAX_FLOATS;
}

const char *sige_check_tensor(const sige_checker *k, const sige_tensor *t) {
    REQUIRE(shape_ok(t->n, t->h, t->w, t->c), "a tensor's n, h, w, c must be positive and of a size that can exist");
    REQUIRE((t->grid == SIGE_NONE) == (t->blocks == SIGE_NONE), "a tensor's blocks and grid come together");
    if (t->grid == SIGE_NONE)
        REQUIRE(sige_has(k, t->base), "a dense tensor's base must be a slot");
    REQUIRE((t->grid == SIGE_NONE && !t->stored) || sige_within(t->tile, 1, SIGE_MAX_SIZE),
            "a tensor's tile must be positive");
    if (t->grid == SIGE_NONE)
        return NULL;
    REQUIRE(sige_has(k, t->grid), "a tensor's grid must be a slot");
    REQUIRE(sige_within(t->blocks, 0, k->n_slots - 1),
            "a tensor's blocks must be a slot"); /* NULL if no tile is active */
    REQUIRE(sige_has_or_none(k, t->base), "a tensor's base must be a slot or SIGE_NONE");
    return NULL;
}

const char *sige_check_domain(const sige_checker *k, const sige_domain *d, int32_t c) {
    REQUIRE(shape_ok(d->n, d->h, d->w, c), "a domain's n, h, w must be positive and of a size that can exist");
    REQUIRE(sige_within(d->tile, 1, SIGE_MAX_SIZE), "a domain's tile must be positive");
    if (d->list == SIGE_NONE)
        return NULL;
    REQUIRE(sige_bounded(sige_bounded(d->tile, d->tile), c) <= SIGE_MAX_FLOATS / SIGE_MAX_SIZE,
            "a domain's tiles are too large");
    REQUIRE(sige_within(d->list, 0, k->n_slots - 1), "a domain's list must be a slot");
    return NULL;
}

const char *sige_check_tiles(const sige_domain *d, const sige_tiles *tiles) {
    REQUIRE(sige_within(tiles->count, 0, SIGE_MAX_SIZE), "a domain's number of tiles must not be negative");
    REQUIRE(tiles->count == 0 || tiles->rows, "a domain's tiles must be listed");
    const int32_t rows = (int32_t)sige_ceil_div(d->h, d->tile), columns = (int32_t)sige_ceil_div(d->w, d->tile);
    const int32_t *entry = tiles->rows;
    for (int32_t i = 0; i < tiles->count; i++, entry += 3)
        REQUIRE(sige_within(entry[0], 0, d->n - 1) && sige_within(entry[1], 0, rows - 1) &&
                    sige_within(entry[2], 0, columns - 1),
                "a domain's list names a tile outside the image");
    return NULL;
}

static const char *check_affine(const sige_checker *k, int32_t scale, int32_t shift, int32_t stride, int32_t act) {
    REQUIRE((scale == SIGE_NONE) == (shift == SIGE_NONE), "scale and shift come together");
    REQUIRE(sige_has_or_none(k, scale) && sige_has_or_none(k, shift), "scale and shift must be slots or SIGE_NONE");
    REQUIRE(stride >= 0, "the stride of scale and shift must not be negative");
    REQUIRE(sige_within(act, 0, SIGE_ACTIVATIONS - 1), "act is not an activation");
    return NULL;
}

/* The modulation has `c` channels on n images of h x w. */
static const char *check_modulation(const sige_checker *k, const sige_modulation *m, int32_t n, int32_t h, int32_t w,
                                    int32_t c) {
    const sige_tensor *of[2] = {&m->gamma, &m->beta};
    const int32_t first[2] = {m->gamma_first, m->beta_first};
    for (int i = 0; i < 2; i++) {
        PASS(sige_check_tensor(k, of[i]));
        REQUIRE(of[i]->n == n && of[i]->h == h && of[i]->w == w,
                "a modulation must have the plane of what it modulates");
        REQUIRE(sige_within(first[i], 0, of[i]->c - c), "a modulation must have the channels of what it modulates");
    }
    return NULL;
}

static const char *check_outputs(const sige_checker *k, const sige_output *outputs, int32_t n, const sige_domain *out,
                                 int32_t c) {
    REQUIRE(sige_within(n, 0, SIGE_MAX_OUTPUTS), "n_outputs must be 0 ... SIGE_MAX_OUTPUTS");
    for (int32_t i = 0; i < n; i++) {
        const sige_output *o = &outputs[i];
        REQUIRE(sige_has(k, o->dst), "an output's dst must be a slot");
        PASS(check_affine(k, o->scale, o->shift, o->stride, o->act));
        if (o->has_mod)
            PASS(check_modulation(k, &o->mod, out->n, out->h, out->w, c));
    }
    return NULL;
}

const char *sige_check_source(const sige_checker *k, const sige_source *s, const sige_domain *out) {
    PASS(sige_check_tensor(k, &s->x));
    REQUIRE(s->x.n == out->n, "a source must have as many images as the output");
    REQUIRE(sige_within(s->kh, 1, SIGE_MAX_KERNEL) && sige_within(s->kw, 1, SIGE_MAX_KERNEL),
            "a kernel must be 1 ... 7 pixels high and wide");
    REQUIRE(sige_within(s->stride, 1, SIGE_MAX_STRIDE), "a stride must be 1 ... 8");
    REQUIRE(sige_within(s->pad_top, 0, s->kh) && sige_within(s->pad_left, 0, s->kw),
            "a padding must be 0 ... the kernel's size");
    REQUIRE(sige_within(s->pad_mode, 0, SIGE_PAD_MODES - 1), "pad_mode is not a sige_pad_mode");
    REQUIRE(sige_within(s->resample, -MAX_DOWN, 1), "resample must be 1, 0, or down to -15");
    PASS(check_affine(k, s->scale, s->shift, s->stride_affine, s->act));
    if (s->has_mod)
        PASS(check_modulation(k, &s->mod, s->x.n, sige_resampled(s->x.h, s->resample),
                              sige_resampled(s->x.w, s->resample), s->x.c));
    if (!s->zeros)
        return NULL;
    REQUIRE(s->resample == 1 && s->kh == 3 && s->kw == 3 && s->stride == 1 && s->pad_mode == SIGE_PAD_ZERO &&
                !s->has_mod,
            "zeros between pixels are for plain 3x3 convolutions after an upsampling");
    return NULL;
}

static const char *check_residual(const sige_checker *k, const sige_tensor *r, int32_t resample, const sige_domain *out,
                                  int32_t c) {
    PASS(sige_check_tensor(k, r));
    REQUIRE(sige_within(resample, 0, 1), "residual_resample must be 0 or 1");
    REQUIRE(r->n == out->n && r->h << resample == out->h && r->w << resample == out->w && r->c == c,
            "the residual must have the shape of the output");
    return NULL;
}

const char *sige_check_finish(const sige_checker *k, const sige_finish *f) {
    PASS(check_outputs(k, f->output, f->n_outputs, f->out, f->c));
    REQUIRE(sige_has_or_none(k, f->bias), "bias must be a slot or SIGE_NONE");
    REQUIRE(sige_has_or_none(k, f->vec) && f->vec_stride >= 0,
            "vec must be a slot or SIGE_NONE, its stride not negative");
    REQUIRE(sige_has_or_none(k, f->sums), "sums must be a slot or SIGE_NONE");
    return f->residual ? check_residual(k, f->residual, f->residual_resample, f->out, f->c) : NULL;
}
