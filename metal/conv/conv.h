// The sparse convolution: an implicit GEMM over pixels of tiles (M), output channels (N), and taps and channels (K).
//
// A threadgroup computes BM pixels, of as many whole tiles as fit, by BN output channels. Its simdgroups are WM x WN x
// WK: each has 32 x 32 sums of its own, and WK of them share the steps of K between them where a few pixels alone would
// leave most of the GPU idle. For each source, BK channels at a time:
//
//   loader    windows of the tiles -> threadgroup memory            (../windows.h)
//   MMA loop  windows x packed weights -> sums in registers         (mma.h)
//
// and at the end, once, the epilogue: sums -> outputs                (../epilogue.h).

#pragma once

#include "../epilogue.h"
#include "../windows.h"
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
  static constant constexpr const int MAX_TAPS = 49;

  using Loader = WindowLoader<T, BK, PITCH, PIXELS, THREADS, VEC_IN>;
  using MMA = TileMMA<T, TM, TN>;
  using Finish = Epilogue<T, BM, BN, THREADS, VEC_OUT>;

  // The windows lie where later the values do.
  static constant constexpr const int WINDOW_BYTES = PIXELS * PITCH * sizeof(T);
  static constant constexpr const int MEMORY =
      ((WINDOW_BYTES > Finish::BYTES ? WINDOW_BYTES : Finish::BYTES) + 15) / 16;

  /// Threadgroup memory.
  struct Shared {
    threadgroup float4* memory;        // [MEMORY]
    threadgroup WindowPixel* windows;  // [PIXELS]
    threadgroup int4* pixels;          // [BM]
    threadgroup int* taps;             // [MAX_TAPS]
  };

  const device ConvParams* p;
  const device Domain* out;
  const device int* list;
  const Shared shared;
  const int thread_index, lane;
  const int slice, row, column;  // of this simdgroup: its share of K, its first pixel and output channel
  const int tiles, first_tile, first_channel;
  int k;  // the source's first group of 8 rows of weights
  MMA mma;

  METAL_FUNC Conv(
      const device ConvParams& p_, const device int* list_, const device T* weight, Shared shared_, uint3 group,
      int thread_index_)
      : p(&p_),
        out(&p_.epilogue.out),
        list(list_),
        shared(shared_),
        thread_index(thread_index_),
        lane(thread_index_ % 32),
        slice(thread_index_ / 32 / (WM * WN)),
        row(thread_index_ / 32 / WN % WM * TM * 8),
        column(thread_index_ / 32 % WN * TN * 8),
        tiles(BM / (p_.epilogue.out.tile * p_.epilogue.out.tile)),
        first_tile(group.y * tiles),
        first_channel(group.x * BN),
        k(0),
        mma(weight + metal::min((first_channel + column) / PANEL, p_.panels - 1) * p_.k_groups * K_STEP) {
    Finish::find(shared.pixels, *out, list, first_tile, thread_index);
  }

  /// Whether no tile of the list is this threadgroup's.
  METAL_FUNC bool idle() const { return first_tile >= out->tiles; }

  /// Adds a source's convolution.
  METAL_FUNC void accumulate(const device Source& s, PlaneArrays<T> arrays, const device float* affine) {
    const Windows windows(s, out->tile, tiles);
    const int taps = s.kh * s.kw, groups = (s.x.c + 7) / 8, steps = groups * taps;
    threadgroup T* window = reinterpret_cast<threadgroup T*>(shared.memory);
    Loader loader(s, arrays, affine, shared.windows, windows.count(), thread_index);

    metal::threadgroup_barrier(metal::mem_flags::mem_threadgroup);  // the tables of the source before are done with
    windows.find(shared.windows, s, arrays.grid, *out, list, first_tile, thread_index, THREADS);
    for (int tap = thread_index; tap < taps; tap += THREADS) {
      shared.taps[tap] = (tap / s.kw * windows.width + tap % s.kw) * PITCH;
    }
    for (int i = 0; i < TM; i++) {
      mma.rows[i] = window_row(windows, s, row + 8 * i + lane_row(lane)) + lane_column(lane);
    }
    metal::threadgroup_barrier(metal::mem_flags::mem_threadgroup);

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
        mma.put(values + row * Finish::PITCH + column, Finish::PITCH, lane, i > 0);
      }
      metal::threadgroup_barrier(metal::mem_flags::mem_threadgroup);
    }
    const Finish finish(p->epilogue, values, shared.pixels, first_tile, first_channel, thread_index);
    return finish;
  }

  /// Where the window of the i-th pixel of the threadgroup begins; of one that no tile has, anywhere.
  METAL_FUNC int window_row(Windows windows, const device Source& s, int i) const {
    const int tile = i / (out->tile * out->tile), at = i % (out->tile * out->tile);
    return tile < tiles ? windows.pixel(s, tile, at / out->tile, at % out->tile) * PITCH : 0;
  }
};

}  // namespace sige
