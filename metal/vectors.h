// Four channels are read and written at a time, in float, whatever is stored. With `VEC` the address and the number of
// channels are multiples of four; without it channels go one by one, as far as there are any.

#pragma once

#include "plane.h"

namespace sige {

template <typename T> using Vec4 = metal::vec<T, 4>;

template <typename T> METAL_FUNC float4 widened(Vec4<T> v) { return {float(v.x), float(v.y), float(v.z), float(v.w)}; }

template <typename T> METAL_FUNC Vec4<T> narrowed(float4 v) { return {T(v.x), T(v.y), T(v.z), T(v.w)}; }

template <bool VEC, typename T> METAL_FUNC Vec4<T> load4(const device T *from, int left) {
    if (VEC) {
        return *reinterpret_cast<const device Vec4<T> *>(from);
    }
    // What is chosen from must not lie in two address spaces, hence T(…).
    return {left > 0 ? T(from[0]) : T(0), left > 1 ? T(from[1]) : T(0), left > 2 ? T(from[2]) : T(0),
            left > 3 ? T(from[3]) : T(0)};
}

template <bool VEC, typename T> METAL_FUNC void store4(device T *to, float4 value, int left) {
    const Vec4<T> v = narrowed<T>(value);
    if (VEC) {
        *reinterpret_cast<device Vec4<T> *>(to) = v;
        return;
    }
    if (left > 0)
        to[0] = v.x;
    if (left > 1)
        to[1] = v.y;
    if (left > 2)
        to[2] = v.z;
    if (left > 3)
        to[3] = v.w;
}

/// Returns x * scale + shift for channels c to c + 3 of an image, of which `left` exist.
template <bool VEC>
METAL_FUNC float4 affine4(float4 x, const device Affine &a, const device float *affine, int image, int c, int left) {
    if (!a.present) {
        return x;
    }
    const device float *scale = affine + a.first + image * a.image + c;
    return x * load4<VEC>(scale, left) + load4<VEC>(scale + a.shift, left);
}

/// Returns x * (1 + gamma) + beta.
template <bool VEC, typename T>
METAL_FUNC float4 modulated4(float4 x, const device Modulation &m, ModulationArrays<T> arrays, Place gamma, Place beta,
                             int c, int left) {
    const float4 zero = float4(0.0f);
    const float4 g = gamma == NOWHERE
                         ? zero
                         : widened<T>(load4<VEC>(at_place(arrays.gamma, gamma, m.gamma.c) + m.gamma_first + c, left));
    const float4 b =
        beta == NOWHERE ? zero : widened<T>(load4<VEC>(at_place(arrays.beta, beta, m.beta.c) + m.beta_first + c, left));
    return x * (1.0f + g) + b;
}

} // namespace sige
