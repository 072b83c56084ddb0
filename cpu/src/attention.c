#include <math.h>
#include <string.h>

#include "gemm.h"
#include "op.h"

/* First every head's keys and values are packed into panels: of as many keys, transposed, and of as many features of
 * the values. Then blocks of queries are handed out: scores = q k^T, softmax along the keys, times the values. */
enum { QUERIES = 24 };

typedef struct attention_job {
    const sige_attention *op;
    const float *q, *k, *v;
    float *dst;
    const int32_t *list; /* of tiles; NULL: all pixels */
    int64_t queries;     /* of an image, or of all tiles */
    int key_panels, value_panels;
    int64_t packed; /* floats of a head's packed keys and values */
    float *panels;
    sige_pool *pool;
} attention_job;

static const char *check(const sige_op *of, const sige_checker *k) {
    const sige_attention *op = &of->u.attention;
    REQUIRE(sige_within(op->keys, 1, SIGE_MAX_SIZE), "keys must be positive");
    REQUIRE(sige_within(op->heads, 1, SIGE_MAX_HEADS) && sige_within(op->head_dim, 1, SIGE_MAX_SIZE),
            "heads and head_dim must be positive");
    const int64_t width = (int64_t)op->heads * op->head_dim;
    REQUIRE(width <= SIGE_MAX_CHANNELS, "heads * head_dim is too large");
    PASS(sige_check_domain(k, &op->out, (int32_t)width));
    const int32_t strides[3] = {op->q_stride, op->k_stride, op->v_stride};
    for (int i = 0; i < 3; i++)
        REQUIRE(sige_within(strides[i], (int32_t)width, SIGE_MAX_SIZE), "a stride must be at least heads * head_dim");
    REQUIRE(sige_bounded(sige_bounded(op->out.n, op->keys), 2 * width + 32) <= SIGE_MAX_FLOATS,
            "keys * heads * head_dim is too large");
    REQUIRE(sige_has(k, op->q) && sige_has(k, op->k) && sige_has(k, op->v) && sige_has(k, op->dst),
            "q, k, v and dst must be slots");
    REQUIRE(op->scale >= 0, "scale must not be negative");
    return NULL;
}

/* A thread keeps scores in panels of keys, [QUERIES][SIGE_PANEL] each. The rows of a query are gathered from them for
 * the softmax and for the second product, so [QUERIES][keys] follow, and then the product's [QUERIES][SIGE_PANEL]. */
static size_t score_floats(const attention_job *j) { return (size_t)QUERIES * SIGE_PANEL * (size_t)j->key_panels; }

static sige_needs plan(const sige_op *of, const int32_t *rows, void *made) {
    const sige_attention *op = &of->u.attention;
    attention_job *j = made;
    *j = (attention_job){.op = op, .list = rows, .queries = (int64_t)op->out.h * op->out.w};
    if (rows)
        j->queries = (int64_t)op->out.tiles * op->out.tile * op->out.tile;
    const double queries = (double)j->queries * (rows ? 1 : op->out.n);
    j->key_panels = (int)sige_ceil_div(op->keys, SIGE_PANEL);
    j->value_panels = (int)sige_ceil_div(op->head_dim, SIGE_PANEL);
    j->packed = ((int64_t)j->key_panels * op->head_dim + (int64_t)j->value_panels * op->keys) * SIGE_PANEL;
    return (sige_needs){.shared = (size_t)op->out.n * (size_t)op->heads * (size_t)j->packed * sizeof(float),
                        .own = (2 * score_floats(j) + QUERIES * SIGE_PANEL) * sizeof(float),
                        .work = sige_work(2.0 * queries * op->keys * op->heads * op->head_dim, (double)j->packed)};
}

