// This is a convolution to at most eight output channels, such as a network's last, of which a matrix product (conv.h)
// would compute 32. A thread has OWN pixels and computes all their output channels as sums of products, without
// matrices.
//
// A threadgroup computes BM pixels, of as many whole tiles as fit. The loader, the order of the weights and the
// epilogue are those of conv.h; where conv.h has its MMA loop, `multiply` is.

#pragma once

#include "../epilogue.h"
#include "../windows.h"
#include "memory.h"
#include "mma.h"

namespace sige {

/// OUT are the output channels; PIXELS, VEC_IN and VEC_OUT are as in Conv.
template <typename T, int OUT, int OWN, int BK, int PIXELS, bool VEC_IN, bool VEC_OUT> struct NarrowConv {
    static_assert(OUT <= 8, "a row of weights has eight");

    static constant constexpr const int FOURS = (OUT + 3) / 4; // of output channels
    static constant constexpr const int THREADS = 128, BM = OWN * THREADS, BN = FOURS * 4, PARTS = 1;
    static constant constexpr const int PITCH = BK + 4; // padded: fewer bank conflicts, still aligned

    using Loader = WindowLoader<T, PixelByPixel<T, PITCH>, BK, PIXELS, THREADS, VEC_IN>;
    using Rows = TileRows<BM>;
    using Finish = Epilogue<T, Rows, BM, BN, THREADS, VEC_OUT>;

    static constant constexpr const int MEMORY = float4s(PIXELS * PITCH * sizeof(T), Finish::BYTES);

    const device ConvParams *p;
    const device Domain *out;
    const device int *list;
    const ConvMemory shared;
    const int thread_index;
    const Rows rows;
    const int first_tile;
    const device T *weights, *const last; // those that were fetched, and the last that there are
    Vec4<T> next[8][FOURS];               // those of the next 8 channels
    int own[OWN];                         // where in the windows this thread's pixels begin
    float sums[OWN][OUT];

    METAL_FUNC NarrowConv(const device ConvParams &p_, const device int *list_, const device T *weights_,
                          ConvMemory shared_, uint3 group, int thread_index_)
        : p(&p_), out(&p_.epilogue.out), list(list_), shared(shared_), thread_index(thread_index_),
          rows(p_.epilogue.out.tile), first_tile(group.y * rows.tiles()), weights(weights_),
          last(weights_ + (p_.k_groups - 1) * K_STEP) {
#pragma clang loop unroll(full)
        for (int c = 0; c < 8; c++) {
            fetch(c);
        }
        Finish::find(shared.pixels, rows, *out, list, first_tile, thread_index);
#pragma clang loop unroll(full)
        for (int i = 0; i < OWN; i++) {
#pragma clang loop unroll(full)
            for (int o = 0; o < OUT; o++) {
                sums[i][o] = 0.0f;
            }
        }
    }

    /// Says whether no tile is this threadgroup's: what fills a list up stands at its end.
    METAL_FUNC bool idle() const { return tile_of(*out, list, first_tile).absent(); }

    /// Returns this thread's i-th row. With four output channels the epilogue, too, leaves that pixel to it.
    METAL_FUNC int row(int i) const { return thread_index + i * THREADS; }

    /// Adds a source's convolution.
    METAL_FUNC void accumulate(const device Source &s, SourceArrays<T> arrays) {
        Windows windows(s, out->tile, rows.tiles());
        const int taps = s.kh * s.kw, groups = (s.x.c + 7) / 8;
        threadgroup T *window = reinterpret_cast<threadgroup T *>(shared.memory);
        Loader loader(s, arrays, shared.windows, windows.count(), thread_index);

        metal::threadgroup_barrier(metal::mem_flags::mem_threadgroup); // the tables of the source before are done with
        windows.find(shared.windows, s, arrays, *out, list, first_tile, thread_index, THREADS);
        shared.find_taps(s, windows, PITCH, thread_index, THREADS);
#pragma clang loop unroll(full)
        for (int i = 0; i < OWN; i++) {
            const int at = row(i);
            own[i] =
                rows.used(at) ? windows.pixel(rows.tile(at), rows.y(at) * s.stride, rows.x(at) * s.stride) * PITCH : 0;
        }
        metal::threadgroup_barrier(metal::mem_flags::mem_threadgroup);

        loader.fetch(0);
        for (int first = 0; first < groups; first += BK / 8) {
            loader.put(window, first * 8);
            metal::threadgroup_barrier(metal::mem_flags::mem_threadgroup);
            const int end = metal::min(first + BK / 8, groups);
            if (end < groups) {
                loader.fetch(end * 8);
            }
            for (int group = first; group < end; group++) {
                for (int tap = 0; tap < taps; tap++) {
                    multiply(window + shared.taps[tap] + (group - first) * 8);
                }
            }
            metal::threadgroup_barrier(metal::mem_flags::mem_threadgroup);
        }
    }

    /// Starts to load row c of the 8 rows of weights that come next.
    METAL_FUNC void fetch(int c) {
#pragma clang loop unroll(full)
        for (int four = 0; four < FOURS; four++) {
            next[c][four] = *reinterpret_cast<const device Vec4<T> *>(weights + c * 8 + four * 4);
        }
    }

    /// Adds the products of 8 channels of this thread's pixels, for one tap, with the weights that were fetched, and
    /// fetches those that come next.
    METAL_FUNC void multiply(const threadgroup T *window) {
        weights += weights == last ? 0 : K_STEP;
#pragma clang loop unroll(full)
        for (int first = 0; first < 8; first += 4) {
            float4 x[OWN];
#pragma clang loop unroll(full)
            for (int i = 0; i < OWN; i++) {
                x[i] = widened<T>(*reinterpret_cast<const threadgroup Vec4<T> *>(window + own[i] + first));
            }
#pragma clang loop unroll(full)
            for (int c = 0; c < 4; c++) {
#pragma clang loop unroll(full)
                for (int o = 0; o < OUT; o++) {
                    const float w = float(next[first + c][o / 4][o % 4]);
#pragma clang loop unroll(full)
                    for (int i = 0; i < OWN; i++) {
                        sums[i][o] += x[i][c] * w;
                    }
                }
                fetch(first + c);
            }
        }
    }

    /// Runs the epilogue on the complete sums; there is one part.
    METAL_FUNC Finish finish(int) const {
        threadgroup float *values = reinterpret_cast<threadgroup float *>(shared.memory);
#pragma clang loop unroll(full)
        for (int i = 0; i < OWN; i++) {
#pragma clang loop unroll(full)
            for (int o = 0; o < BN; o++) {
                values[row(i) * Finish::PITCH + o] = o < OUT ? sums[i][metal::min(o, OUT - 1)] : 0.0f;
            }
        }
        if (FOURS > 1) { // a thread of the epilogue has other pixels
            metal::threadgroup_barrier(metal::mem_flags::mem_threadgroup);
        }
        const Finish finish(p->epilogue, values, shared.pixels, rows, first_tile, 0, thread_index);
        return finish;
    }
};

} // namespace sige
