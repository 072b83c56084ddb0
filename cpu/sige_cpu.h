/* sige_cpu runs convolutional networks on the CPU, on whole images or only on the tiles that an edit touched.
 *
 * This header is the whole C ABI. A caller describes a network as an array of `sige_op` (what to compute) over an
 * array of slots (where the numbers are). A program is compiled once, bound once to the tiles of an edit, and run once
 * for every sampler step:
 *
 *     sige_pool *pool = sige_pool_create(0);
 *     sige_program *program = sige_compile(ops, n_ops, n_slots, &wrong);
 *     sige_bound *edit = sige_bind(program, tiles, n_lists);
 *     int failed = sige_run(pool, edit, slots, NULL);
 *
 * Ops hold slot numbers, never pointers: from step to step only the slots change.
 *
 * Values are float32, NHWC. What an op writes must not overlap what it reads, unless said otherwise. Nothing here
 * allocates for the caller, keeps a slot's pointer after the call, or knows of Python. Results do not depend on the
 * number of threads, to the bit.
 */
#ifndef SIGE_CPU_H
#define SIGE_CPU_H

#include <stddef.h>
#include <stdint.h>

#if defined(_WIN32)
#define SIGE_API __declspec(dllexport)
#else
#define SIGE_API __attribute__((visibility("default")))
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* This is raised whenever a struct or function below changes. The caller compares it, and sizeof(sige_op), with what it
 * was built for. */
#define SIGE_ABI 10

enum { SIGE_NONE = -1 };       /* a slot that is not there */
enum { SIGE_MAX_SOURCES = 4 }; /* sources of one convolution or normalisation */
enum { SIGE_MAX_OUTPUTS = 4 }; /* outputs written by one epilogue */
enum { SIGE_MAX_KERNEL = 7 };  /* a kernel's height and width */
enum { SIGE_MAX_STRIDE = 8 };
enum { SIGE_MAX_HEADS = 1024 };

/* ---- values ------------------------------------------------------------------------------------------------------ */

/* An edit sees an NHWC value as recomputed tiles over a recorded base. Pixel (y, x) of image i is read
 *   from `blocks`, when grid[i][y / tile][x / tile] = b >= 0:  blocks[b][y % tile][x % tile][:]
 *   else from `base`:                                          base[i][y][x][:]
 * A dense value has only a base (blocks = grid = SIGE_NONE). `base` may be SIGE_NONE when only recomputed pixels are
 * read (others read as 0), and the pointer in the slot of `blocks` may be NULL when no tile is active. An image whose
 * size is no multiple of `tile` ends in partial tiles; their pixels beyond the image are 0.
 *
 * The base may be `stored`, in tiles as well: that of a value with blocks, or a recorded value by itself. */
typedef struct sige_tensor {
    int32_t n, h, w, c;
    int32_t tile;
    int32_t base;   /* slot of float[n][h][w][c], or of a sige_stored */
    int32_t blocks; /* slot of float[tiles][tile][tile][c] */
    int32_t grid;   /* slot of int32[n][ceil(h / tile)][ceil(w / tile)] */
    int32_t stored; /* 1: base is a sige_stored */
} sige_tensor;

/* The codec says how a tile of c channels is stored, in so many bytes as sige_tile_bytes gives. Halves are IEEE 754
 * binary16; what is beyond their range becomes their largest number.
 *   SIGE_FLOAT32: float[tile][tile][c]
 *   SIGE_FLOAT16: half[tile][tile][c]
 *   SIGE_INT8:    half scale[c], half least[c], uint8[tile][tile][c], for the values least + scale * uint8 */
typedef enum sige_codec { SIGE_FLOAT32 = 0, SIGE_FLOAT16 = 1, SIGE_INT8 = 2, SIGE_CODECS } sige_codec;

/* These are the tiles of a value, one after the other, from an address that is a multiple of 4. Which one is which says
 * `index` int32[n][ceil(h / tile)][ceil(w / tile)], where -1 is a tile that is not held and reads as 0; without an
 * index all are held, in the order image, row, column. */
