/* This prints the speed of the convolutions of the DDPM-256 U-Net, dense and over the tiles of a round edit.
 *
 *     sige_cpu_bench [threads [rounds [name [plain]]]]
 *
 * Dense convolutions normalise and activate what they read, and keep sums of what they write. Those over tiles
 * normalise and activate what they read beyond the tiles, and what they write. With `plain` they do none of that.
 *
 * Every figure is the fastest of the rounds. The machine's FMA peak is measured again in every round; its fastest is
 * the 100 %. GFLOPS count the multiplications of the plain algorithm. "of peak" counts those that are left after the
 * savings of Winograd's algorithm and of phases, and is the distance to what the processor can do. `name` selects by a
 * part of it: "tiles" those over tiles. SIGE_CPU_ISA chooses the instruction set. */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "peak.h"
#include "sige_cpu.h"

typedef struct shape {
    const char *name;
    int size; /* of the output, height and width */
    int c[3]; /* channels of the sources: first kernel, same kernel (concatenated), 1x1 shortcut of the whole */
    int c_out, kernel, stride, upsample;
    int count;  /* in a pass */
    bool tiled; /* in an edit */
} shape;

/* An edit has tiles on all planes of 8 pixels and more. */
static const shape shapes[] = {
    {"in 3>128 @256", 256, {3}, 128, 3, 1, 0, 1, false},
    {"128>128 @256", 256, {128}, 128, 3, 1, 0, 4, true},
    {"128+128>128 @256", 256, {128, 128}, 128, 3, 1, 0, 3, true},
    {"128(256)>128 @256", 256, {128, 0, 256}, 128, 3, 1, 0, 3, true},
    {"out 128>3 @256", 256, {128}, 3, 3, 1, 0, 1, false},
    {"down 128 @256>128", 128, {128}, 128, 3, 2, 0, 1, true},
    {"up 128 @128>256", 256, {128}, 128, 3, 1, 1, 1, true},
    {"128>128 @128", 128, {128}, 128, 3, 1, 0, 4, true},
    {"256+128>128 @128", 128, {256, 128}, 128, 3, 1, 0, 1, true},
    {"128+128>128 @128", 128, {128, 128}, 128, 3, 1, 0, 2, true},
    {"128(384)>128 @128", 128, {128, 0, 384}, 128, 3, 1, 0, 1, true},
    {"128(256)>128 @128", 128, {128, 0, 256}, 128, 3, 1, 0, 2, true},
    {"down 128 @128>64", 64, {128}, 128, 3, 2, 0, 1, true},
    {"up 256 @64>128", 128, {256}, 256, 3, 1, 1, 1, true},
    {"128>256 @64", 64, {128}, 256, 3, 1, 0, 1, true},
    {"256>256 @64", 64, {256}, 256, 3, 1, 0, 2, true},
    {"256(128)>256 @64", 64, {256, 0, 128}, 256, 3, 1, 0, 1, true},
    {"256+256>256 @64", 64, {256, 256}, 256, 3, 1, 0, 2, true},
    {"256+128>256 @64", 64, {256, 128}, 256, 3, 1, 0, 1, true},
    {"256(512)>256 @64", 64, {256, 0, 512}, 256, 3, 1, 0, 3, true},
    {"down 256 @64>32", 32, {256}, 256, 3, 2, 0, 1, true},
    {"up 256 @32>64", 64, {256}, 256, 3, 1, 1, 1, true},
    {"256>256 @32", 32, {256}, 256, 3, 1, 0, 4, true},
    {"512+256>256 @32", 32, {512, 256}, 256, 3, 1, 0, 1, true},
    {"256+256>256 @32", 32, {256, 256}, 256, 3, 1, 0, 2, true},
    {"256(768)>256 @32", 32, {256, 0, 768}, 256, 3, 1, 0, 1, true},
    {"256(512)>256 @32", 32, {256, 0, 512}, 256, 3, 1, 0, 2, true},
    {"down 256 @32>16", 16, {256}, 256, 3, 2, 0, 1, true},
    {"up 512 @16>32", 32, {512}, 512, 3, 1, 1, 1, true},
    {"256>512 @16", 16, {256}, 512, 3, 1, 0, 1, true},
    {"512>512 @16", 16, {512}, 512, 3, 1, 0, 3, true},
    {"512+512>512 @16", 16, {512, 512}, 512, 3, 1, 0, 2, true},
    {"512+256>512 @16", 16, {512, 256}, 512, 3, 1, 0, 1, true},
    {"512(1024)>512 @16", 16, {512, 0, 1024}, 512, 3, 1, 0, 3, true},
    {"1x1 512>1536 @16", 16, {512}, 1536, 1, 1, 0, 5, true},
    {"down 512 @16>8", 8, {512}, 512, 3, 2, 0, 1, true},
    {"up 512 @8>16", 16, {512}, 512, 3, 1, 1, 1, true},
    {"512>512 @8", 8, {512}, 512, 3, 1, 0, 8, true},
    {"512+512>512 @8", 8, {512, 512}, 512, 3, 1, 0, 3, true},
    {"512(1024)>512 @8", 8, {512, 0, 1024}, 512, 3, 1, 0, 3, true},
    {"1x1 512>512 @1", 1, {512}, 512, 1, 1, 0, 32, false},
};
enum { SHAPES = sizeof shapes / sizeof *shapes, MAX_SLOTS = 32 };

