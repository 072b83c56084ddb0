// The depthwise convolution serves whatever takes every channel by itself: pooling, upsampling, a normalisation on its
// own, a sum of two planes. A 1x1 one without a weight gathers tiles, or scatters them where every pixel is written.
//
// A threadgroup computes BM pixels, of as many whole tiles as fit, by BC channels: windows -> threadgroup memory
// (../windows.h), the weighted sum of the taps, the epilogue (../epilogue.h).

#pragma once

#include "../epilogue.h"
#include "../windows.h"

namespace sige {

/// PIXELS are the pixels of the windows of a threadgroup's tiles. With VEC channels come in fours.
template <typename T, int BM, int BC, int PIXELS, bool VEC> struct Depthwise {
    static constant constexpr const int THREADS = 256;
    static constant constexpr const int PITCH = BC;

    using Loader = WindowLoader<T, PixelByPixel<T, PITCH>, BC, PIXELS, THREADS, VEC>;
    using Rows = TileRows<BM>;
    using Finish = Epilogue<T, Rows, BM, BC, THREADS, VEC>;

    static constant constexpr const int WINDOW_SIZE = (PIXELS * PITCH * sizeof(T) + 15) / 16;
    static constant constexpr const int VALUES_SIZE = (Finish::BYTES + 15) / 16;

    const device DepthwiseParams *p;
    const int first_tile, first_channel, thread_index;

    METAL_FUNC Depthwise(const device DepthwiseParams &p_, uint3 group, int thread_index_)
        : p(&p_), first_tile(group.y * Rows(p_.epilogue.out.tile).tiles()), first_channel(group.x * BC),
          thread_index(thread_index_) {}

    /// Says whether no tile is this threadgroup's: what fills a list up stands at its end.
    METAL_FUNC bool idle(const device int *list) const { return tile_of(p->epilogue.out, list, first_tile).absent(); }

    /// Loads the windows, sums up the taps, and runs the epilogue.
    METAL_FUNC Finish run(const device int *list, SourceArrays<T> arrays, const device T *weight,
                          threadgroup float4 *window_memory, threadgroup float4 *value_memory,
                          threadgroup WindowPixel *window_pixels, threadgroup int4 *pixels) const {
        const device Source &s = p->source;
        const device Domain &out = p->epilogue.out;
        const int taps = s.kh * s.kw;
        const Rows rows(out.tile);
        const Windows windows(s, out.tile, rows.tiles());
        threadgroup T *window = reinterpret_cast<threadgroup T *>(window_memory);
        const Finish finish(p->epilogue, reinterpret_cast<threadgroup float *>(value_memory), pixels, rows, first_tile,
                            first_channel, thread_index);

        windows.find(window_pixels, s, arrays, out, list, first_tile, thread_index, THREADS);
        Finish::find(pixels, rows, out, list, first_tile, thread_index);
        metal::threadgroup_barrier(metal::mem_flags::mem_threadgroup);
        Loader loader(s, arrays, window_pixels, windows.count(), thread_index);
        loader.fetch(first_channel);
        loader.put(window, first_channel);
        metal::threadgroup_barrier(metal::mem_flags::mem_threadgroup);

        for (int item = thread_index; item < BM * Finish::VECTORS; item += THREADS) {
            const int i = item / Finish::VECTORS, c = finish.channel(item), left = p->epilogue.c_out - c;
            float4 sum = float4(0.0f);
            if (rows.used(i) && left > 0) {
                const int first = windows.pixel(rows.tile(i), rows.y(i) * s.stride, rows.x(i) * s.stride);
                for (int tap = 0; tap < taps; tap++) {
                    const int pixel = first + tap / s.kw * windows.width + tap % s.kw;
                    const threadgroup T *from = window + pixel * PITCH + item % Finish::VECTORS * 4;
                    const float4 x = widened<T>(*reinterpret_cast<const threadgroup Vec4<T> *>(from));
                    sum += p->has_weight ? x * widened<T>(load4<VEC>(weight + tap * p->epilogue.c_out + c, left)) : x;
                }
            }
            finish.value(item) = p->has_weight ? sum : sum / float(taps);
        }
        return finish;
    }
};

} // namespace sige