typedef struct sige_stored {
    uint8_t *tiles;
    const int32_t *index;
    int32_t codec; /* sige_codec */
} sige_stored;

/* An op computes the pixels of a domain: every pixel, written as float[n][h][w][c], or the tiles of a list, written as
 * float[tiles][tile][tile][c]. */
typedef struct sige_domain {
    int32_t n, h, w;
    int32_t tile;
    int32_t tiles; /* length of the list, which sige_bind fills in */
    int32_t list;  /* slot by which sige_bind is given the tiles; SIGE_NONE: every pixel */
} sige_domain;

typedef enum sige_activation {
    SIGE_IDENTITY = 0,
    SIGE_SILU = 1,
    SIGE_RELU = 2,
    SIGE_LEAKY_RELU = 3, /* max(x, 0.2 x) */
    SIGE_TANH = 4,
    SIGE_ACTIVATIONS
} sige_activation;

/* A modulation changes a value pixel by pixel (SPADE): channel k becomes value * (1 + gamma) + beta, with channel
 * gamma_first + k of one tensor and beta_first + k of another, often the same one. Both have the plane of the value
 * that they modulate. */
typedef struct sige_modulation {
    sige_tensor gamma, beta;
    int32_t gamma_first, beta_first;
} sige_modulation;

/* An epilogue writes outputs: dst = act((value * scale[image][channel] + shift[image][channel]) * (1 + gamma) +
 * beta). */
typedef struct sige_output {
    int32_t dst;
    int32_t scale, shift; /* slots of float[n][...]: both, or both SIGE_NONE for value itself */
    int32_t stride;       /* floats from one image's scale (shift) to the next; 0: the same for all images */
    int32_t act;          /* sige_activation */
    int32_t has_mod;
    sige_modulation mod; /* of the plane of the op's domain */
} sige_output;

/* ---- ops --------------------------------------------------------------------------------------------------------- */

typedef enum sige_pad_mode { SIGE_PAD_ZERO = 0, SIGE_PAD_REFLECT = 1, SIGE_PAD_MODES } sige_pad_mode;

/* A source is one input of a convolution. Output pixel (y, x) reads, for tap (ky, kx), pixel
 *   (y * stride + ky - pad_top, x * stride + kx - pad_left)
 * of x as it looks resampled. Outside of that image it reads zero, or, reflected, the pixel that lies as far inside of
 * the border pixel, which is not repeated (and zero where that is outside, too). A padding is at most the kernel's
 * size. */
typedef struct sige_source {
    sige_tensor x;
    int32_t kh, kw, stride, pad_top, pad_left;
    int32_t pad_mode; /* sige_pad_mode */
    int32_t resample; /* 0: x itself; 1: nearest upsampling by 2, pixel (y >> 1, x >> 1) of x; -k, k up to 15: every
                         2^k-th pixel, (y << k, x << k), of an image of (h >> k, w >> k) */
    int32_t zeros;    /* 1: an upsampling that puts x at the even coordinates and zeros between, which makes a 3x3
                         convolution of stride 1 a transposed one by the kernel turned half round */
    /* A pixel that is read from `base` becomes act(pixel * scale[image] + shift[image]). Pixels from `blocks` are
     * ready, for the epilogue that wrote them did that, unless they are `raw`. With a modulation no pixels are ready:
     * all of them become act((pixel * scale + shift) * (1 + gamma) + beta). Zeros outside of the image stay zero. */
    int32_t scale, shift;  /* slots of float[n][...]: both, or both SIGE_NONE */
    int32_t stride_affine; /* floats from one image's scale (shift) to the next; 0: the same for all images */
    int32_t act;           /* sige_activation */
    int32_t raw;           /* 1: pixels from blocks are treated as those of base are */
    int32_t has_mod;
    sige_modulation mod; /* of the plane of x as it looks resampled */
} sige_source;

/* value = sum over sources of conv(source) + bias + vec[image] + residual, then every output of the epilogue.
 * Several sources are a concatenation (equal kernels) or a sum of convolutions (a residual block's 1x1 shortcut).
 * 3x3 kernels may be computed by Winograd's algorithm: expect a relative RMS error of 2e-6. */
