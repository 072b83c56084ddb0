// How the runtime calls a kernel: what rewrite.py writes behind the kernel's text uses this.
#pragma once

#include "msl/context.h"
#include "msl/types.h"

namespace metal_sim {

inline uint builtin(u32 value) { return value; }
inline uint3 builtin(Position p) { return uint3{p.x, p.y, p.z}; }

// What a threadgroup declaration becomes: one array for all threads of a threadgroup.
template <class T> struct element_of {
    using type = element<T>;
};
template <class T, unsigned long N> struct element_of<T[N]> {
    using type = typename element_of<T>::type;
};
template <class T, u32 id> METAL_FUNC threadgroup T &threadgroup_array() {
    constexpr u32 granule_shift = sizeof(typename element_of<T>::type) > 1 ? 1 : 0;
    constexpr u64 align = alignof(T) < 16 ? 16 : alignof(T);
    return *(threadgroup T *)sim_threadgroup_array(id, sizeof(T), align, granule_shift, kSite);
}

} // namespace metal_sim
