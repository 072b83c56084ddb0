// The epilogue takes the values of a threadgroup's pixels, in threadgroup memory, to the outputs. A thread keeps the
// same pixels and channels throughout (`value` of thread_index, thread_index + THREADS, …), so only the sums over tiles
// need a barrier.

#pragma once

#include "activation.h"
#include "plane.h"
#include "rows.h"
#include "vectors.h"

namespace sige {

/// It has BM pixels, in the order of Rows, by BN output channels.
template <typename T, typename Rows, int BM, int BN, int THREADS, bool VEC> struct Epilogue {
    static constant constexpr const int VECTORS = BN / 4;
    static constant constexpr const int PITCH = BN + 4; // padded: fewer bank conflicts
    static constant constexpr const int BYTES = BM * PITCH * sizeof(float);

    const device EpilogueParams *p;
    threadgroup float *values;      // [BM][PITCH]
    const threadgroup int4 *pixels; // [BM], packed
    const Rows rows;
    const int first_tile, first_channel, thread_index;

    METAL_FUNC Epilogue(const device EpilogueParams &p_, threadgroup float *values_, const threadgroup int4 *pixels_,
                        Rows rows_, int first_tile_, int first_channel_, int thread_index_)
        : p(&p_), values(values_), pixels(pixels_), rows(rows_), first_tile(first_tile_), first_channel(first_channel_),
          thread_index(thread_index_) {}

    /// Finds which pixels a threadgroup computes.
    static METAL_FUNC void find(threadgroup int4 *pixels, Rows rows, const device Domain &out, const device int *list,
                                int first_tile, int thread_index) {
        for (int i = thread_index; i < BM; i += THREADS) {
            const bool used = rows.used(i);
            const Tile tile = used ? tile_of(out, list, first_tile + rows.tile(i)) : Tile{0, -1, 0, 0};
            pixels[i] = packed(pixel_of(out, tile, rows.y(i), rows.x(i)));
        }
    }

    /// Returns four channels of a pixel.
    METAL_FUNC threadgroup float4 &value(int item) const {
        return *reinterpret_cast<threadgroup float4 *>(values + item / VECTORS * PITCH + item % VECTORS * 4);
    }
    METAL_FUNC int channel(int item) const { return first_channel + item % VECTORS * 4; }
    METAL_FUNC Pixel pixel(int item) const { return unpacked(pixels[item / VECTORS]); }

    /// Adds what all outputs share. Pixels that are not part of the image become zero.
    METAL_FUNC void add(const device float *bias, const device T *vector, PlaneArrays<T> residual) const {
        for (int item = thread_index; item < BM * VECTORS; item += THREADS) {
            const int c = channel(item), left = p->c_out - c;
            const Pixel at_pixel = pixel(item);
            if (left <= 0) {
                continue;
            }
            float4 v = value(item);
            if (p->has_bias) {
                v += load4<VEC>(bias + c, left);
            }
            const bool inside = at_pixel.index >= 0 && !at_pixel.outside();
            if (inside && p->has_vec) {
                v += widened<T>(load4<VEC>(vector + at_pixel.image * p->vec_image + c, left));
            }
            if (inside && p->has_residual) {
                const Place place =
                    locate(p->residual, residual.grid, at_pixel.image, stored(at_pixel.y, p->residual_resample),
                           stored(at_pixel.x, p->residual_resample));
                if (place != NOWHERE) {
                    v += widened<T>(load4<VEC>(at_place(residual, place, p->c_out) + c, left));
                }
            }
            value(item) = inside ? v : float4(0.0f);
        }
    }

    /// Writes the sum and the sum of squares of each tile's values: [tile][2][c_out].
    METAL_FUNC void sums(device float *to) const {
        const int pixels_of_tile = p->out.tile * p->out.tile;
        metal::threadgroup_barrier(metal::mem_flags::mem_threadgroup);
        for (int item = thread_index; item < rows.tiles() * BN; item += THREADS) {
            const int tile = item / BN, c = first_channel + item % BN;
            if (first_tile + tile < p->out.tiles && c < p->c_out) {
                float sum = 0.0f, squares = 0.0f;
                for (int i = 0; i < pixels_of_tile; i++) {
                    const float v = values[rows.row(tile, i) * PITCH + item % BN];
                    sum += v;
                    squares += v * v;
                }
                device float *of_tile = to + (first_tile + tile) * 2 * p->c_out + c;
                of_tile[0] = sum;
                of_tile[p->c_out] = squares;
            }
        }
    }

    /// Stores the values, which are a share of several, for the kernel that adds these: [pixel][share][c_out].
    METAL_FUNC void store(device float *to, int share, int shares) const {
        for (int item = thread_index; item < BM * VECTORS; item += THREADS) {
            const int c = channel(item), left = p->c_out - c;
            const Pixel at_pixel = pixel(item);
            if (at_pixel.index >= 0 && left > 0) {
                const float4 v = at_pixel.outside() ? float4(0.0f) : value(item);
                store4<VEC>(to + (at_pixel.index * shares + share) * p->c_out + c, v, left);
            }
        }
    }

    /// Writes one output.
    METAL_FUNC void write(const device Output &o, const device float *affine, ModulationArrays<T> mod,
                          device T *dst) const {
        for (int item = thread_index; item < BM * VECTORS; item += THREADS) {
            const int c = channel(item), left = p->c_out - c;
            const Pixel at_pixel = pixel(item);
            if (at_pixel.index < 0 || left <= 0) {
                continue;
            }
            float4 v = float4(0.0f);
            if (!at_pixel.outside()) {
                v = affine4<VEC>(value(item), o.affine, affine, at_pixel.image, c, left);
                if (o.mod.present) {
                    const Place gamma = locate(o.mod.gamma, mod.gamma.grid, at_pixel.image, at_pixel.y, at_pixel.x);
                    const Place beta = locate(o.mod.beta, mod.beta.grid, at_pixel.image, at_pixel.y, at_pixel.x);
                    v = modulated4<VEC>(v, o.mod, mod, gamma, beta, c, left);
                }
                v = activate(v, o.act);
            }
            store4<VEC>(dst + at_pixel.index * p->c_out + c, v, left);
        }
    }
};

} // namespace sige
