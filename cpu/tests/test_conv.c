#include <dlfcn.h>
#include <errno.h>
#include <stdatomic.h>
#include <string.h>

#include "sample.h"

static const int channels[] = {1, 3, 5, 8, 16, 17, 37, 48, 64};

static double value(const sample *m, int image, int y, int x, int o) {
    return oracle_conv(&m->s, &m->op.u.conv, m->weights, image, y, x, o);
}

static void add_source(sample *m, sige_conv *conv, int c, int kernel, bool tiled) {
    sige_source *v = &conv->source[conv->n_sources];
    *v = random_source(m, &conv->out, c, kernel, tiled);
    v->zeros =
        v->resample == 1 && v->kh == 3 && v->kw == 3 && v->pad_mode == SIGE_PAD_ZERO && !v->has_mod && pick(0, 1);
    sige_weights *k = &m->weights[conv->n_sources++];
    k->c_first = pick(0, 1) * 2, k->c_total = c + k->c_first + pick(0, 2);
    k->data = at(&m->s, floats(&m->s, (int64_t)conv->c_out * v->kh * v->kw * k->c_total));
}

static void random_conv(int c, int c_out, int n_sources, int kernel, bool tiled, int number) {
    sample m = {.n_outputs = 0};
    m.op.kind = SIGE_CONV;
    sige_conv *conv = &m.op.u.conv;
    *conv = (sige_conv){.c_out = c_out, .bias = SIGE_NONE, .vec = SIGE_NONE};
    pick_domain(&m, &conv->out, c > 64 ? 9 : 21, tiled);
    for (int i = 0; i < n_sources; i++)
        add_source(&m, conv, c ? c : channels[pick(0, 8)], pick(0, 2) || c ? kernel : 4 - kernel, tiled);
    if (pick(0, 3))
        conv->bias = floats(&m.s, conv->c_out);
    if (pick(0, 1)) {
        conv->vec_stride = pick(0, 1) * (conv->c_out + 1);
        conv->vec = floats(&m.s, (int64_t)(conv->out.n - 1) * conv->vec_stride + conv->c_out);
    }
    conv->has_residual = random_residual(&m, &conv->out, c_out, tiled, &conv->residual, &conv->residual_resample);
    conv->n_outputs = random_outputs(&m, &conv->out, c_out, conv->output, &conv->sums);
    conv->weight = zeros(&m.s, (int64_t)sige_pack_size(conv));
    sige_pack(conv, m.weights, at(&m.s, conv->weight));
    check_sample(&m, &conv->out, c_out, conv->output, conv->n_outputs, conv->sums, value, "convolution", number);
}

static void random_convs(bool tiled) {
    for (int i = 0; i < repeats(400); i++)
        random_conv(0, channels[pick(0, 8)], pick(1, 3), pick(0, 1) ? 3 : 1, tiled, i);
}

void test_conv(void) { random_convs(false); }
void test_conv_tiles(void) { random_convs(true); }

/* There are filters of all sizes that the packing tells apart, and more channels than are multiplied at a time. */
void test_conv_deep(void) {
    static const int shapes[][2] = {{300, 80}, {280, 240}, {700, 32}, {560, 400}};
    for (int i = 0; i < repeats(16); i++)
        random_conv(shapes[i % 4][0], shapes[i % 4][1], 1, i < 12 ? 3 : 1, i / 4 % 2, i);
}

/* A 3x3 convolution of stride 1, and how it is to be computed. */
typedef struct method_case {
    int c, c_out, h, w, upsample, tile;
    int32_t method;  /* sige_method */
    int32_t filters; /* sige_filters, if by Winograd's algorithm */
} method_case;

static sige_choice choice_of(const sample *m) {
    int wrong;
    sige_choice choice;
    sige_program *program = sige_compile(&m->op, 1, m->s.n, &wrong);
    CHECK(program, "%s", sige_last_error());
    sige_bound *bound = sige_bind(program, NULL, 0);
    CHECK(bound, "%s", sige_last_error());
    CHECK(sige_explain(bound, 0, &choice) == 0, "a convolution is explained");
    sige_bound_destroy(bound);
    sige_program_destroy(program);
    return choice;
}