/* Packs a panel of a head's keys, transposed, or after these one of its values. */
static void pack_panel(void *context, int64_t item, int thread) {
    (void)thread;
    const attention_job *j = context;
    const sige_attention *op = j->op;
    const int64_t panels = j->key_panels + j->value_panels, panel = item % panels, of = item / panels;
    const int64_t image = of / op->heads, head = of % op->heads;
    float *out = j->panels + of * j->packed;
    if (panel < j->key_panels) {
        const int64_t first = panel * SIGE_PANEL;
        const float *k = j->k + (image * op->keys + first) * op->k_stride + head * op->head_dim;
        out += first * op->head_dim;
        for (int d = 0; d < op->head_dim; d++)
            for (int i = 0; i < SIGE_PANEL; i++)
                *out++ = first + i < op->keys ? k[(int64_t)i * op->k_stride + d] : 0;
        return;
    }
    const int64_t first = (panel - j->key_panels) * SIGE_PANEL;
    const float *v = j->v + image * op->keys * op->v_stride + head * op->head_dim + first;
    const size_t n = (size_t)sige_min((int)(op->head_dim - first), SIGE_PANEL);
    out += ((int64_t)j->key_panels * op->head_dim + (panel - j->key_panels) * op->keys) * SIGE_PANEL;
    for (int64_t key = 0; key < op->keys; key++, out += SIGE_PANEL) {
        memcpy(out, v + key * op->v_stride, n * sizeof(float));
        memset(out + n, 0, (SIGE_PANEL - n) * sizeof(float));
    }
}

/* Makes exp(scale * (row - max)) of a row and returns 1 / its sum. Beyond the keys it fills the row up to the panel
 * with zeros. */
static float softmax(float *row, int keys, int padded, float scale) {
    for (int i = keys; i < padded; i++)
        row[i] = -INFINITY;
    vfloat most_of = v_load(row), sum = {0};
    for (int i = SIGE_LANES; i < padded; i += SIGE_LANES)
        most_of = v_max(v_load(row + i), most_of);
    float most = most_of[0];
    for (int i = 1; i < SIGE_LANES; i++)
        most = most_of[i] > most ? most_of[i] : most;
    for (int i = 0; i < padded; i += SIGE_LANES) {
        vfloat x = v_load(row + i), e = v_exp((x - v_splat(most)) * v_splat(scale));
        if (i + SIGE_LANES > keys)
            for (int k = 0; k < SIGE_LANES; k++)
                e[k] = i + k < keys ? e[k] : 0;
        v_store(row + i, e);
        sum += e;
    }
    return 1.0f / v_sum(sum);
}

/* Attends for queries first ... first + n - 1 of an image's head, counted from the beginning of q. */
static void attend(const attention_job *j, int64_t image, int64_t head, int64_t first, int n, float *scores) {
    const sige_attention *op = j->op;
    const int padded = j->key_panels * SIGE_PANEL, d = op->head_dim;
    float *rows = scores + score_floats(j), *acc = rows + score_floats(j);
    const float *w = j->panels + (image * op->heads + head) * j->packed;

    uint32_t off[QUERIES], row[QUERIES];
    for (uint32_t i = 0; i < QUERIES; i++)
        off[i] = i * (uint32_t)op->q_stride, row[i] = i;
    const float *q = j->q + first * op->q_stride + head * d;
    for (int p = 0; p < j->key_panels; p++, w += d * SIGE_PANEL) {
        float *panel = scores + (size_t)p * QUERIES * SIGE_PANEL;
        sige_gemm(&(sige_product){.runs = 1,
                                  .length = d,
                                  .x = q,
                                  .w = w,
                                  .acc = panel,
                                  .width = SIGE_PANEL,
                                  .fresh = true,
                                  .ahead = w + d * SIGE_PANEL,
                                  .ahead_length = d * SIGE_PANEL},
                  n, off, row);
        for (int i = 0; i < n; i++)
            memcpy(rows + (size_t)i * (size_t)padded + p * SIGE_PANEL, panel + i * SIGE_PANEL,
                   SIGE_PANEL * sizeof(float));
    }
    float inverse[QUERIES];
    for (int i = 0; i < n; i++)
        inverse[i] = softmax(rows + (size_t)i * (size_t)padded, op->keys, padded, op->scale);

    for (uint32_t i = 0; i < QUERIES; i++)
        off[i] = i * (uint32_t)padded;
    float *dst = j->dst + (first * op->heads + head) * d;
    for (int p = 0; p < j->value_panels; p++, w += (int64_t)op->keys * SIGE_PANEL) {
        sige_gemm(&(sige_product){.runs = 1,
                                  .length = op->keys,
                                  .x = rows,
                                  .w = w,
                                  .acc = acc,
                                  .width = SIGE_PANEL,
                                  .fresh = true,
                                  .ahead = w + (int64_t)op->keys * SIGE_PANEL,
                                  .ahead_length = (int64_t)op->keys * SIGE_PANEL},
                  n, off, row);
        for (int i = 0; i < n; i++)
            for (int k = p * SIGE_PANEL; k < sige_min((p + 1) * SIGE_PANEL, d); k++)
                dst[(int64_t)i * op->heads * d + k] = acc[i * SIGE_PANEL + k % SIGE_PANEL] * inverse[i];
    }
}

