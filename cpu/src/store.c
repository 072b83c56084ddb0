#include "stored.h"

#include "op.h"

/* So many bytes squared add up to no more than 31 bits hold. */
enum { MOST_BYTES = INT32_MAX / (255 * 255) };

/* A tile is stored by one thread. How it changes the sums is noted tile by tile, and added up in order. */
typedef struct store_job {
    const sige_store *op;
    const int32_t *list; /* of tiles; NULL: all of them */
    int64_t tiles;
    int down, across; /* tiles of an image */
    const float *src;
    float *plane; /* dst, one or the other */
    const sige_stored *stored;
    size_t bytes;
    double *changes; /* [tiles][1 or 2][c] */
    sige_pool *pool;
} store_job;

/* These are the pixels of a tile that are inside the image: the new ones, and where they go. */
typedef struct piece {
    int image, y, x, h, w;
    const float *src;
    int64_t row; /* floats from a new pixel to the one below */
    float *plane;
    uint8_t *tile;
} piece;

static int rows_of_sums(const sige_store *op) { return op->change == SIGE_NONE ? 0 : op->squares ? 2 : 1; }

static const char *check(const sige_op *of, const sige_checker *k) {
    const sige_store *op = &of->u.store;
    REQUIRE(sige_within(op->c, 1, SIGE_MAX_CHANNELS), "c must be positive and of a size that can exist");
    PASS(sige_check_domain(k, &op->out, op->c));
    REQUIRE(sige_has(k, op->src) && sige_has(k, op->dst), "src and dst must be slots");
    REQUIRE(sige_has_or_none(k, op->change), "change must be a slot or SIGE_NONE");
    return NULL;
}

static sige_needs plan(const sige_op *of, const int32_t *rows, void *made) {
    const sige_store *op = &of->u.store;
    store_job *j = made;
    *j = (store_job){.op = op, .list = rows};
    j->down = (int)sige_ceil_div(op->out.h, op->out.tile), j->across = (int)sige_ceil_div(op->out.w, op->out.tile);
    j->tiles = rows ? op->out.tiles : (int64_t)op->out.n * j->down * j->across;
    const size_t sums = (size_t)j->tiles * (size_t)rows_of_sums(op) * (size_t)op->c;
    const size_t tile = (size_t)op->out.tile * (size_t)op->out.tile * (size_t)op->c;
    return (sige_needs){.shared = sums * sizeof(double),
                        .own = tile * sizeof(float),
                        .work = sige_work(0, (double)j->tiles * (double)tile)};
}

/* Finds tile number t of the domain; its `tile` and `plane` are NULL where it is not held. */
static piece find(const store_job *j, int64_t t) {
    const sige_domain *d = &j->op->out;
    const int64_t c = j->op->c, side = d->tile;
    const int32_t *entry = j->list ? j->list + 3 * t : NULL;
    const int64_t all = (int64_t)j->down * j->across;
    piece p = {.image = (int)(t / all), .y = (int)(t / j->across % j->down), .x = (int)(t % j->across)};
    if (j->list)
        p.image = entry[0], p.y = entry[1], p.x = entry[2];
    const int64_t number = p.image * all + (int64_t)p.y * j->across + p.x;
    p.y *= d->tile, p.x *= d->tile;
    p.h = sige_min(d->tile, d->h - p.y), p.w = sige_min(d->tile, d->w - p.x);
    const int64_t first = (((int64_t)p.image * d->h + p.y) * d->w + p.x) * c;
    p.src = j->src + (j->list ? t * side * side * c : first), p.row = (j->list ? side : d->w) * c;
    if (!j->op->stored)
        p.plane = j->plane + first;
    else if (!j->stored->index)
        p.tile = j->stored->tiles + (size_t)number * j->bytes;
    else if (j->stored->index[number] >= 0)
        p.tile = j->stored->tiles + (size_t)j->stored->index[number] * j->bytes;
    return p;
}

