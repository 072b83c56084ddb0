#include "check.h"

#include "common.h"

/* Sizes are limited so that every product of them that an op computes fits 63 bits, and a chunk's offsets 32. */
enum { MAX_SIZE = 1 << 24, MAX_CHANNELS = 1 << 20, MAX_KERNEL = 7, MAX_STRIDE = 8, MAX_DOWN = 15, MAX_HEADS = 1 << 10 };
#define MAX_FLOATS ((int64_t)1 << 40)

typedef struct checker {
    int n_slots;
    sige_used *used;
} checker;

#define REQUIRE(condition, sentence)                                                                                   \
    do {                                                                                                               \
        if (!(condition))                                                                                              \
            return sentence;                                                                                           \
    } while (0)
#define PASS(call)                                                                                                     \
    do {                                                                                                               \
        const char *wrong = call;                                                                                      \
        if (wrong)                                                                                                     \
            return wrong;                                                                                              \
    } while (0)

static bool within(int32_t value, int32_t least, int32_t most) { return value >= least && value <= most; }

static bool has(const checker *k, int32_t slot) {
    if (!within(slot, 0, k->n_slots - 1) || k->used->n == SIGE_MAX_USED)
        return false;
    k->used->slots[k->used->n++] = slot;
    return true;
}
static bool has_or_none(const checker *k, int32_t slot) { return slot == SIGE_NONE || has(k, slot); }

/* A product of positive numbers, or more than MAX_FLOATS. */
static int64_t product(int64_t a, int64_t b) { return a > MAX_FLOATS / b ? MAX_FLOATS + 1 : a * b; }

static bool shape_ok(int32_t n, int32_t h, int32_t w, int32_t c) {
    if (!within(n, 1, MAX_SIZE) || !within(h, 1, MAX_SIZE) || !within(w, 1, MAX_SIZE) || !within(c, 1, MAX_CHANNELS))
        return false;
    return product(product(n, h), product(w, c)) <= MAX_FLOATS;
}

static const char *check_tensor(const checker *k, const sige_tensor *t) {
    REQUIRE(shape_ok(t->n, t->h, t->w, t->c), "a tensor's n, h, w, c must be positive and of a size that can exist");
    REQUIRE((t->grid == SIGE_NONE) == (t->blocks == SIGE_NONE), "a tensor's blocks and grid come together");
    if (t->grid == SIGE_NONE) {
        REQUIRE(has(k, t->base), "a dense tensor's base must be a slot");
        return NULL;
    }
    REQUIRE(within(t->tile, 1, MAX_SIZE), "a tensor's tile must be positive");
    REQUIRE(has(k, t->grid), "a tensor's grid must be a slot");
    REQUIRE(within(t->blocks, 0, k->n_slots - 1), "a tensor's blocks must be a slot"); /* NULL if no tile is active */
    REQUIRE(has_or_none(k, t->base), "a tensor's base must be a slot or SIGE_NONE");
    return NULL;
}

static const char *check_domain(const checker *k, const sige_domain *d, int32_t c) {
    REQUIRE(shape_ok(d->n, d->h, d->w, c), "a domain's n, h, w must be positive and of a size that can exist");
    REQUIRE(within(d->tile, 1, MAX_SIZE), "a domain's tile must be positive");
    if (d->list == SIGE_NONE)
        return NULL;
    REQUIRE(product(product(d->tile, d->tile), c) <= MAX_FLOATS / MAX_SIZE, "a domain's tiles are too large");
    REQUIRE(within(d->list, 0, k->n_slots - 1), "a domain's list must be a slot");
    return NULL;
}

const char *sige_check_tiles(const sige_domain *d, const sige_tiles *tiles) {
    REQUIRE(within(tiles->count, 0, MAX_SIZE), "a domain's number of tiles must not be negative");
    REQUIRE(tiles->count == 0 || tiles->rows, "a domain's tiles must be listed");
    const int32_t rows = (int32_t)sige_ceil_div(d->h, d->tile), columns = (int32_t)sige_ceil_div(d->w, d->tile);
    const int32_t *entry = tiles->rows;
    for (int32_t i = 0; i < tiles->count; i++, entry += 3)
        REQUIRE(within(entry[0], 0, d->n - 1) && within(entry[1], 0, rows - 1) && within(entry[2], 0, columns - 1),
                "a domain's list names a tile outside the image");
    return NULL;
}

