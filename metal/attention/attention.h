// Queries, which are all pixels or those of active tiles, attend to all keys of their image, with a running softmax:
// scores never leave the registers.
//
// A threadgroup takes BQ queries of one head, 8 for each of its simdgroups, and walks through keys and values, BK at a
// time. Queries of several images may meet in a threadgroup: it walks through each image's keys, and a query takes part
// in its own image's only. Where a head is wider than the registers are, SLICES simdgroups share the same queries: each
// has D channels of them, adds its part to the scores that all use, and sums its D channels of the values. Where a head
// is wider than that, a threadgroup sums WIDTH channels, and computes scores of all.

#pragma once

#include <metal_simdgroup_matrix>

#include "../fragment.h"
#include "../plane.h"
#include "../vectors.h"

namespace sige {

/// D are the channels of a simdgroup, a multiple of 8. With VEC head_dim, and the first channels of tokens, are
/// multiples of four.
template <typename T, int D, int SLICES, bool VEC> struct Attention {
    static constant constexpr const int THREADS = SLICES == 1 ? 128 : 256;
    static constant constexpr const int BQ = THREADS / 32 / SLICES * 8;
    static constant constexpr const int BK =
        SLICES == 1 ? 32 : 128 / int(SLICES * sizeof(T)); // as much as memory holds
    static constant constexpr const int WIDTH = SLICES * D;
    static constant constexpr const int PITCH = WIDTH + 16 / sizeof(T), SCORE_PITCH = BK + 4; // against bank conflicts
    static constant constexpr const int STAGED = BK * PITCH * sizeof(T) / 16;                 // in float4s
    static constant constexpr const int MEMORY = STAGED + (SLICES == 1 ? 0 : SLICES * BQ * SCORE_PITCH / 4);
    static constant constexpr const int FRAGMENTS = D / 8, KEY_FRAGMENTS = BK / 8;

    const device AttentionParams *p;
    const device int *list;
    threadgroup T *staged;                    // [BK][PITCH]: keys, then values
    threadgroup float *scores;                // [SLICES][BQ][SCORE_PITCH]: each slice's part
    const int thread_index, lane, slice, row; // of this simdgroup: its slice, and its first query in the threadgroup
    const int widths, head, first_channel;    // how many WIDTHs a head has; the first channel of the threadgroup's
    const int first_row;                      // the threadgroup's first query
    const int grid_image;
    const Pixel own; // of this lane's query
    const int own_image;

    metal::simdgroup_matrix<T, 8, 8> query[FRAGMENTS];
    metal::simdgroup_matrix<float, 8, 8> sum[FRAGMENTS];
    float largest, total; // of this lane's query: the largest score so far, and the sum of the weights

    METAL_FUNC Attention(const device AttentionParams &p_, const device int *list_, threadgroup float4 *memory,
                         uint3 group, int thread_index_)
        : p(&p_), list(list_), staged(reinterpret_cast<threadgroup T *>(memory)),
          scores(reinterpret_cast<threadgroup float *>(memory + STAGED)), thread_index(thread_index_),
          lane(thread_index_ % 32), slice(thread_index_ / 32 % SLICES), row(thread_index_ / 32 / SLICES * 8),
          widths((p_.head_dim + WIDTH - 1) / WIDTH), head(group.y / widths), first_channel(group.y % widths * WIDTH),
          first_row(group.x * BQ), grid_image(group.z), own(pixel(first_row + row + lane_row(lane))),
          own_image(own.index < 0 || own.outside() ? -1 : own.image), largest(-INFINITY), total(0.0f) {}

    /// Returns the pixel of a query; its number is that of its token. In a list they follow one another, else by image.
    METAL_FUNC Pixel pixel(int at) const {
        const device Domain &d = p->out;
        if (d.listed) {
            const int area = d.tile * d.tile;
            return pixel_of(d, tile_of(d, list, at / area), at % area / d.tile, at % area % d.tile);
        }
        const bool there = at < d.h * d.w;
        return there ? Pixel{grid_image * d.h * d.w + at, grid_image, 0, 0} : Pixel{-1, 0, OUTSIDE, 0};
    }

    /// Returns the image of a query, negative for one that attends to nothing.
    METAL_FUNC int image_of(int at) const {
        const Pixel of_query = pixel(at);
        return of_query.index < 0 || of_query.outside() ? -1 : of_query.image;
    }

    METAL_FUNC void run(const device T *q, const device T *k, const device T *v, device T *dst) {
        load_queries(q, 0);
#pragma clang loop unroll(full)
        for (int i = 0; i < FRAGMENTS; i++) {
            sum[i] = metal::make_filled_simdgroup_matrix<float, 8, 8>(0.0f);
        }
        int image = p->out.n, last = -1;
        for (int i = 0; i < BQ; i++) {
            const int of_row = image_of(first_row + i);
            image = of_row < 0 ? image : metal::min(image, of_row);
            last = metal::max(last, of_row);
        }
        for (; image <= last; image++) {
            for (int first = 0; first < p->keys; first += BK) {
                attend(image, first, q, k, v);
            }
        }
        write(dst);
    }

    /// Returns the channels of a token that are this head's.
    METAL_FUNC const device T *token(const device T *array, const device Tokens &t, int number) const {
        return array + number * t.stride + t.first + head * p->head_dim;
    }

    /// Brings this slice's channels of the queries, of those from c_first on, into registers.
    METAL_FUNC void load_queries(const device T *q, int c_first) {
        const bool there = own_image >= 0;
        const device T *from = token(q, p->q, own.index);
#pragma clang loop unroll(full)
        for (int i = 0; i < FRAGMENTS; i++) {
            const int c = c_first + slice * D + 8 * i + lane_column(lane);
            query[i].thread_elements()[0] = there && c < p->head_dim ? T(from[c]) : T(0);
            query[i].thread_elements()[1] = there && c + 1 < p->head_dim ? T(from[c + 1]) : T(0);
        }
    }

    /// Brings WIDTH channels, from c_first on, of keys or values into threadgroup memory, zero where there are none.
    METAL_FUNC void stage(const device T *from, const device Tokens &t, int image, int first, int c_first) {
        metal::threadgroup_barrier(metal::mem_flags::mem_threadgroup);
        for (int i = thread_index; i < BK * WIDTH / 4; i += THREADS) {
            const int key = i / (WIDTH / 4), at = i % (WIDTH / 4) * 4, c = c_first + at, left = p->head_dim - c;
            Vec4<T> value = narrowed<T>(float4(0.0f));
            if (first + key < p->keys && left > 0) {
                value = load4<VEC>(token(from, t, image * p->keys + first + key) + c, left);
            }
            *reinterpret_cast<threadgroup Vec4<T> *>(staged + key * PITCH + at) = value;
        }
        metal::threadgroup_barrier(metal::mem_flags::mem_threadgroup);
    }

    METAL_FUNC void attend(int image, int first, const device T *q, const device T *k, const device T *v) {
        metal::simdgroup_matrix<float, 8, 8> product[KEY_FRAGMENTS];
#pragma clang loop unroll(full)
        for (int j = 0; j < KEY_FRAGMENTS; j++) {
            product[j] = metal::make_filled_simdgroup_matrix<float, 8, 8>(0.0f);
        }
        for (int c_first = 0; c_first < p->head_dim; c_first += WIDTH) {
            if (widths > 1) {
                load_queries(q, c_first);
            }
            stage(k, p->k, image, first, c_first);
#pragma clang loop unroll(full)
            for (int j = 0; j < KEY_FRAGMENTS; j++) {
#pragma clang loop unroll(full)
                for (int i = 0; i < FRAGMENTS; i++) {
                    metal::simdgroup_matrix<T, 8, 8> keys;
                    metal::simdgroup_load(keys, staged + 8 * j * PITCH + slice * D + 8 * i, PITCH, 0, true);
                    metal::simdgroup_multiply_accumulate(product[j], query[i], keys, product[j]);
                }
            }
        }

        if (SLICES > 1) {
            add_slices(product);
        }
        float score[KEY_FRAGMENTS][2];
        float block_largest = -INFINITY;
        const bool attends = own_image == image;
#pragma clang loop unroll(full)
        for (int j = 0; j < KEY_FRAGMENTS; j++) {
#pragma clang loop unroll(full)
            for (int e = 0; e < 2; e++) {
                const bool there = attends && first + 8 * j + lane_column(lane) + e < p->keys;
                score[j][e] = there ? p->scale * product[j].thread_elements()[e] : -INFINITY;
                block_largest = metal::max(block_largest, score[j][e]);
            }
        }

        // The lanes that share a query differ in these two bits.
        block_largest = metal::max(block_largest, metal::simd_shuffle_xor(block_largest, 1));
        block_largest = metal::max(block_largest, metal::simd_shuffle_xor(block_largest, 8));
        const float now = metal::max(largest, block_largest);
        const float rescale = largest == -INFINITY ? 0.0f : metal::exp(largest - now);
        float block_total = 0.0f;
        metal::simdgroup_matrix<T, 8, 8> weight[KEY_FRAGMENTS];
#pragma clang loop unroll(full)
        for (int j = 0; j < KEY_FRAGMENTS; j++) {
#pragma clang loop unroll(full)
            for (int e = 0; e < 2; e++) {
                const float w = score[j][e] == -INFINITY ? 0.0f : metal::exp(score[j][e] - now);
                block_total += w;
                weight[j].thread_elements()[e] = T(w);
            }
        }
        block_total += metal::simd_shuffle_xor(block_total, 1);
        block_total += metal::simd_shuffle_xor(block_total, 8);
        total = total * rescale + block_total;
        largest = now;

        stage(v, p->v, image, first, first_channel);
#pragma clang loop unroll(full)
        for (int i = 0; i < FRAGMENTS; i++) {
            sum[i].thread_elements()[0] *= rescale;
            sum[i].thread_elements()[1] *= rescale;
#pragma clang loop unroll(full)
            for (int j = 0; j < KEY_FRAGMENTS; j++) {
                metal::simdgroup_matrix<T, 8, 8> values;
                metal::simdgroup_load(values, staged + 8 * j * PITCH + slice * D + 8 * i, PITCH);
                metal::simdgroup_multiply_accumulate(sum[i], weight[j], values, sum[i]);
            }
        }
    }

    /// Adds up the parts that the slices have of their queries' products with the keys.
    METAL_FUNC void add_slices(thread metal::simdgroup_matrix<float, 8, 8> (&product)[KEY_FRAGMENTS]) const {
        threadgroup float *of_lane = scores + (row + lane_row(lane)) * SCORE_PITCH + lane_column(lane);
#pragma clang loop unroll(full)
        for (int j = 0; j < KEY_FRAGMENTS; j++) {
#pragma clang loop unroll(full)
            for (int e = 0; e < 2; e++) {
                of_lane[slice * BQ * SCORE_PITCH + 8 * j + e] = product[j].thread_elements()[e];
            }
        }
        metal::threadgroup_barrier(metal::mem_flags::mem_threadgroup);
#pragma clang loop unroll(full)
        for (int j = 0; j < KEY_FRAGMENTS; j++) {
#pragma clang loop unroll(full)
            for (int e = 0; e < 2; e++) {
                float total = 0.0f;
#pragma clang loop unroll(full)
                for (int i = 0; i < SLICES; i++) {
                    total += of_lane[i * BQ * SCORE_PITCH + 8 * j + e];
                }
                product[j].thread_elements()[e] = total;
            }
        }
    }

    METAL_FUNC void write(device T *dst) {
        if (own.index < 0) {
            return;
        }
        device T *to = dst + own.index * p->heads * p->head_dim + head * p->head_dim;
#pragma clang loop unroll(full)
        for (int i = 0; i < FRAGMENTS; i++) {
            const int c = first_channel + slice * D + 8 * i + lane_column(lane);
#pragma clang loop unroll(full)
            for (int e = 0; e < 2; e++) {
                if (c + e < p->head_dim) {
                    to[c + e] = own.outside() ? T(0) : T(sum[i].thread_elements()[e] / total);
                }
            }
        }
    }
};

} // namespace sige