/* Returns channels k ... k + n - 1 of pixel (y, x) of a tile, as they are stored. */
static vfloat stored_at(const store_job *j, const piece *p, int y, int x, int k, int n) {
    const int c = j->op->c;
    if (!p->tile)
        return v_some(p->plane + ((int64_t)y * j->op->out.w + x) * c + k, n);
    const sige_pixel pixel = sige_stored_pixel(j->stored->codec, p->tile, c, (int64_t)y * j->op->out.tile + x);
    return pixel.tile ? sige_decode(j->stored->codec, pixel, c, k, n) : v_some((const float *)pixel.data + k, n);
}

typedef double vdouble __attribute__((vector_size(SIGE_LANES * 8)));

static vdouble doubles(vfloat v) { return __builtin_convertvector(v, vdouble); }

/* Sums up channels k ... k + n - 1 of a tile's stored pixels, and their squares. */
static void sum_up(const store_job *j, const piece *p, int k, int n, vdouble *sum, vdouble *squares) {
    *sum = *squares = (vdouble){0};
    for (int y = 0; y < p->h; y++)
        for (int x = 0; x < p->w; x++) {
            const vdouble v = doubles(stored_at(j, p, y, x, k, n));
            *sum += v, *squares += v * v;
        }
}

/* The same of bytes, which are summed up as such: sum of (least + scale * code), and of its square. */
static void sum_up_bytes(const store_job *j, const piece *p, int k, int n, vdouble *sum, vdouble *squares) {
    const int c = j->op->c, side = j->op->out.tile;
    vint codes = {0}, of_codes = {0};
    for (int y = 0; y < p->h; y++)
        for (int x = 0; x < p->w; x++) {
            const vbyte bytes = v_load_bytes(p->tile + (4 + (int64_t)y * side + x) * c + k, n);
            const vint code = __builtin_convertvector(bytes, vint);
            codes += code, of_codes += code * code;
        }
    const vdouble scale = doubles(v_from_half(v_load_halves(p->tile + 2 * k, n)));
    const vdouble least = doubles(v_from_half(v_load_halves(p->tile + 2 * (c + k), n)));
    const vdouble scaled = scale * __builtin_convertvector(codes, vdouble), pixels = (vdouble){0} + p->h * p->w;
    *sum = pixels * least + scaled;
    *squares = pixels * least * least + 2 * least * scaled + scale * scale * __builtin_convertvector(of_codes, vdouble);
}

/* Adds the sums of a tile's stored pixels to some, or takes them away. */
static void add_sums(const store_job *j, const piece *p, double sign, double *sums) {
    const int c = j->op->c;
    const bool bytes = p->tile && j->stored->codec == SIGE_INT8 && p->h * p->w <= MOST_BYTES;
    for (int k = 0; k < c; k += SIGE_LANES) {
        const int n = sige_min(SIGE_LANES, c - k);
        vdouble sum, squares;
        (bytes ? sum_up_bytes : sum_up)(j, p, k, n, &sum, &squares);
        for (int i = 0; i < n; i++)
            sums[k + i] += sign * sum[i];
        for (int i = 0; i < n && j->op->squares; i++)
            sums[c + k + i] += sign * squares[i];
    }
}

/* Copies the rows of a tile to where rows lie so many floats apart. */
static void copy(const piece *p, int c, float *dst, int64_t row) {
    for (int y = 0; y < p->h; y++, dst += row)
        memcpy(dst, p->src + y * p->row, (size_t)p->w * (size_t)c * sizeof(float));
}

static void encode_halves(const store_job *j, const piece *p, int k, int n) {
    const int c = j->op->c;
    for (int y = 0; y < p->h; y++)
        for (int x = 0; x < p->w; x++) {
            const vhalf v = v_to_half(v_some(p->src + y * p->row + (int64_t)x * c + k, n));
            memcpy(p->tile + 2 * (((int64_t)y * j->op->out.tile + x) * c + k), &v, (size_t)n * 2);
        }
}

static vfloat v_least(vfloat a, vfloat b) { return v_select(a < b, a, b); }