typedef struct sige_conv {
    sige_domain out;
    int32_t c_out;
    int32_t n_sources, n_outputs;
    int32_t weight;     /* slot of the weights packed by sige_pack */
    int32_t bias;       /* slot of float[c_out] or SIGE_NONE */
    int32_t vec;        /* slot of float[n][...]: one value per image and channel (a time embedding) or SIGE_NONE */
    int32_t vec_stride; /* floats from one image's vec to the next; 0: the same for all images */
    int32_t sums;       /* slot of float[tiles][2][c_out]: each tile's sum of value and of value^2, or SIGE_NONE. For a
                           dense domain, tiles are all tiles in the order image, row, column */
    int32_t has_residual, residual_resample; /* 0, or 1: nearest upsampling by 2, as of a source */
    sige_tensor residual;                    /* n as out, c = c_out, and resampled h, w as out */
    sige_source source[SIGE_MAX_SOURCES];
    sige_output output[SIGE_MAX_OUTPUTS];
} sige_conv;

/* This is the same without mixing channels: value[k] = sum over taps of weight[tap][k] * source[k] (+ bias) (+
 * residual), then the outputs. Without weights it is the mean of the taps: an average pooling, or with one tap the
 * source itself, read, added and written in other forms. */
typedef struct sige_depthwise {
    sige_domain out;
    int32_t c, n_outputs;
    int32_t weight; /* slot of float[kh * kw][c] or SIGE_NONE */
    int32_t bias;   /* slot of float[c] or SIGE_NONE */
    int32_t sums;   /* as of a convolution */
    int32_t has_residual, residual_resample;
    sige_tensor residual;
    sige_source source; /* of c channels; no zeros between pixels */
    sige_output output[SIGE_MAX_OUTPUTS];
} sige_depthwise;

/* Group normalisation becomes an affine map per image and channel, from the sums that convolutions wrote:
 *   scale = weight / sqrt(var + eps),   shift = bias - mean * scale,
 * where the biased variance is taken over `pixels` pixels and the channels of a group. Sources are concatenated along
 * channels. With `mod`, s then t, the map is followed by another: scale (1 + s), shift (1 + s) + t.
 *
 * What the map is made of can be kept, so that other statistics make another map: `moments` are mean and variance of
 * the groups, `gain` is what they meet, weight (1 + s), then bias (1 + s) + t.
 *
 * Statistics can follow recorded ones. With `recorded`, which are moments, sums are of the tiles that `grid` lists
 * alone, and `before` are the recorded sums of the same tiles: the statistics are those after one took the place of the
 * other. */
typedef struct sige_norm {
    int32_t n, pixels, groups;
    int32_t n_sources;
    int32_t sums[SIGE_MAX_SOURCES];  /* slots of float[n * tiles][2][c[i]] */
    int32_t tiles[SIGE_MAX_SOURCES]; /* tiles per image */
    int32_t c[SIGE_MAX_SOURCES];
    int32_t recorded;                 /* slot of double[n][2][groups] or SIGE_NONE; with it sums and */
    int32_t before[SIGE_MAX_SOURCES]; /* slots of float[listed tiles][2][c[i]] hold tiles in the order of */
    int32_t grid;                     /* slot of int32[n][tiles], as of a sige_tensor */
    int32_t weight, bias;             /* slots of float[sum of c]; SIGE_NONE: 1, 0 */
    int32_t mod;                      /* slot of float[n][2][sum of c] or SIGE_NONE */
    int32_t scale, shift;             /* slots of float[n][sum of c] */
    int32_t moments;                  /* slot of double[n][2][groups] or SIGE_NONE */
    int32_t gain;                     /* slot of double[n][2][sum of c] or SIGE_NONE */
    float eps;
} sige_norm;

/* dst[i][t][h] = softmax(scale * q[i][t][h] . k[i][:][h]) v[i][:][h] for each image i, query t, head h;
 * a token is heads * head_dim floats, and tokens of q, k, v lie *_stride floats apart. dst is dense. Queries are the
 * pixels of `out`: h * w in each image, or tile * tile in each listed tile, which attend to the keys of the tile's
 * image; dst of pixels beyond the image is 0. */
