// The sparse convolution is an implicit GEMM over pixels of tiles (M), output channels (N), and taps and channels (K).
//
// A threadgroup computes BM pixels, of as many whole tiles as fit, by BN output channels. Its simdgroups are WM x WN x
// WK: each has 8 TM x 8 TN sums of its own, and WK of them share the steps of K between them where a few pixels alone
// would leave most of the GPU idle. For each source, BK channels at a time go through
//
//   loader    windows of the tiles -> threadgroup memory            (../windows.h)
//   MMA loop  windows x packed weights -> sums in registers         (mma.h)
//
// and at the end, once, through the epilogue: sums -> outputs        (../epilogue.h).
//
// A PHASED convolution is one of a plane that is seen twice as large, as a nearest-neighbour upsampling or a transposed
// convolution sees it. Pixels of equal parity then meet the same few taps, on the small plane: phase (a, b) of pixel
// (2 y + a, 2 x + b) reads pixel (y + a * phase_shift + ky - pad_top, x + b * phase_shift + kx - pad_left), with
// weights of its own. Each phase has a quarter of the rows, and so simdgroups of its own.
//
// For few output channels narrow.h convolves instead, for 3x3 kernels winograd.h, where fewer multiplications save
// time. Where tiles are few, several threadgroups share the sum (share.h).

#pragma once

#include "../epilogue.h"
#include "../windows.h"
#include "memory.h"
#include "mma.h"
#include "share.h"

// Each kernel is included only where it is used: should a compiler refuse one, the others are there.
#if NARROW
#include "narrow.h"
#elif WINOGRAD
#include "winograd.h"
#endif

namespace sige {

/// PIXELS are the pixels of the windows of a threadgroup's tiles, for the largest source. With VEC_IN all sources'
/// channels come in fours, with VEC_OUT the output's.
template <typename T, int WM, int WN, int WK, int TM, int TN, int BK, int PIXELS, bool PHASED, bool VEC_IN,
          bool VEC_OUT>
struct Conv {
    static_assert(!PHASED || WM == 4, "a phase is a row of simdgroups");

    static constant constexpr const int BM = WM * TM * 8, BN = WN * TN * 8;
    static constant constexpr const int THREADS = WM * WN * WK * 32, PARTS = 1;
    static constant constexpr const int PITCH = BK + 16 / sizeof(T); // padded: fewer bank conflicts, still aligned

    using Loader = WindowLoader<T, PixelByPixel<T, PITCH>, BK, PIXELS, THREADS, VEC_IN>;
    using MMA = TileMMA<T, TM, TN>;
    using Rows = metal::conditional_t<PHASED, PhaseRows<BM>, TileRows<BM>>;
    using Finish = Epilogue<T, Rows, BM, BN, THREADS, VEC_OUT>;

    static constant constexpr const int MEMORY = float4s(PIXELS * PITCH * sizeof(T), Finish::BYTES);

    const device ConvParams *p;
    const device Domain *out;
    const device int *list;
    const ConvMemory shared;
    const int thread_index, lane;
    const int slice, row, column; // of this simdgroup: its share of K, its first pixel and output channel
    const Rows rows;
    const int first_tile, first_channel;
    const int share; // of the sum over channels
    int k;           // the source's first group of 8 rows of weights
    MMA mma;

    METAL_FUNC Conv(const device ConvParams &p_, const device int *list_, const device T *weight, ConvMemory shared_,
                    uint3 group, int thread_index_)
        : p(&p_), out(&p_.epilogue.out), list(list_), shared(shared_), thread_index(thread_index_),
          lane(thread_index_ % 32), slice(thread_index_ / 32 / (WM * WN)), row(thread_index_ / 32 / WN % WM * TM * 8),
          column(thread_index_ / 32 % WN * TN * 8), rows(p_.epilogue.out.tile), first_tile(group.y * rows.tiles()),
          first_channel(group.x * BN), share(group.z), k(0), mma(weight + first_weight(), lane) {
        Finish::find(shared.pixels, rows, *out, list, first_tile, thread_index);
    }

    /// Returns this simdgroup's phase, 2 a + b.
    METAL_FUNC int phase() const { return PHASED ? row / (TM * 8) : 0; }