/* The least value and the scale are rounded to halves first, down and up, so that no value is beyond the codes. */
static void encode_bytes(const store_job *j, const piece *p, int k, int n) {
    const int c = j->op->c;
    vfloat least = v_some(p->src + k, n), most = least;
    for (int y = 0; y < p->h; y++)
        for (int x = 0; x < p->w; x++) {
            const vfloat v = v_some(p->src + y * p->row + (int64_t)x * c + k, n);
            least = v_least(v, least), most = v_max(v, most);
        }
    const vfloat unit = v_splat(0x1p-11f), tiny = v_splat(0x1p-25f), codes = v_splat(255.0f);
    const vhalf low = v_to_half(least - (v_max(least, -least) * unit + tiny));
    least = v_from_half(low);
    const vfloat range = v_max(most - least, (vfloat){0});
    const vhalf step = v_to_half(range * v_splat((1 + 0x1p-10f) / 255.0f) + tiny);
    memcpy(p->tile + 2 * k, &step, (size_t)n * 2);
    memcpy(p->tile + 2 * (c + k), &low, (size_t)n * 2);
    const vfloat inverse = v_splat(1.0f) / v_from_half(step); /* a step is never 0 */
    for (int y = 0; y < p->h; y++)
        for (int x = 0; x < p->w; x++) {
            const vfloat v = v_some(p->src + y * p->row + (int64_t)x * c + k, n);
            const vfloat code = v_least(v_max((v - least) * inverse + v_splat(0.5f), (vfloat){0}), codes);
            const vbyte bytes = __builtin_convertvector(__builtin_convertvector(code, vint), vbyte);
            memcpy(p->tile + (4 + (int64_t)y * j->op->out.tile + x) * c + k, &bytes, (size_t)n);
        }
}

static void store_tile(void *context, int64_t t, int thread) {
    const store_job *j = context;
    const int c = j->op->c, codec = j->op->stored ? j->stored->codec : SIGE_FLOAT32;
    piece p = find(j, t);
    const int rows = rows_of_sums(j->op);
    double *changes = rows ? j->changes + t * rows * c : NULL;
    if (rows)
        memset(changes, 0, (size_t)rows * (size_t)c * sizeof *changes);
    if (!p.tile && !p.plane)
        return;
    if (rows)
        add_sums(j, &p, -1, changes);
    if (p.plane) {
        copy(&p, c, p.plane, (int64_t)j->op->out.w * c);
    } else if (codec == SIGE_FLOAT32) {
        copy(&p, c, (float *)(void *)p.tile, (int64_t)j->op->out.tile * c);
    } else {
        float *own = sige_pool_own(j->pool, thread); /* a tile's rows may be far apart */
        copy(&p, c, own, (int64_t)p.w * c);
        p.src = own, p.row = (int64_t)p.w * c;
        for (int k = 0; k < c; k += SIGE_LANES)
            (codec == SIGE_FLOAT16 ? encode_halves : encode_bytes)(j, &p, k, sige_min(SIGE_LANES, c - k));
    }
    if (rows)
        add_sums(j, &p, 1, changes);
}

static void run(const sige_op *of, const void *planned, void *const *slots, sige_pool *pool) {
    const sige_store *op = &of->u.store;
    store_job j = *(const store_job *)planned;
    j.src = slots[op->src];
    if (op->stored) {
        j.stored = slots[op->dst];
        j.bytes = sige_tile_bytes(j.stored->codec, op->out.tile, op->c);
    } else {
        j.plane = slots[op->dst];
    }
    j.pool = pool, j.changes = sige_pool_shared(pool);
    sige_pool_for(pool, j.tiles, store_tile, &j);
    double *change = sige_slot_of_doubles(slots, op->change);
    if (!change)
        return;
    const int64_t row = (int64_t)rows_of_sums(op) * op->c;
    memset(change, 0, (size_t)(op->out.n * row) * sizeof *change);
    for (int64_t t = 0; t < j.tiles; t++)
        for (int64_t i = 0, image = find(&j, t).image; i < row; i++)
            change[image * row + i] += j.changes[t * row + i];
}

const sige_op_type SIGE_OP_TYPE(store) = {.domain = offsetof(sige_op, u.store.out),
                                          .plan_bytes = sizeof(store_job),
                                          .check = check,
                                          .plan = plan,
                                          .run = run};
