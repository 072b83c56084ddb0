// This convolves by 3x3 kernels at stride 1, by F(4x4, 3x3) (Lavin and Gray 2016). The 6x6 pixels that a tile of 4x4
// sees become 36 others. Each of these is multiplied, over the channels, with one of the 36 numbers that a kernel
// becomes, and the 36 sums become the tile's 16: that is a quarter of the multiplications.
//
// A 1x1 kernel that is added to 3x3 ones becomes zero but for the 16 INNER points, those of neither the first nor the
// last row and column. These come of the tile's own 4x4 pixels, and only they are computed.
//
// A threadgroup computes TILES tiles by the output channels of a panel, for each source 8 channels at a time:
//
//   loader      windows of the tiles -> threadgroup memory, in float                      (../windows.h)
//   transform   in place, columns, then rows
//   MMA loop    for each of the points: tiles x channels x output channels                (`multiply`)
//
// Each of its 8 simdgroups has 4 of the inner points, 5 of the outer ones, and half of the panel. At the end a PART of
// 8 output channels at a time comes back through the same memory, is transformed, and goes through the epilogue.

#pragma once

#include "../epilogue.h"
#include "../windows.h"
#include "memory.h"
#include "mma.h"
#include "share.h"

namespace sige {

constant constexpr int POINTS = 36, INNER = 16;

/// Numbers of TILES tiles by 8 channels lie point by point: those of windows of 6x6 pixels, and those that they become.
template <int TILES> struct PointByPoint {
    using Number = float;
    static constant constexpr const int POINT = TILES * 8; // numbers of a point
    static constant constexpr const int COLUMN = POINT, ROW = 6 * POINT;

    static METAL_FUNC int at(int pixel, int channel) { return pixel % POINTS * POINT + pixel / POINTS * 8 + channel; }
};

/// Likewise windows of 4x4 pixels, at the inner points.
template <int TILES> struct InnerPoints {
    using Number = float;

    static METAL_FUNC int at(int pixel, int channel) {
        const int y = 1 + pixel % INNER / 4, x = 1 + pixel % 4;
        return (6 * y + x) * PointByPoint<TILES>::POINT + pixel / INNER * 8 + channel;
    }
};

/// Returns the n-th point of the simdgroups with the number `quarter`: 4 of the inner points, then 5 of the outer ones,
/// which are the first row, the last row, and the ends of those between. Weights lie in this order.
METAL_FUNC int point_of(int quarter, int n) {
    const int outer = 5 * quarter + n - 4;
    if (n < 4) {
        return 6 * (1 + quarter) + 1 + n;
    }
    return outer < 6 ? outer : outer < 12 ? 24 + outer : 6 * (outer / 2 - 5) + outer % 2 * 5;
}

/// Of six numbers, `step` apart, those from the second to the fifth become what B^T makes of them.
METAL_FUNC void transform_inner(threadgroup float *x, int step) {
    const float x1 = x[step], x2 = x[2 * step], x3 = x[3 * step], x4 = x[4 * step];
    const float even = x4 - 4.0f * x2, odd = x3 - 4.0f * x1, even2 = x4 - x2, odd2 = 2.0f * (x3 - x1);
    x[step] = even + odd;
    x[2 * step] = even - odd;
    x[3 * step] = even2 + odd2;
    x[4 * step] = even2 - odd2;
}

/// All six become B^T of them.
METAL_FUNC void transform_input(threadgroup float *x, int step) {
    x[0] = 4.0f * x[0] - 5.0f * x[2 * step] + x[4 * step];
    x[5 * step] = 4.0f * x[step] - 5.0f * x[3 * step] + x[5 * step];
    transform_inner(x, step);
}

/// Returns A^T of six numbers that are `step` apart.
METAL_FUNC float4 transformed_output(const threadgroup float *x, int step) {
    const float x1 = x[step], x2 = x[2 * step], x3 = x[3 * step], x4 = x[4 * step];
    const float sum = x1 + x2, difference = x1 - x2, sum2 = x3 + x4, difference2 = x3 - x4;
    return {x[0] + sum + sum2, difference + 2.0f * difference2, sum + 4.0f * sum2,
            difference + 8.0f * difference2 + x[5 * step]};
}

/// TILES are 8, so that more threadgroups share a core, or 16, which share weights. POINTWISE: some kernels are of 1x1.
/// PIXELS, VEC_IN and VEC_OUT are as in Conv.
template <typename T, int TILES, int PIXELS, bool POINTWISE, bool VEC_IN, bool VEC_OUT> struct WinogradConv {
    static constant constexpr const int SIDE = 4, BM = TILES * SIDE * SIDE;
    static constant constexpr const int THREADS = 256, BN = 8, PARTS = PANEL / BN;
    static constant constexpr const int OWN = POINTS / 4; // points of a simdgroup
    static constant constexpr const int TM = TILES / 8, TN = PANEL / 16;
    static_assert(PIXELS == TILES * POINTS, "tiles are of 4x4 pixels, kernels of 3x3");

    using Layout = PointByPoint<TILES>;
    using Rows = TileRows<BM>;
    using Finish = Epilogue<T, Rows, BM, BN, THREADS, VEC_OUT>;

    static constant constexpr const int MEMORY = float4s(PIXELS * 8 * sizeof(float), Finish::BYTES);

    const device ConvParams *p;
    const device Domain *out;
    const device int *list;
    const ConvMemory shared;
    threadgroup float *const numbers; // of PointByPoint, at the end those of the epilogue
    const int thread_index, element;  // of this lane: where its two numbers of an 8x8 matrix are
    const int quarter, half_panel;    // of the points, and which half of the panel is this simdgroup's
    const Rows rows;
    const int first_tile, first_channel;
    const int share;         // of the sum over channels
    const device T *weights; // this lane's, of the source
    metal::vec<T, 2> next[OWN][TN];
    metal::simdgroup_matrix<float, 8, 8> sums[OWN][TM][TN];

    METAL_FUNC WinogradConv(const device ConvParams &p_, const device int *list_, const device T *weight,
                            ConvMemory shared_, uint3 group, int thread_index_)
        : p(&p_), out(&p_.epilogue.out), list(list_), shared(shared_),
          numbers(reinterpret_cast<threadgroup float *>(shared_.memory)), thread_index(thread_index_),
          element(lane_row(thread_index_ % 32) * 8 + lane_column(thread_index_ % 32)), quarter(thread_index_ / 64),
          half_panel(thread_index_ / 32 % 2), rows(p_.epilogue.out.tile), first_tile(group.y * TILES),
          first_channel(group.x * PANEL), share(group.z),
          weights(weight + group.x * p_.k_groups * K_STEP + half_panel * TN * FRAGMENT + element) {
        Finish::find(shared.pixels, rows, *out, list, first_tile, thread_index);
#pragma clang loop unroll(full)
        for (int n = 0; n < OWN; n++) {
#pragma clang loop unroll(full)
            for (int i = 0; i < TM; i++) {
#pragma clang loop unroll(full)
                for (int j = 0; j < TN; j++) {
                    sums[n][i][j] = metal::make_filled_simdgroup_matrix<float, 8, 8>(0.0f);
                }
            }
        }
    }

    /// Says whether no tile is this threadgroup's: what fills a list up stands at its end.
    METAL_FUNC bool idle() const { return tile_of(*out, list, first_tile).absent(); }

    /// Adds a source's convolution.
    METAL_FUNC void accumulate(const device Source &s, SourceArrays<T> arrays) {
        if (POINTWISE && s.kh == 1) {
            accumulate<InnerPoints<TILES>, INNER>(s, arrays);
        } else {
            accumulate<Layout, POINTS>(s, arrays);
        }
    }

    /// Adds that of kernels that become COUNT numbers.
    template <typename Windowed, int COUNT> METAL_FUNC void accumulate(const device Source &s, SourceArrays<T> arrays) {
        const Share own(s.x.c, share, p->shares);
        const device T *of_group = weights + quarter * (COUNT / 4) * K_STEP; // those of this simdgroup's points
        weights += (s.x.c + 7) / 8 * COUNT * K_STEP;
        if (own.empty()) {
            return;
        }
        const Windows windows(s, SIDE, TILES);
        WindowLoader<T, Windowed, 8, TILES * COUNT, THREADS, VEC_IN> loader(s, arrays, shared.windows, windows.count(),
                                                                            thread_index);

        metal::threadgroup_barrier(metal::mem_flags::mem_threadgroup); // the windows of the source before are done with
        windows.find(shared.windows, s, arrays, *out, list, first_tile, thread_index, THREADS);
        metal::threadgroup_barrier(metal::mem_flags::mem_threadgroup);

        loader.fetch(own.first * 8);
        fetch<COUNT / 4>(of_group + own.first * COUNT * K_STEP);
        for (int group = own.first; group < own.end; group++) {
            const int following = metal::min(group + 1, own.end - 1);
            loader.put(numbers, group * 8);
            metal::threadgroup_barrier(metal::mem_flags::mem_threadgroup);
            if (group < following) {
                loader.fetch(following * 8);
            }
            transform<COUNT>();
            metal::threadgroup_barrier(metal::mem_flags::mem_threadgroup);
            multiply<COUNT / 4>(of_group + following * COUNT * K_STEP);
            metal::threadgroup_barrier(metal::mem_flags::mem_threadgroup);
        }
    }

    /// Transforms columns, then rows, those of all points or of the inner ones.
    template <int COUNT> METAL_FUNC void transform() const {
        constexpr int LINES = COUNT == POINTS ? 6 : 4, FIRST = COUNT == POINTS ? 0 : 1;
        for (int i = thread_index; i < LINES * Layout::POINT; i += THREADS) {
            transform_line<COUNT>(numbers + FIRST * Layout::COLUMN + i, Layout::ROW);
        }
        metal::threadgroup_barrier(metal::mem_flags::mem_threadgroup);
        for (int i = thread_index; i < LINES * Layout::POINT; i += THREADS) {
            const int row = FIRST + i / Layout::POINT;
            transform_line<COUNT>(numbers + row * Layout::ROW + i % Layout::POINT, Layout::COLUMN);
        }
    }

    template <int COUNT> static METAL_FUNC void transform_line(threadgroup float *x, int step) {
        if (COUNT == POINTS) {
            transform_input(x, step);
        } else {
            transform_inner(x, step);
        }
    }

    /// Starts to load the weights of the first N of this simdgroup's points.
    template <int N> METAL_FUNC void fetch(const device T *from) {
#pragma clang loop unroll(full)
        for (int n = 0; n < N; n++) {
#pragma clang loop unroll(full)
            for (int j = 0; j < TN; j++) {
                next[n][j] = *reinterpret_cast<const device metal::vec<T, 2> *>(from + n * K_STEP + j * FRAGMENT);
            }
        }
    }

    /// Adds the products of 8 channels, at N points, with the weights that were fetched, and fetches the following
    /// ones.
    template <int N> METAL_FUNC void multiply(const device T *following) {
#pragma clang loop unroll(full)
        for (int n = 0; n < N; n++) {
            metal::simdgroup_matrix<float, 8, 8> b[TN];
#pragma clang loop unroll(full)
            for (int j = 0; j < TN; j++) {
                b[j] = as_matrix<T>(next[n][j]);
            }
#pragma clang loop unroll(full)
            for (int i = 0; i < TM; i++) {
                const metal::simdgroup_matrix<float, 8, 8> a =
                    as_matrix<float>(*reinterpret_cast<const threadgroup float2 *>(numbers + element_at(n, i)));
#pragma clang loop unroll(full)
                for (int j = 0; j < TN; j++) {
                    metal::simdgroup_multiply_accumulate(sums[n][i][j], a, b[j], sums[n][i][j]);
                }
            }
        }
        fetch<N>(following);
    }

    /// Returns this lane's numbers of 8 tiles by 8 channels, for the n-th point of this simdgroup.
    METAL_FUNC int element_at(int n, int i) const { return point_of(quarter, n) * Layout::POINT + i * 64 + element; }

    template <typename U> static METAL_FUNC metal::simdgroup_matrix<float, 8, 8> as_matrix(metal::vec<U, 2> pair) {
        metal::simdgroup_matrix<float, 8, 8> m;
        m.thread_elements()[0] = float(pair.x);
        m.thread_elements()[1] = float(pair.y);
        return m;
    }

    /// Runs the epilogue of 8 output channels on the complete sums.
    METAL_FUNC Finish finish(int part) const {
        metal::threadgroup_barrier(metal::mem_flags::mem_threadgroup); // the part before is done with
        put(part);
        metal::threadgroup_barrier(metal::mem_flags::mem_threadgroup);
        for (int i = thread_index; i < 6 * Layout::POINT; i += THREADS) {
            const float4 column = transformed_output(numbers + i, Layout::ROW);
#pragma clang loop unroll(full)
            for (int y = 0; y < SIDE; y++) {
                numbers[i + y * Layout::ROW] = column[y];
            }
        }
        metal::threadgroup_barrier(metal::mem_flags::mem_threadgroup);

        constexpr int ITEMS = SIDE * Layout::POINT / THREADS; // rows of tiles, of one channel, that this thread has
        float4 values[ITEMS];
#pragma clang loop unroll(full)
        for (int n = 0; n < ITEMS; n++) {
            const int i = thread_index + n * THREADS;
            values[n] =
                transformed_output(numbers + i / Layout::POINT * Layout::ROW + i % Layout::POINT, Layout::COLUMN);
        }
        metal::threadgroup_barrier(metal::mem_flags::mem_threadgroup);
#pragma clang loop unroll(full)
        for (int n = 0; n < ITEMS; n++) {
            const int i = thread_index + n * THREADS, y = i / Layout::POINT, tile = i % Layout::POINT / 8;
#pragma clang loop unroll(full)
            for (int x = 0; x < SIDE; x++) {
                numbers[rows.row(tile, y * SIDE + x) * Finish::PITCH + i % 8] = values[n][x];
            }
        }
        metal::threadgroup_barrier(metal::mem_flags::mem_threadgroup);
        const Finish finish(p->epilogue, numbers, shared.pixels, rows, first_tile, first_channel + part * BN,
                            thread_index);
        return finish;
    }

    /// Stores the sums of a part.
    METAL_FUNC void put(int part) const {
#pragma clang loop unroll(full)
        for (int n = 0; n < OWN; n++) {
#pragma clang loop unroll(full)
            for (int i = 0; i < TM; i++) {
#pragma clang loop unroll(full)
                for (int j = 0; j < TN; j++) {
                    if (half_panel * TN + j == part) {
                        metal::simdgroup_matrix<float, 8, 8> s = sums[n][i][j];
                        numbers[element_at(n, i)] = s.thread_elements()[0];
                        numbers[element_at(n, i) + 1] = s.thread_elements()[1];
                    }
                }
            }
        }
    }
};

} // namespace sige
