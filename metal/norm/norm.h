// A normalisation becomes an affine map, from the sums over tiles that epilogues wrote. There is a threadgroup for each
// group of channels of each image. It passes over the sums twice, for the mean and then for the variance, for the
// difference of two large numbers would lose the variance's digits.

#pragma once

#include "../plane.h"

namespace sige {

/// Returns the sum over a threadgroup, to every thread.
template <int THREADS> METAL_FUNC float threadgroup_sum(float x, threadgroup float *partial, int thread_index) {
    x = metal::simd_sum(x);
    if (thread_index % 32 == 0) {
        partial[thread_index / 32] = x;
    }
    metal::threadgroup_barrier(metal::mem_flags::mem_threadgroup);
    float sum = 0.0f;
    for (int i = 0; i < THREADS / 32; i++) {
        sum += partial[i];
    }
    metal::threadgroup_barrier(metal::mem_flags::mem_threadgroup);
    return sum;
}

template <int THREADS> struct Norm {
    const device NormParams *p;
    const int image, group, width, thread_index;

    METAL_FUNC Norm(const device NormParams &p_, int group_, int thread_index_)
        : p(&p_), image(group_ / p_.groups), group(group_ % p_.groups), width(p_.channels / p_.groups),
          thread_index(thread_index_) {}

    /// Returns the mean of the group, or its variance, of moments [n][2][groups].
    METAL_FUNC float moment(const device float *moments, int which) const {
        return moments[(2 * image + which) * p->groups + group];
    }

    /// Returns this thread's part of the group's sum, or with `variance` of its sum of squared distances from `mean`;
    /// with `before`, the sums that the blocks of `sums` had, of the change of these.
    METAL_FUNC float part(const device Plane &x, PlaneArrays<float> sums, const device float *before, int source_first,
                          float mean, bool variance) const {
        const int channels = x.c / 2, tiles = x.h * x.w;
        const int first = metal::max(group * width - source_first, 0);
        const int count = metal::min((group + 1) * width - source_first, channels) - first;
        const float pixels_of_tile = float(p->pixels) / float(tiles);
        float total = 0.0f;
        for (int i = thread_index; i < count * tiles; i += THREADS) {
            const int tile = i / count;
            const Place place = locate(x, sums.grid, image, tile / x.w, tile % x.w);
            if (place != NOWHERE) {
                const device float *of_tile = at_place(sums, place, x.c) + first + i % count;
                float sum = of_tile[0], square = of_tile[channels], pixels = pixels_of_tile;
                if (before) {
                    const device float *old =
                        at_place(PlaneArrays<float>{nullptr, before, sums.grid}, place, x.c) + first + i % count;
                    sum -= old[0], square -= old[channels], pixels = 0.0f;
                }
                total += variance ? square - mean * (2.0f * sum - mean * pixels) : sum;
            }
        }
        return total;
    }

    /// Writes scale and shift of the group's channels to affine [2][n][channels], and what they are made of: mean and
    /// variance to moments [n][2][groups], and what these meet to gain [n][2][channels].
    template <typename T>
    METAL_FUNC void write(float mean, float variance, const device float *weight, const device float *bias,
                          const device T *mod, device float *affine, device float *moments, device float *gain) const {
        variance = metal::max(variance, 0.0f);
        const float inverse = metal::precise::rsqrt(variance + p->eps);
        if (thread_index == 0) {
            moments[2 * image * p->groups + group] = mean;
            moments[(2 * image + 1) * p->groups + group] = variance;
        }
        for (int i = thread_index; i < width; i += THREADS) {
            const int c = group * width + i;
            float factor = p->has_weight ? weight[c] : 1.0f;
            float addend = p->has_bias ? bias[c] : 0.0f;
            if (p->has_mod) {
                const device T *of_image = mod + image * p->mod_image + c;
                const float stretch = 1.0f + float(of_image[0]);
                factor *= stretch;
                addend = addend * stretch + float(of_image[p->channels]);
            }
            gain[2 * image * p->channels + c] = factor;
            gain[(2 * image + 1) * p->channels + c] = addend;
            affine[image * p->channels + c] = factor * inverse;
            affine[(p->n + image) * p->channels + c] = addend - mean * (factor * inverse);
        }
    }
};

} // namespace sige
