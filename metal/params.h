// What an op is launched with: every number of it that no array's shape or type tells.
//
// Each struct is handed over as one int32 array, `params`, member after member, a float as its bits. Python reads the
// members from this file (sige_mlx/engine/gpu/params.py), so this is the only description of them. Members are `int`,
// `float`, or a struct above; an array of structs has a literal length.

#pragma once

namespace sige {

/// An NHWC value [n][h][w][c] as an edit sees it: pixel (y, x) of image i is read from `blocks`, when
/// grid[i][y / tile][x / tile] = b >= 0, at blocks[b][y % tile][x % tile], else from `base`. A dense value has only a
/// base; a value without a base reads as zero outside its blocks.
struct Plane {
  int h, w, c;
  int tile, grid_h, grid_w;
  int has_base, has_blocks;
};

/// A map per image and channel: scale of channel c in image i is affine[first + i * image + c], its shift lies `shift`
/// floats further.
struct Affine {
  int present, first, image, shift;
};

/// What an op computes: every pixel of [n][h][w], written as such, or the tiles of a list of (image, row, column),
/// written as [tiles][tile][tile]. Rows of the list with a negative image fill it up and compute nothing.
struct Domain {
  int n, h, w;
  int tile, grid_h, grid_w;
  int tiles, listed;
};

/// One input of a convolution. Output pixel (y, x) reads, for tap (ky, kx), pixel (y * stride + ky - pad_top,
/// x * stride + kx - pad_left) of the plane seen through `resample`: +1 shows every pixel as 2x2, -k every 2^k-th pixel
/// of every 2^k-th row. Beyond its borders the plane is zero, or mirrored with `reflect`. Pixels from the base become
/// act(pixel * scale + shift) as they are read; pixels from blocks are ready.
struct Source {
  Plane x;
  int kh, kw, stride, pad_top, pad_left;
  int resample, reflect;
  Affine affine;
  int act;
};

/// One result of an epilogue: dst = act((value * scale + shift) * (1 + gamma) + beta), where gamma and beta are the
/// first and second half of the channels of `mod`.
struct Output {
  Affine affine;
  int modulated;
  Plane mod;
  int act;
};

/// value = sum of the sources' convolutions + bias + vec[image] + residual, then the outputs.
/// `k_groups` counts the groups of 8 rows of the packed weights (see conv/weights.h).
struct ConvParams {
  Domain out;
  int c_out, panels, k_groups;
  int has_bias, has_vec, vec_image;
  int has_residual;
  Plane residual;
  Source source[4];
  Output output[4];
};

}  // namespace sige