typedef struct slots {
    void *data[MAX_SLOTS];
    int n;
} slots;

static int add(slots *s, size_t bytes) {
    void *p = NULL;
    if (posix_memalign(&p, 64, bytes ? bytes : 1))
        abort();
    s->data[s->n] = p;
    return s->n++;
}

static int floats(slots *s, size_t n) {
    static uint32_t state = 1;
    int slot = add(s, n * sizeof(float));
    float *p = s->data[slot];
    for (size_t i = 0; i < n; i++)
        p[i] = (float)((state = state * 1664525u + 1013904223u) >> 8) / (1 << 23) - 1.0f;
    return slot;
}

/* Lists the tiles that a disc in the middle touches, of 1.2 % of the area (the dilated mask of the paper's edits). */
static int disc(int size, int tile, int32_t *grid, int32_t *list) {
    const int across = (size + tile - 1) / tile;
    const double radius = 0.0618 * size + 0.7, middle = 0.45 * size; /* pi r^2 = 1.2 %, and the halo */
    int n = 0;
    for (int y = 0; y < across; y++)
        for (int x = 0; x < across; x++) {
            double dy = (y + 0.5) * tile - middle, dx = (x + 0.5) * tile - middle;
            double reach = radius + 0.5 * tile;
            bool in = dy * dy + dx * dx < reach * reach;
            grid[y * across + x] = in ? n : -1;
            if (in)
                list[3 * n] = 0, list[3 * n + 1] = y, list[3 * n + 2] = x, n++;
        }
    return n;
}

static sige_tensor tensor(slots *s, int size, int c, bool tiled) {
    sige_tensor t = {1, size, size, c, 4, floats(s, (size_t)size * size * c), SIGE_NONE, SIGE_NONE, 0};
    if (!tiled)
        return t;
    size_t tiles = (size_t)((size + 3) / 4) * ((size + 3) / 4);
    int32_t *list = malloc(tiles * 12);
    t.grid = add(s, tiles * 4);
    int n = disc(size, 4, s->data[t.grid], list);
    free(list);
    t.blocks = floats(s, (size_t)n * 16 * c);
    return t;
}

/* Convolutions are told apart by how they are computed, those of 1x1 kernels by themselves. */
enum { ONE = SIGE_METHODS, GROUPS };
static const char *const names[GROUPS] = {"direct", "phases", "F(2x2, 3x3)", "F(4x4, 3x3)", "upsampled", "1x1"};

typedef struct bench {
    slots s;
    sige_op op;
    double gflop, done, best, packed_mb; /* done: of gflop, what is left to do */
    int group;
    int tiles;
} bench;

static void make(bench *b, const shape *h, bool tiled, bool affine) {
    b->op.kind = SIGE_CONV;
    sige_conv *c = &b->op.u.conv;
    *c =
        (sige_conv){.out = {1, h->size, h->size, 4, 0, SIGE_NONE}, .c_out = h->c_out, .n_outputs = 1, .vec = SIGE_NONE};
    double macs = 0;
    sige_weights weights[3];
    for (int i = 0; i < 3; i++) {
        if (!h->c[i])
            continue;
        sige_source *v = &c->source[c->n_sources];
        int kernel = i == 2 ? 1 : h->kernel, stride = i == 2 ? 1 : h->stride, up = i == 2 ? 0 : h->upsample;
        int pad = stride == 1 ? kernel / 2 : 0, size = h->size * stride >> up;
        *v = (sige_source){.x = tensor(&b->s, size, h->c[i], tiled),
                           .kh = kernel,
                           .kw = kernel,
                           .stride = stride,
                           .pad_top = pad,
                           .pad_left = pad,
                           .resample = up,
                           .scale = SIGE_NONE,
                           .shift = SIGE_NONE};
        if (i < 2 && affine && h->c[i] > 3)
            v->scale = floats(&b->s, h->c[i]), v->shift = floats(&b->s, h->c[i]), v->act = SIGE_SILU;
        int w = floats(&b->s, (size_t)h->c_out * kernel * kernel * h->c[i]);
        weights[c->n_sources++] = (sige_weights){b->s.data[w], h->c[i], 0};
        macs += (double)h->c[i] * kernel * kernel * h->c_out;
    }
    size_t pixels = (size_t)h->size * h->size;
    if (tiled) {
        c->out.list = add(&b->s, pixels * 12);
        int grid = add(&b->s, pixels * 4);
        c->out.tiles = disc(h->size, 4, b->s.data[grid], b->s.data[c->out.list]);
        pixels = (size_t)c->out.tiles * 16;
    }
    b->tiles = c->out.tiles;
    c->weight = floats(&b->s, sige_pack_size(c));
    b->packed_mb = (double)sige_pack_size(c) * 4e-6;
    sige_pack(c, weights, b->s.data[c->weight]);
    for (int i = 0; i < c->n_sources; i++)
        for (int k = 0; k < b->s.n; k++)
            if (b->s.data[k] == (const void *)weights[i].data)
                free(b->s.data[k]), b->s.data[k] = NULL;
    c->bias = floats(&b->s, (size_t)h->c_out);
    c->sums = tiled ? SIGE_NONE : floats(&b->s, (pixels / 16 + 1) * 2 * h->c_out);
    c->output[0] = (sige_output){.dst = floats(&b->s, pixels * h->c_out), .scale = SIGE_NONE, .shift = SIGE_NONE};
    if (tiled && affine) {
        c->output[0].scale = floats(&b->s, h->c_out), c->output[0].shift = floats(&b->s, h->c_out);
        c->output[0].act = SIGE_SILU;
    }
    b->gflop = 2e-9 * macs * (double)pixels;
    b->best = 1e9;
}

