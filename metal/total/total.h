// The shares of a convolution (../conv/share.h) become its value: they are added, always in the same order, and go
// through the epilogue. A threadgroup has BM pixels, of as many whole tiles as fit, by 32 output channels.

#pragma once

#include "../epilogue.h"

namespace sige {

template <typename T, int BM, bool VEC> struct Total {
    static constant constexpr const int THREADS = 128, BN = 32;

    using Rows = TileRows<BM>;
    using Finish = Epilogue<T, Rows, BM, BN, THREADS, VEC>;

    static constant constexpr const int MEMORY = (Finish::BYTES + 15) / 16;

    const device TotalParams *p;
    const Rows rows;
    const int first_tile, first_channel, thread_index;

    METAL_FUNC Total(const device TotalParams &p_, uint3 group, int thread_index_)
        : p(&p_), rows(p_.epilogue.out.tile), first_tile(group.y * rows.tiles()), first_channel(group.x * BN),
          thread_index(thread_index_) {}

    /// Says whether no tile is this threadgroup's: what fills a list up stands at its end.
    METAL_FUNC bool idle(const device int *list) const { return tile_of(p->epilogue.out, list, first_tile).absent(); }

    /// Adds the shares and runs the epilogue.
    METAL_FUNC Finish run(const device int *list, const device float *shares, threadgroup float4 *memory,
                          threadgroup int4 *pixels) const {
        const Finish finish(p->epilogue, reinterpret_cast<threadgroup float *>(memory), pixels, rows, first_tile,
                            first_channel, thread_index);
        Finish::find(pixels, rows, p->epilogue.out, list, first_tile, thread_index);
        metal::threadgroup_barrier(metal::mem_flags::mem_threadgroup);
        for (int item = thread_index; item < BM * Finish::VECTORS; item += THREADS) {
            const int c = finish.channel(item), left = p->epilogue.c_out - c, index = finish.pixel(item).index;
            float4 sum = float4(0.0f);
            if (index >= 0 && left > 0) {
                const device float *from = shares + index * p->shares * p->epilogue.c_out + c;
                for (int share = 0; share < p->shares; share++) {
                    sum += load4<VEC>(from + share * p->epilogue.c_out, left);
                }
            }
            finish.value(item) = sum;
        }
        return finish;
    }
};

} // namespace sige