typedef struct sige_attention {
    sige_domain out;
    int32_t keys, heads, head_dim; /* keys: per image */
    int32_t q, k, v, dst;
    int32_t q_stride, k_stride, v_stride;
    float scale;
} sige_attention;

/* dst = float[n][h][w][c]: x with its blocks pasted over its base. */
typedef struct sige_paste {
    sige_tensor x;
    int32_t dst;
} sige_paste;

/* Stores the tiles of a domain, which nobody may read from `dst` any more: with a list those of float[tiles][tile]
 * [tile][c], else those of float[n][h][w][c]. `dst` is an array like that of all pixels, float[n][h][w][c], or if it is
 * `stored` a sige_stored. By `change` it tells how the sums over the pixels of each image become others. */
typedef struct sige_store {
    sige_domain out;
    int32_t c;
    int32_t src, dst;
    int32_t stored; /* 1: dst is a sige_stored; tiles that its index does not hold are left out */
    int32_t change; /* slot of double[n][c], of the values, or with `squares` of double[n][2][c], of values and of their
                       squares; or SIGE_NONE */
    int32_t squares;
} sige_store;

typedef enum sige_kind {
    SIGE_CONV = 0,
    SIGE_NORM = 1,
    SIGE_DEPTHWISE = 2,
    SIGE_ATTENTION = 3,
    SIGE_PASTE = 4,
    SIGE_STORE = 5,
    SIGE_KINDS
} sige_kind;

typedef struct sige_op {
    int32_t kind;
    union {
        sige_conv conv;
        sige_norm norm;
        sige_depthwise depthwise;
        sige_attention attention;
        sige_paste paste;
        sige_store store;
    } u;
} sige_op;

/* Returns how many bytes a stored tile takes; 0 if the codec is none. */
SIGE_API size_t sige_tile_bytes(int32_t codec, int32_t tile, int32_t c);

/* ---- weights ----------------------------------------------------------------------------------------------------- */

/* These are the weights of one source: rows (o, ky, kx) of c_total floats, of which this source uses c from c_first on.
 * The sources of a concatenation share one array; a shortcut has its own. */
typedef struct sige_weights {
    const float *data; /* float[c_out][kh][kw][c_total] */
    int32_t c_total, c_first;
} sige_weights;

/* Returns how many floats the packed weights of a convolution take. That depends on c_out, each source's c, kernel,
 * stride, padding, pad_mode, resample and zeros, and whether an upsampled one is modulated, and on nothing else: so the
 * dense pass and every edit share one packing. */
SIGE_API size_t sige_pack_size(const sige_conv *conv);

/* Packs `weights[n_sources]` into `packed` (64-byte aligned), ready for `conv.weight`. It does not look at slots. */
SIGE_API void sige_pack(const sige_conv *conv, const sige_weights *weights, float *packed);

/* ---- running ----------------------------------------------------------------------------------------------------- */

typedef struct sige_pool sige_pool;

/* Starts threads that run ops; 0 means one per processor that this process may use, or per fast one where others are
 * slow. Returns NULL when they cannot be made. A pool serves one call at a time; pools that run at the same time share
 * the processors. */
SIGE_API sige_pool *sige_pool_create(int threads);
SIGE_API void sige_pool_destroy(sige_pool *pool);
SIGE_API int sige_pool_threads(const sige_pool *pool);

typedef struct sige_program sige_program;

/* Checks every op against the limits above and its slots against n_slots, and keeps a copy of all. Returns NULL when an
 * op is malformed, which `wrong` then names (else it is -1), or when there is no memory; sige_last_error says why. */
SIGE_API sige_program *sige_compile(const sige_op *ops, int n_ops, int n_slots, int *wrong);
SIGE_API void sige_program_destroy(sige_program *program);

/* These are the active tiles of a plane, for all domains that name `list`. */
typedef struct sige_tiles {
    int32_t list, count;
    const int32_t *rows; /* int32[count][3]: image, tile row, tile column; none is listed twice */
} sige_tiles;