/* Writes zeros for those of these queries that are beyond the image. */
static void clear_outside(const attention_job *j, int64_t head, int64_t first, int n) {
    const sige_attention *op = j->op;
    const int tile = op->out.tile, d = op->head_dim;
    if (op->out.h % tile == 0 && op->out.w % tile == 0)
        return;
    for (int64_t i = first; i < first + n; i++) {
        const int64_t number = i / ((int64_t)tile * tile), pixel = i % ((int64_t)tile * tile);
        const int32_t *entry = j->list + 3 * number;
        if (entry[1] * (int64_t)tile + pixel / tile >= op->out.h ||
            entry[2] * (int64_t)tile + pixel % tile >= op->out.w)
            memset(j->dst + (i * op->heads + head) * d, 0, (size_t)d * sizeof(float));
    }
}

static void run_queries(void *context, int64_t item, int thread) {
    const attention_job *j = context;
    const sige_attention *op = j->op;
    const int64_t blocks = sige_ceil_div(j->queries, QUERIES), head = item / blocks % op->heads;
    const int64_t image = item / blocks / op->heads, first = item % blocks * QUERIES;
    const int n = (int)(j->queries - first < QUERIES ? j->queries - first : QUERIES);
    float *own = sige_pool_own(j->pool, thread);
    if (!j->list) {
        attend(j, image, head, image * j->queries + first, n, own);
        return;
    }
    const int64_t pixels = (int64_t)op->out.tile * op->out.tile;
    for (int64_t at = first, next; at < first + n; at = next) { /* as far as the image stays the same */
        const int32_t of = j->list[3 * (at / pixels)];
        for (next = at; next < first + n && j->list[3 * (next / pixels)] == of;)
            next += pixels - next % pixels;
        next = next < first + n ? next : first + n;
        attend(j, of, head, at, (int)(next - at), own);
    }
    clear_outside(j, head, first, n);
}

static void run(const sige_op *of, const void *planned, void *const *slots, sige_pool *pool) {
    const sige_attention *op = &of->u.attention;
    attention_job j = *(const attention_job *)planned;
    j.q = slots[op->q], j.k = slots[op->k], j.v = slots[op->v], j.dst = slots[op->dst];
    j.panels = sige_pool_shared(pool);
    j.pool = pool;
    const int64_t heads = (int64_t)op->out.n * op->heads, blocks = sige_ceil_div(j.queries, QUERIES);
    sige_pool_for(pool, heads * (j.key_panels + j.value_panels), pack_panel, &j);
    sige_pool_for(pool, (j.list ? op->heads : heads) * blocks, run_queries, &j);
}

const sige_op_type SIGE_OP_TYPE(attention) = {.domain = offsetof(sige_op, u.attention.out),
                                              .plan_bytes = sizeof(attention_job),
                                              .check = check,
                                              .plan = plan,
                                              .run = run};
