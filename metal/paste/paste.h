// A whole plane is made of its base and its blocks: one thread copies four channels of a pixel.

#pragma once

#include "../plane.h"
#include "../vectors.h"

namespace sige {

template <typename T, bool VEC>
METAL_FUNC void paste(const device PasteParams &p, PlaneArrays<T> x, device T *dst, uint2 at) {
    const int c = int(at.x) * 4, left = p.x.c - c, pixel = at.y;
    if (left <= 0) {
        return;
    }
    const int image = pixel / (p.x.h * p.x.w), y = pixel / p.x.w % p.x.h;
    const Place place = locate(p.x, x.grid, image, y, pixel % p.x.w);
    float4 v = float4(0.0f);
    if (place != NOWHERE) {
        v = widened<T>(load4<VEC>(at_place(x, place, p.x.c) + c, left));
    }
    store4<VEC>(dst + pixel * p.x.c + c, v, left);
}

} // namespace sige