/* In a pass every convolution finds other data in the caches. */
static void empty_caches(void) {
    static char other[96 << 20];
    for (size_t i = 0; i < sizeof other; i += 64)
        other[i]++;
}

/* Sums up the convolutions of a pass by method. */
typedef struct total {
    double seconds, gflop, done;
} total;

static void add_up(total *t, const bench *b, int count) {
    for (int m = 0; m <= GROUPS; m++)
        if (m == GROUPS || m == b->group)
            t[m].seconds += count * b->best, t[m].gflop += count * b->gflop, t[m].done += count * b->done;
}

static void print(const char *pass, const total *t, double peak) {
    for (int m = 0; m <= GROUPS; m++)
        if (t[m].seconds > 0)
            printf("%-6s %-12s %8.1f GMACs %8.1f ms %7.1f GFLOPS %5.0f%%\n", pass, m == GROUPS ? "all" : names[m],
                   t[m].gflop / 2, 1e3 * t[m].seconds, t[m].gflop / t[m].seconds,
                   100 * t[m].done / t[m].seconds / peak);
}

int main(int argc, char **argv) {
    const int threads = argc > 1 ? atoi(argv[1]) : 2, rounds = argc > 2 ? atoi(argv[2]) : 5;
    sige_pool *pool = sige_pool_create(threads);
    if (!pool)
        return 1;
    static bench all[2][SHAPES];
    total dense[GROUPS + 1] = {{0}}, edit[GROUPS + 1] = {{0}};
    double peak = 0, mb = 0;
    printf("%-26s %6s %8s %9s %8s %7s\n", "", "tiles", "ms", "GFLOPS", "of peak", "weights");
    for (int i = 0; i < SHAPES; i++) {
        const shape *h = &shapes[i];
        for (int tiled = 0; tiled < (h->tiled ? 2 : 1); tiled++) {
            char name[64];
            snprintf(name, sizeof name, "%s%s", h->name, tiled ? " tiles" : "");
            if (argc > 3 && !strstr(name, argv[3]))
                continue;
            bench *b = &all[tiled][i];
            make(b, h, tiled, argc <= 4);
            int wrong;
            sige_program *program = sige_compile(&b->op, 1, b->s.n, &wrong);
            const sige_domain *out = &b->op.u.conv.out;
            const sige_tiles tiles = {out->list, b->tiles, tiled ? b->s.data[out->list] : NULL};
            sige_bound *bound = program ? sige_bind(program, &tiles, tiled) : NULL;
            if (!bound)
                return fprintf(stderr, "%s\n", sige_last_error()), 1;
            sige_choice choice;
            sige_explain(bound, 0, &choice);
            b->group = h->kernel == 1 ? ONE : choice.method;
            b->done = 2e-9 * choice.macs < b->gflop ? 2e-9 * choice.macs : b->gflop; /* not those of padding */
            for (int r = 0; r < rounds; r++) {
                double p = fma_peak(threads);
                peak = p > peak ? p : peak;
                double spent = 0;
                for (int k = 0; k < 1 || (k < 100 && spent < 0.01); k++) {
                    empty_caches();
                    const double start = now(threads);
                    if (sige_run(pool, bound, b->s.data, NULL))
                        return fprintf(stderr, "%s\n", sige_last_error()), 1;
                    const double s = now(threads) - start;
                    spent += s;
                    b->best = s < b->best ? s : b->best;
                }
            }
            printf("%-26s %6d %8.3f %9.1f %7.0f%% %5.1f MB\n", name, b->tiles, 1e3 * b->best, b->gflop / b->best,
                   100 * b->done / b->best / peak, b->packed_mb);
            fflush(stdout);
            if (!tiled)
                add_up(dense, b, h->count), mb += h->count * b->packed_mb;
            if (tiled || !h->tiled)
                add_up(edit, b, h->count);
            sige_bound_destroy(bound);
            sige_program_destroy(program);
            for (int k = 0; k < b->s.n; k++)
                free(b->s.data[k]);
        }
    }
    printf("%s: peak %.1f GFLOPS on %d threads, weights %.0f MB\n", sige_simd(), peak, threads, mb);
    print("dense", dense, peak);
    print("edit", edit, peak);
    sige_pool_destroy(pool);
    return 0;
}
