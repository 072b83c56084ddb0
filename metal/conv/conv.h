// The sparse convolution: an implicit GEMM over pixels of tiles (M), output channels (N), and taps and channels (K).
//
// A threadgroup computes BM pixels, of as many whole tiles as fit, by BN output channels. Its simdgroups are WM x WN x
// WK: each has 32 x 32 sums of its own, and WK of them share the steps of K between them where a few pixels alone would
// leave most of the GPU idle. For each source, BK channels at a time:
//
//   loader    windows of the tiles -> threadgroup memory            (loader.h)
//   MMA loop  windows x packed weights -> sums in registers         (mma.h)
//
// and at the end, once, the epilogue: sums -> outputs                (epilogue.h).

#pragma once

#include "epilogue.h"
#include "loader.h"
#include "mma.h"

namespace sige {

/// PIXELS: pixels of the windows of a threadgroup's tiles, for the largest source. VEC_IN and VEC_OUT: all sources', and
/// the output's, channels come in fours.
template <typename T, int WM, int WN, int WK, int BK, int PIXELS, bool VEC_IN, bool VEC_OUT>
struct Conv {
  static constant constexpr const int TM = 4, TN = 4;
  static constant constexpr const int BM = WM * TM * 8, BN = WN * TN * 8;
  static constant constexpr const int THREADS = WM * WN * WK * 32;
  static constant constexpr const int PITCH = BK + 16 / sizeof(T);  // padded: fewer bank conflicts, still aligned
  static constant constexpr const int VALUES_PITCH = BN + 4;
  static constant constexpr const int MAX_TAPS = 49;

  // The windows lie where later the values do.
  static constant constexpr const int WINDOW_BYTES = PIXELS * PITCH * sizeof(T);
  static constant constexpr const int VALUES_BYTES = BM * VALUES_PITCH * sizeof(float);
  static constant constexpr const int MEMORY =
      ((WINDOW_BYTES > VALUES_BYTES ? WINDOW_BYTES : VALUES_BYTES) + 15) / 16;

  using Loader = WindowLoader<T, BK, PITCH, PIXELS, THREADS, VEC_IN>;
  using MMA = TileMMA<T, TM, TN>;
  using Finish = Epilogue<T, BM, BN, VALUES_PITCH, THREADS, VEC_OUT>;

  /// Threadgroup memory.
  struct Shared {
    threadgroup float4* memory;        // [MEMORY]
    threadgroup WindowPixel* windows;  // [PIXELS]
    threadgroup int4* pixels;          // [BM], packed
    threadgroup int* taps;             // [MAX_TAPS]
  };

  const device ConvParams* p;
  const device int* list;
  const Shared shared;
  const int thread_index, lane;
  const int slice, row, column;  // of this simdgroup: its share of K, its first pixel and output channel
  const int first_tile, tiles, first_channel;
  int k;  // the source's first group of 8 rows of weights
  MMA mma;

  METAL_FUNC Conv(
      const device ConvParams& p_, const device int* list_, const device T* weight, Shared shared_, uint3 group,
      int thread_index_)
      : p(&p_),
        list(list_),
        shared(shared_),
        thread_index(thread_index_),
        lane(thread_index_ % 32),
        slice(thread_index_ / 32 / (WM * WN)),
        row(thread_index_ / 32 / WN % WM * TM * 8),
        column(thread_index_ / 32 % WN * TN * 8),
        first_tile(group.y * (BM / (p_.out.tile * p_.out.tile))),
        tiles(BM / (p_.out.tile * p_.out.tile)),
        first_channel(group.x * BN),
        k(0),
        mma(weight + metal::min((int(group.x) * BN + thread_index_ / 32 % WN * TN * 8) / PANEL, p_.panels - 1) * p_.k_groups * K_STEP) {
    const int pixels_of_tile = p->out.tile * p->out.tile;
    for (int i = thread_index; i < BM; i += THREADS) {
      const int tile = i / pixels_of_tile, at = i % pixels_of_tile;
      const Tile owner = tile < tiles ? tile_of(p->out, list, first_tile + tile) : Tile{0, -1, 0, 0};
      shared.pixels[i] = packed(pixel_of(p->out, owner, at / p->out.tile, at % p->out.tile));
    }
  }