static const char *check_affine(const checker *k, int32_t scale, int32_t shift, int32_t stride, int32_t act) {
    REQUIRE((scale == SIGE_NONE) == (shift == SIGE_NONE), "scale and shift come together");
    REQUIRE(has_or_none(k, scale) && has_or_none(k, shift), "scale and shift must be slots or SIGE_NONE");
    REQUIRE(stride >= 0, "the stride of scale and shift must not be negative");
    REQUIRE(within(act, 0, SIGE_ACTIVATIONS - 1), "act is not an activation");
    return NULL;
}

/* `c` channels on n images of h x w. */
static const char *check_modulation(const checker *k, const sige_modulation *m, int32_t n, int32_t h, int32_t w,
                                    int32_t c) {
    const sige_tensor *of[2] = {&m->gamma, &m->beta};
    const int32_t first[2] = {m->gamma_first, m->beta_first};
    for (int i = 0; i < 2; i++) {
        PASS(check_tensor(k, of[i]));
        REQUIRE(of[i]->n == n && of[i]->h == h && of[i]->w == w,
                "a modulation must have the plane of what it modulates");
        REQUIRE(within(first[i], 0, of[i]->c - c), "a modulation must have the channels of what it modulates");
    }
    return NULL;
}

static const char *check_outputs(const checker *k, const sige_output *outputs, int32_t n, const sige_domain *out,
                                 int32_t c) {
    REQUIRE(within(n, 0, SIGE_MAX_OUTPUTS), "n_outputs must be 0 ... SIGE_MAX_OUTPUTS");
    for (int32_t i = 0; i < n; i++) {
        const sige_output *o = &outputs[i];
        REQUIRE(has(k, o->dst), "an output's dst must be a slot");
        PASS(check_affine(k, o->scale, o->shift, o->stride, o->act));
        if (o->has_mod)
            PASS(check_modulation(k, &o->mod, out->n, out->h, out->w, c));
    }
    return NULL;
}

