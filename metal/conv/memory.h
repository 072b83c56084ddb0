// A convolution has this threadgroup memory.

#pragma once

#include "../windows.h"

namespace sige {

constant constexpr int MAX_TAPS = 49;

/// It holds the larger of two numbers of bytes: the windows lie where later the values do.
constexpr int float4s(int a, int b) { return ((a > b ? a : b) + 15) / 16; }

struct ConvMemory {
    threadgroup float4 *memory;       // windows, then values
    threadgroup WindowPixel *windows; // where their pixels are
    threadgroup int4 *pixels;         // [BM], packed: those that are computed
    threadgroup int *taps;            // [MAX_TAPS]: how far into a window each lies

    METAL_FUNC void find_taps(const device Source &s, Windows windows, int pitch, int thread_index, int threads) const {
        for (int tap = thread_index; tap < s.kh * s.kw; tap += threads) {
            taps[tap] = (tap / s.kw * windows.width + tap % s.kw) * pitch;
        }
    }
};

} // namespace sige