typedef struct sige_bound sige_bound;

/* Binds a program to the tiles of an edit, which it keeps a copy of: everything that depends on their number is decided
 * here. A dense pass has no lists (n = 0). The program must outlive it. Returns NULL when a list is missing or names a
 * tile outside the image, or when there is no memory; sige_last_error says why. */
SIGE_API sige_bound *sige_bind(const sige_program *program, const sige_tiles *tiles, int n);
SIGE_API void sige_bound_destroy(sige_bound *bound);

/* Runs the ops in order. Slots that no op reads or writes on these tiles may be NULL, and slots of lists always.
 * Returns 0, or EINVAL when another slot is NULL, or ENOMEM, both before anything is written; sige_last_error says why.
 * `seconds`, if not NULL, receives each op's wall-clock seconds. */
SIGE_API int sige_run(sige_pool *pool, const sige_bound *bound, void *const *slots, double *seconds);

/* A convolution of stride 1 by 3x3 kernels is computed directly, or by Winograd's algorithm, F(2x2, 3x3) or F(4x4,
 * 3x3); of a nearest-upsampled image by four F(2, 2) along each axis; a transposed one in four phases. */
typedef enum sige_method {
    SIGE_DIRECT = 0,
    SIGE_PHASES = 1,
    SIGE_WINOGRAD_2 = 2,
    SIGE_WINOGRAD_4 = 3,
    SIGE_WINOGRAD_UP = 4,
    SIGE_METHODS
} sige_method;

/* Filters for Winograd's algorithm were transformed when they were packed; or all of them are before they are used, in
 * the memory that threads share; or a block at a time for each chunk of pixels, in a core's cache; or, for few pixels,
 * a row of points at a time between the multiplications. */
typedef enum sige_filters { SIGE_PACKED = 0, SIGE_SHARED = 1, SIGE_IN_CACHE = 2, SIGE_IN_REGISTERS = 3 } sige_filters;

/* This is how a convolution is computed: `method` is that of its first source of the largest kernel, `chunks` is in how
 * many pieces, `macs` how many multiplications are left for all sources, those of padded channels included, and
 * `weight_bytes` what is read of weights for each chunk. */
typedef struct sige_choice {
    int32_t method, filters;
    int32_t chunks;
    double macs, weight_bytes;
} sige_choice;

/* Writes how an op of a bound program is computed. Returns 0, or 1 if it is no convolution, or has no tiles here. */
SIGE_API int sige_explain(const sige_bound *bound, int op, sige_choice *choice);

/* Runs `steps` rounds of independent accumulations x += a * b in this thread's registers, and returns how many
 * floating-point operations that was: no convolution does more of them in a second. 0 when no instruction set can be
 * used. */
SIGE_API double sige_spin(int64_t steps);

/* Lets large products be multiplied by cblas_sgemm of a library, which is opened by its path, as dlopen does it; NULL:
 * by none, as from the start. That holds for the whole process: call it while nothing runs. Results then differ in
 * rounding, as those of the library do, but as before not with the number of threads. Returns 0, or ENOENT if that is
 * no such library, and changes nothing; sige_last_error says why. */
SIGE_API int sige_use_blas(const char *path);

/* Returns one sentence about this thread's last failure. */
SIGE_API const char *sige_last_error(void);

SIGE_API int sige_abi(void);

/* The library holds its kernels once for each instruction set of its architecture: "avx512", "avx2" and "generic" on
 * x86-64, "neon" on aarch64. When it is loaded it chooses the best one that processor and operating system support, or
 * the one that the environment variable SIGE_CPU_ISA names. Sets differ in rounding, and in how weights are packed.
 *
 * sige_simd returns the one in use. It is NULL when SIGE_CPU_ISA names none that can be used: then sige_last_error says
 * so, there are no pools and nothing can be packed. sige_isas returns those that can be used here, best first, with
 * ", " between. */
SIGE_API const char *sige_simd(void);
SIGE_API const char *sige_isas(void);

#ifdef __cplusplus
}
#endif
#endif