static const char *check_source(const checker *k, const sige_source *s, const sige_domain *out) {
    PASS(check_tensor(k, &s->x));
    REQUIRE(s->x.n == out->n, "a source must have as many images as the output");
    REQUIRE(within(s->kh, 1, MAX_KERNEL) && within(s->kw, 1, MAX_KERNEL),
            "a kernel must be 1 ... 7 pixels high and wide");
    REQUIRE(within(s->stride, 1, MAX_STRIDE), "a stride must be 1 ... 8");
    REQUIRE(within(s->pad_top, 0, s->kh) && within(s->pad_left, 0, s->kw), "a padding must be 0 ... the kernel's size");
    REQUIRE(within(s->pad_mode, 0, SIGE_PAD_MODES - 1), "pad_mode is not a sige_pad_mode");
    REQUIRE(within(s->resample, -MAX_DOWN, 1), "resample must be 1, 0, or down to -15");
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

static const char *check_residual(const checker *k, const sige_tensor *r, int32_t resample, const sige_domain *out,
                                  int32_t c) {
    PASS(check_tensor(k, r));
    REQUIRE(within(resample, 0, 1), "residual_resample must be 0 or 1");
    REQUIRE(r->n == out->n && r->h << resample == out->h && r->w << resample == out->w && r->c == c,
            "the residual must have the shape of the output");
    return NULL;
}

static const char *check_conv(const checker *k, const sige_conv *c) {
    REQUIRE(within(c->c_out, 1, MAX_CHANNELS), "c_out must be positive and of a size that can exist");
    PASS(check_domain(k, &c->out, c->c_out));
    REQUIRE(within(c->n_sources, 1, SIGE_MAX_SOURCES), "n_sources must be 1 ... SIGE_MAX_SOURCES");
    for (int i = 0; i < c->n_sources; i++)
        PASS(check_source(k, &c->source[i], &c->out));
    PASS(check_outputs(k, c->output, c->n_outputs, &c->out, c->c_out));
    REQUIRE(has(k, c->weight), "weight must be a slot");
    REQUIRE(has_or_none(k, c->bias), "bias must be a slot or SIGE_NONE");
    REQUIRE(has_or_none(k, c->vec) && c->vec_stride >= 0, "vec must be a slot or SIGE_NONE, its stride not negative");
    REQUIRE(has_or_none(k, c->sums), "sums must be a slot or SIGE_NONE");
    return c->has_residual ? check_residual(k, &c->residual, c->residual_resample, &c->out, c->c_out) : NULL;
}

static const char *check_depthwise(const checker *k, const sige_depthwise *d) {
    REQUIRE(within(d->c, 1, MAX_CHANNELS), "c must be positive and of a size that can exist");
    PASS(check_domain(k, &d->out, d->c));
    PASS(check_source(k, &d->source, &d->out));
    REQUIRE(d->source.x.c == d->c && !d->source.zeros, "the source must have c channels, and no zeros between pixels");
    PASS(check_outputs(k, d->output, d->n_outputs, &d->out, d->c));
    REQUIRE(has_or_none(k, d->weight), "weight must be a slot or SIGE_NONE");
    REQUIRE(has_or_none(k, d->bias), "bias must be a slot or SIGE_NONE");
    REQUIRE(has_or_none(k, d->sums), "sums must be a slot or SIGE_NONE");
    return d->has_residual ? check_residual(k, &d->residual, d->residual_resample, &d->out, d->c) : NULL;
}

static const char *check_norm(const checker *k, const sige_norm *m) {
    REQUIRE(within(m->n, 1, MAX_SIZE) && m->pixels >= 1 && m->groups >= 1, "n, pixels and groups must be positive");
    REQUIRE(within(m->n_sources, 1, SIGE_MAX_SOURCES), "n_sources must be 1 ... SIGE_MAX_SOURCES");
    int64_t channels = 0;
    for (int i = 0; i < m->n_sources; i++) {
        REQUIRE(within(m->c[i], 1, MAX_CHANNELS) && within(m->tiles[i], 1, MAX_SIZE), "c and tiles must be positive");
        REQUIRE(has(k, m->sums[i]), "sums must be a slot");
        channels += m->c[i];
    }
    REQUIRE(channels % m->groups == 0, "groups must divide the number of channels");
    REQUIRE(has_or_none(k, m->weight) && has_or_none(k, m->bias) && has_or_none(k, m->mod),
            "weight, bias and mod must be slots or SIGE_NONE");
    REQUIRE(has(k, m->scale) && has(k, m->shift), "scale and shift must be slots");
    REQUIRE(m->eps >= 0, "eps must not be negative");
    return NULL;
}

static const char *check_attention(const checker *k, const sige_attention *a) {
    REQUIRE(within(a->keys, 1, MAX_SIZE), "keys must be positive");
    REQUIRE(within(a->heads, 1, MAX_HEADS) && within(a->head_dim, 1, MAX_SIZE), "heads and head_dim must be positive");
    const int64_t width = (int64_t)a->heads * a->head_dim;
    REQUIRE(width <= MAX_CHANNELS, "heads * head_dim is too large");
    PASS(check_domain(k, &a->out, (int32_t)width));
    REQUIRE(within(a->q_stride, (int32_t)width, MAX_SIZE) && within(a->k_stride, (int32_t)width, MAX_SIZE) &&
                within(a->v_stride, (int32_t)width, MAX_SIZE),
            "a stride must be at least heads * head_dim");
    REQUIRE(product(product(a->out.n, a->keys), 2 * width + 32) <= MAX_FLOATS, "keys * heads * head_dim is too large");
    REQUIRE(has(k, a->q) && has(k, a->k) && has(k, a->v) && has(k, a->dst), "q, k, v and dst must be slots");
    REQUIRE(a->scale >= 0, "scale must not be negative");
    return NULL;
}

const char *sige_check(const sige_op *op, int n_slots, sige_used *used) {
    const checker k = {n_slots, used};
    used->n = 0;
    switch (op->kind) {
    case SIGE_CONV:
        return check_conv(&k, &op->u.conv);
    case SIGE_NORM:
        return check_norm(&k, &op->u.norm);
    case SIGE_DEPTHWISE:
        return check_depthwise(&k, &op->u.depthwise);
    case SIGE_ATTENTION:
        return check_attention(&k, &op->u.attention);
    case SIGE_PASTE:
        REQUIRE(has(&k, op->u.paste.dst), "dst must be a slot");
        return check_tensor(&k, &op->u.paste.x);
    default:
        return "kind is not a sige_kind";
    }
}
