// The MMA loop is one simdgroup's part of the product of pixels and weights. It reads windows in threadgroup memory,
// and weights in device memory, which lie in the order they are used in.
//
// Weights are packed as [panel of 32 output channels][k][fragment of 8 output channels][8 rows][8 columns]. Rows k
// follow the sources, within one its channels by 8, within those its taps: row (channel group, tap, channel). Channels
// are padded with zeros to a multiple of 8, output channels to one of 32.

#pragma once

#include <metal_simdgroup_matrix>

#include "../fragment.h"

namespace sige {

constant constexpr int FRAGMENT = 64;      // numbers in an 8x8 matrix
constant constexpr int PANEL = 32;         // output channels of a panel
constant constexpr int K_STEP = PANEL * 8; // numbers of a panel for 8 rows

/// It has TM x TN fragments of 8 pixels by 8 output channels.
template <typename T, int TM, int TN> struct TileMMA {
    metal::simdgroup_matrix<float, 8, 8> sums[TM][TN];
    metal::vec<T, 2> next[TN], after[TN]; // this lane's weights of the next step, and of the one after it
    const device T *weights;              // this lane's first ones
    int rows[TM];                         // where this lane's element of each fragment of pixels begins in the window

    METAL_FUNC TileMMA(const device T *first, int lane) : weights(first + lane_row(lane) * 8 + lane_column(lane)) {
#pragma clang loop unroll(full)
        for (int i = 0; i < TM; i++) {
#pragma clang loop unroll(full)
            for (int j = 0; j < TN; j++) {
                sums[i][j] = metal::make_filled_simdgroup_matrix<float, 8, 8>(0.0f);
            }
        }
    }

    /// Starts to load the weights of the step after the next, which are `k` groups of 8 rows away from the first.
    METAL_FUNC void fetch(int k) {
        const device T *from = weights + k * K_STEP;
#pragma clang loop unroll(full)
        for (int j = 0; j < TN; j++) {
            next[j] = after[j];
            after[j] = *reinterpret_cast<const device metal::vec<T, 2> *>(from + j * FRAGMENT);
        }
    }

    /// Starts to load the weights of the first two steps.
    METAL_FUNC void begin(int first, int second) {
        fetch(first);
        fetch(second);
    }

    /// Adds the product of 8 channels of pixels, for one tap, with the weights that come next, and fetches those of `k`
    /// for the step after the next.
    METAL_FUNC void step(const threadgroup T *window, int k) {
        metal::simdgroup_matrix<T, 8, 8> b[TN];
#pragma clang loop unroll(full)
        for (int j = 0; j < TN; j++) {
            b[j].thread_elements()[0] = next[j].x;
            b[j].thread_elements()[1] = next[j].y;
        }
        fetch(k);
#pragma clang loop unroll(full)
        for (int i = 0; i < TM; i++) {
            const metal::vec<T, 2> pair = *reinterpret_cast<const threadgroup metal::vec<T, 2> *>(window + rows[i]);
            metal::simdgroup_matrix<T, 8, 8> a;
            a.thread_elements()[0] = pair.x;
            a.thread_elements()[1] = pair.y;
#pragma clang loop unroll(full)
            for (int j = 0; j < TN; j++) {
                metal::simdgroup_multiply_accumulate(sums[i][j], a, b[j], sums[i][j]);
            }
        }
    }

    /// Stores the sums to [rows][pitch], or adds them to what is there.
    METAL_FUNC void put(threadgroup float *values, int pitch, int lane, bool add) const {
#pragma clang loop unroll(full)
        for (int i = 0; i < TM; i++) {
#pragma clang loop unroll(full)
            for (int j = 0; j < TN; j++) {
                threadgroup float *to = values + (8 * i + lane_row(lane)) * pitch + 8 * j + lane_column(lane);
                metal::simdgroup_matrix<float, 8, 8> s = sums[i][j];
                to[0] = add ? to[0] + s.thread_elements()[0] : s.thread_elements()[0];
                to[1] = add ? to[1] + s.thread_elements()[1] : s.thread_elements()[1];
            }
        }
    }
};

} // namespace sige
