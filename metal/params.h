// An op is launched with these numbers: every number of it that no array's shape or type tells.
//
// Each struct is handed over as one int32 array, `params`, member after member, a float as its bits. Python reads the
// members from this file, so this is the only description of them. Members are `int`, `float`, or a struct above; an
// array of structs has a literal length.

#pragma once

namespace sige {

/// An edit sees an NHWC value [n][h][w][c] so: pixel (y, x) of image i is read from `blocks`, when grid[i][y / tile][x
/// / tile] = b >= 0, at blocks[b][y % tile][x % tile], else from `base`. A dense value has only a base; a value without
/// a base reads as zero outside its blocks.
struct Plane {
    int h, w, c;
    int tile, grid_h, grid_w;
    int has_base, has_blocks;
};

/// An affine map belongs to each image and channel: scale of channel c in image i is affine[first + i * image + c], and
/// its shift lies `shift` floats further.
struct Affine {
    int present, first, image, shift;
};

/// Pixels are modulated with two planes (SPADE): channel c becomes value * (1 + gamma) + beta, by channel gamma_first +
/// c of one plane and beta_first + c of another, often the same one.
struct Modulation {
    int present;
    Plane gamma, beta;
    int gamma_first, beta_first;
};

/// An op computes every pixel of [n][h][w], written as such, or the tiles of a list of (image, row, column), written as
/// [tiles][tile][tile]. Rows with a negative image fill a list up at its end and compute nothing.
struct Domain {
    int n, h, w;
    int tile, grid_h, grid_w;
    int tiles, listed;
};

/// A source is one input of a convolution. Output pixel (y, x) reads, for tap (ky, kx), pixel (y * stride + ky -
/// pad_top, x * stride + kx - pad_left) of the plane seen through `resample`: +1 shows every pixel as 2x2, -k every
/// 2^k-th pixel of every 2^k-th row; with `zeros`, +1 shows pixels at even coordinates and zeros between. Beyond its
/// borders the plane is zero, or mirrored with `reflect`. Pixels from the base become act(pixel * scale + shift) as
/// they are read; pixels from blocks are ready. With a modulation, by planes of the size that is seen, all pixels
/// become act((pixel * scale + shift) * (1 + gamma) + beta).
struct Source {
    Plane x;
    int kh, kw, stride, pad_top, pad_left;
    int resample, zeros, reflect;
    Affine affine;
    int act;
    Modulation mod;
};

/// An epilogue writes outputs: dst = act((value * scale + shift) * (1 + gamma) + beta).
struct Output {
    Affine affine;
    Modulation mod;
    int act;
};

/// The epilogue of a convolution computes value + bias + vector[image] + residual, then the outputs. The residual is
/// seen through a resampling of 0 or +1.
struct EpilogueParams {
    Domain out;
    int c_out;
    int has_bias, has_vec, vec_image;
    int has_residual, residual_resample;
    Plane residual;
    Output output[4];
};

/// value = sum of the sources' convolutions, then the epilogue. `panels` and `k_groups` are those of the packed weights
/// (conv/mma.h): of 32 output channels, and of 8 rows. `phase_shift` is that of a phased convolution (conv/conv.h). The
/// sum may be shared out over `shares` threadgroups (conv/share.h).
struct ConvParams {
    EpilogueParams epilogue;
    int panels, k_groups;
    int phase_shift;
    int shares;
    Source source[4];
};

/// value[c] = sum over taps of weight[tap][c] * source[c], or their mean without a weight, then the epilogue.
struct DepthwiseParams {
    EpilogueParams epilogue;
    int has_weight;
    Source source;
};

/// value = sum of the `shares` of a convolution, then the epilogue.
struct TotalParams {
    EpilogueParams epilogue;
    int shares;
};

/// dst [n][h][w][c] = x, its blocks over its base.
struct PasteParams {
    int n;
    Plane x;
};

/// A normalisation of groups of channels as an affine map, from sums over tiles: `sums` are planes of one pixel a tile,
/// each of 2 c channels, the sums of c channels and the sums of their squares. With a `mod` [n][2 * channels], s then
/// t, the map is followed by x * (1 + s) + t. Where statistics follow recorded ones, `sums` have blocks alone.
struct NormParams {
    int n, pixels, groups, channels;
    int has_weight, has_bias, has_mod, mod_image;
    float eps;
    Plane sums[4];
};

/// Pixels one after the other, each `stride` numbers from the next, of which those from `first` on are used.
struct Tokens {
    int first, stride;
};

/// dst = softmax(scale * q k^T) v, by heads of head_dim channels, for the pixels of `out`, which lie in q in the order
/// they are written in. Keys and values are those of a pixel's image. Pixels of a tile beyond the image become zero.
struct AttentionParams {
    Domain out;
    int keys, heads, head_dim;
    Tokens q, k, v;
    float scale;
};

} // namespace sige