/* Every method is chosen for some number of pixels and channels, and computes what it should. */
void test_conv_methods(void) {
    const bool registers = !strcmp(sige_simd(), "avx512");
    const int32_t few = registers ? SIGE_IN_REGISTERS : SIGE_IN_CACHE;
    const method_case cases[] = {
        {8, 32, 12, 12, 0, 4, SIGE_DIRECT, 0},
        {560, 400, 4, 4, 0, 4, SIGE_DIRECT, 0},
        {560, 400, 4, 12, 0, 4, registers ? SIGE_WINOGRAD_4 : SIGE_WINOGRAD_2, few},
        {560, 400, 8, 8, 0, 4, SIGE_WINOGRAD_4, few},
        {560, 400, 12, 16, 0, 4, SIGE_WINOGRAD_4, SIGE_IN_CACHE},
        {1500, 33, 31, 32, 0, 4, SIGE_WINOGRAD_4, SIGE_SHARED},
        {48, 40, 9, 12, 0, 4, SIGE_WINOGRAD_4, SIGE_PACKED},
        {48, 40, 12, 14, 1, 4, SIGE_WINOGRAD_UP, SIGE_IN_CACHE},
        {48, 40, 12, 14, 1, 6, SIGE_WINOGRAD_UP, SIGE_IN_CACHE},
        {48, 40, 12, 14, 1, 3, SIGE_DIRECT, 0},
        {17, 9, 96, 80, 1, 4, SIGE_WINOGRAD_UP, SIGE_SHARED},
    };
    for (int i = 0; i < (int)(sizeof cases / sizeof *cases); i++) {
        const method_case *of = &cases[i];
        sample m = {.every = 7};
        m.op.kind = SIGE_CONV;
        sige_conv *conv = &m.op.u.conv;
        *conv = (sige_conv){.out = {1, of->h, of->w, of->tile, 0, SIGE_NONE}, .c_out = of->c_out, .vec = SIGE_NONE};
        sige_source *v = &conv->source[conv->n_sources++];
        *v = (sige_source){.kh = 3, .kw = 3, .stride = 1, .pad_top = 1, .pad_left = 1, .resample = of->upsample};
        v->x = random_tensor(&m.s, 1, of->h >> of->upsample, of->w >> of->upsample, of->c, 0);
        v->scale = v->shift = SIGE_NONE;
        m.weights[0] = (sige_weights){at(&m.s, floats(&m.s, (int64_t)of->c_out * 9 * of->c)), of->c, 0};
        conv->bias = floats(&m.s, of->c_out);
        conv->n_outputs = random_outputs(&m, &conv->out, of->c_out, conv->output, &conv->sums);
        for (int k = 0; k < conv->n_outputs; k++)
            conv->output[k].act = SIGE_IDENTITY; /* others may leave little of a sum but its rounding */
        conv->sums = floats(&m.s, (int64_t)of->h * of->w * 2 * of->c_out); /* with sums, tiles matter */
        conv->weight = zeros(&m.s, (int64_t)sige_pack_size(conv));
        sige_pack(conv, m.weights, at(&m.s, conv->weight));
        const sige_choice choice = choice_of(&m);
        CHECK(choice.method == of->method, "case %d: method %d", i, choice.method);
        CHECK(of->method == SIGE_DIRECT || choice.filters == of->filters, "case %d: filters %d", i, choice.filters);
        CHECK(choice.macs > 0 && choice.weight_bytes >= 4.0 * of->c * of->c_out, "case %d: its costs", i);
        check_sample(&m, &conv->out, of->c_out, conv->output, conv->n_outputs, conv->sums, value, "method", i);
    }
}

/* A library that is asked for multiplies deep convolutions by all methods, with the same results on any number of
 * threads; one that is none is refused and changes nothing. */
void test_blas(void) {
    void *library = dlopen(SIGE_TEST_BLAS, RTLD_NOW);
    const char *why = library ? "" : dlerror();
    if (strstr(why, "not supported")) {
        printf("blas: a program that is linked statically opens no library\n");
        return;
    }
    CHECK(library, "%s", why);
    atomic_int *calls = dlsym(library, "sige_test_calls");
    CHECK(calls, "%s", dlerror());
    random_conv(64, 64, 1, 3, false, 0);
    CHECK(atomic_load(calls) == 0, "it was not asked for");
    CHECK(sige_use_blas(SIGE_TEST_BLAS) == 0, "%s", sige_last_error());
    static const char *const none[] = {"/nowhere/libblas.so", "libm.so.6"};
    for (int i = 0; i < 2; i++)
        CHECK(sige_use_blas(none[i]) == ENOENT && strstr(sige_last_error(), none[i]), "%s", sige_last_error());
    for (int tiled = 0; tiled < 2; tiled++) {
        const int before = atomic_load(calls);
        for (int i = 0; i < 8; i++)
            random_conv(i % 4 ? 64 : 256, 80, 1, 1, tiled, i);
        CHECK(atomic_load(calls) > before, "pixel-wise, tiled %d: it was never called", tiled);
        random_conv(64, 80, 1, 3, tiled, 0);
    }
    const int direct = atomic_load(calls);
    seed(1); /* the samples of its own run */
    test_conv_methods();
    CHECK(atomic_load(calls) > direct, "by Winograd's algorithm: it was never called");
    CHECK(sige_use_blas(NULL) == 0, "%s", sige_last_error());
    const int before = atomic_load(calls);
    random_conv(256, 80, 1, 1, false, 0);
    CHECK(atomic_load(calls) == before, "it was called after it was given up");
    dlclose(library);
}