  /// No tile of the list is this threadgroup's.
  METAL_FUNC bool idle() const { return first_tile >= p->out.tiles; }

  /// Adds a source's convolution.
  METAL_FUNC void accumulate(const device Source& s, PlaneArrays<T> arrays, const device float* affine) {
    const int side = (p->out.tile - 1) * s.stride;  // from a tile's first to its last pixel, in the source
    const int height = side + s.kh, width = side + s.kw, count = tiles * height * width;
    metal::threadgroup_barrier(metal::mem_flags::mem_threadgroup);  // the last source is done with the tables
    find_windows(s, arrays.grid, height, width);
    for (int tap = thread_index; tap < s.kh * s.kw; tap += THREADS) {
      shared.taps[tap] = (tap / s.kw * width + tap % s.kw) * PITCH;
    }
    for (int i = 0; i < TM; i++) {
      mma.rows[i] = window_row(s, row + 8 * i + MMA::lane_row(lane), height, width) + MMA::lane_column(lane);
    }
    metal::threadgroup_barrier(metal::mem_flags::mem_threadgroup);

    threadgroup T* window = reinterpret_cast<threadgroup T*>(shared.memory);
    Loader loader(s, arrays, affine, shared.windows, count, thread_index);
    const int taps = s.kh * s.kw, groups = (s.x.c + 7) / 8, steps = groups * taps;
    loader.fetch(0);
    mma.fetch(k + metal::min(slice, steps - 1));
    int step = slice, tap = slice % taps, group = slice / taps;
    for (int first = 0; first < groups; first += BK / 8) {
      loader.put(window, first * 8);
      metal::threadgroup_barrier(metal::mem_flags::mem_threadgroup);
      const int end = metal::min(first + BK / 8, groups);
      if (end < groups) {
        loader.fetch(end * 8);
      }
      while (group < end) {
        mma.step(window + shared.taps[tap] + (group - first) * 8, k + metal::min(step + WK, steps - 1));
        step += WK;
        tap += WK;
        while (tap >= taps) {
          tap -= taps;
          group++;
        }
      }
      metal::threadgroup_barrier(metal::mem_flags::mem_threadgroup);
    }
    k += steps;
  }

  /// The epilogue, on the complete sums.
  METAL_FUNC Finish finish() const {
    threadgroup float* values = reinterpret_cast<threadgroup float*>(shared.memory);
    for (int i = 0; i < WK; i++) {
      if (slice == i) {
        mma.put(values + row * VALUES_PITCH + column, VALUES_PITCH, lane, i > 0);
      }
      metal::threadgroup_barrier(metal::mem_flags::mem_threadgroup);
    }
    return Finish(*p, values, shared.pixels, first_channel, thread_index);
  }

 private:
  /// Where the pixels of all windows are.
  METAL_FUNC void find_windows(const device Source& s, const device int* grid, int height, int width) const {
    for (int i = thread_index; i < tiles * height * width; i += THREADS) {
      const Tile tile = tile_of(p->out, list, first_tile + i / (height * width));
      const int at = i % (height * width);
      const int y = tile.y * s.stride - s.pad_top + at / width, x = tile.x * s.stride - s.pad_left + at % width;
      shared.windows[i] = WindowPixel{tile.absent() ? NOWHERE : locate(s, grid, tile.image, y, x), tile.image};
    }
  }

  /// Where the window of the i-th pixel of the threadgroup begins.
  METAL_FUNC int window_row(const device Source& s, int i, int height, int width) const {
    const int pixels_of_tile = p->out.tile * p->out.tile, tile = i / pixels_of_tile, at = i % pixels_of_tile;
    if (tile >= tiles) {
      return 0;  // a row that is not written
    }
    return ((tile * height + at / p->out.tile * s.stride) * width + at % p->out.tile * s.stride) * PITCH;
  }
};

}  // namespace sige