    /// Returns where this simdgroup's weights begin, in its panel; beyond the last one, where nothing is written, in
    /// that.
    METAL_FUNC int first_weight() const {
        const int channel = first_channel + column;
        const int panel = phase() * p->panels + metal::min(channel / PANEL, p->panels - 1);
        return panel * p->k_groups * K_STEP + channel % PANEL / 8 * FRAGMENT;
    }

    /// Says whether no tile is this threadgroup's: what fills a list up stands at its end.
    METAL_FUNC bool idle() const { return tile_of(*out, list, first_tile).absent(); }

    /// Adds a source's convolution.
    METAL_FUNC void accumulate(const device Source &s, SourceArrays<T> arrays) {
        Windows windows(s, out->tile, rows.tiles());
        if (PHASED) {
            windows.step = out->tile / 2;
            windows.height = windows.step - 1 + p->phase_shift + s.kh;
            windows.width = windows.step - 1 + p->phase_shift + s.kw;
        }
        const int taps = s.kh * s.kw, first_k = k;
        const Share own(s.x.c, share, p->shares);
        k += (s.x.c + 7) / 8 * taps;
        if (own.empty()) {
            return;
        }
        threadgroup T *window = reinterpret_cast<threadgroup T *>(shared.memory);
        Loader loader(s, arrays, shared.windows, windows.count(), thread_index);

        metal::threadgroup_barrier(metal::mem_flags::mem_threadgroup); // the tables of the source before are done with
        windows.find(shared.windows, s, arrays, *out, list, first_tile, thread_index, THREADS);
        shared.find_taps(s, windows, PITCH, thread_index, THREADS);
#pragma clang loop unroll(full)
        for (int i = 0; i < TM; i++) {
            mma.rows[i] = window_row(windows, s, row + 8 * i + lane_row(lane)) + lane_column(lane);
        }
        metal::threadgroup_barrier(metal::mem_flags::mem_threadgroup);

        loader.fetch(own.first * 8);
        const int last = first_k + own.end * taps - 1;
        int step = first_k + own.first * taps + slice, tap = slice % taps, group = own.first + slice / taps;
        mma.begin(metal::min(step, last), metal::min(step + WK, last));
        for (int first = own.first; first < own.end; first += BK / 8) {
            loader.put(window, first * 8);
            metal::threadgroup_barrier(metal::mem_flags::mem_threadgroup);
            const int end = metal::min(first + BK / 8, own.end);
            if (end < own.end) {
                loader.fetch(end * 8);
            }
            while (group < end) {
                mma.step(window + shared.taps[tap] + (group - first) * 8, metal::min(step + 2 * WK, last));
                step += WK;
                tap += WK;
                while (tap >= taps) {
                    tap -= taps;
                    group++;
                }
            }
            metal::threadgroup_barrier(metal::mem_flags::mem_threadgroup);
        }
    }

    /// Runs the epilogue on the complete sums; there is one part.
    METAL_FUNC Finish finish(int) const {
        threadgroup float *values = reinterpret_cast<threadgroup float *>(shared.memory);
        for (int i = 0; i < WK; i++) {
            if (slice == i) {
                mma.put(values + row * Finish::PITCH + column, Finish::PITCH, lane, i > 0);
            }
            metal::threadgroup_barrier(metal::mem_flags::mem_threadgroup);
        }
        const Finish finish(p->epilogue, values, shared.pixels, rows, first_tile, first_channel, thread_index);
        return finish;
    }

    /// Returns where the pixels that row i reads begin in the windows; a row that is not used may begin anywhere.
    METAL_FUNC int window_row(Windows windows, const device Source &s, int i) const {
        if (!rows.used(i)) {
            return 0;
        }
        const int y = rows.y(i), x = rows.x(i);
        if (PHASED) {
            const int shift = p->phase_shift;
            return windows.pixel(rows.tile(i), y / 2 + y % 2 * shift, x / 2 + x % 2 * shift) * PITCH;
        }
        return windows.pixel(rows.tile(i), y * s.stride, x * s.stride) * PITCH;
    }
};

} // namespace sige
