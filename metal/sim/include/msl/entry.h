// How the runtime calls a kernel: what rewrite.py writes behind the kernel's text uses this.
#pragma once

#include "msl/context.h"
#include "msl/traits.h"

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

// A type in the address space of another.
template <class Of, class T> struct in_space_of {
    using type = T;
};
template <class Of, class T> struct in_space_of<device Of, T> {
    using type = device T;
};
template <class Of, class T> struct in_space_of<constant Of, T> {
    using type = constant T;
};
template <class Of, class T> struct in_space_of<threadgroup Of, T> {
    using type = threadgroup T;
};
template <class Of, class T> using same_space = typename in_space_of<metal::remove_const_t<Of>, T>::type;

// What `*to = *from` becomes. Clang outside OpenCL cannot copy a struct from one address space to another; it is copied
// as a vector of the same size and alignment.
template <u64 bytes, u64 align> struct chunk_of {
    static_assert(bytes <= 16 && (bytes & (bytes - 1)) == 0,
                  "copies between address spaces: of 1, 2, 4, 8 or 16 bytes");
    typedef u8 type __attribute__((ext_vector_type(bytes), aligned(align)));
};
template <class To, class From> METAL_FUNC void assign(To to, From from) {
    using T = metal::remove_cv_t<metal::remove_addrspace_t<metal::remove_pointer_t<To>>>;
    if constexpr (__is_class(T)) {
        using chunk = typename chunk_of<sizeof(T), alignof(T)>::type;
        *(same_space<metal::remove_pointer_t<To>, chunk> *)to =
            *(same_space<metal::remove_pointer_t<From>, chunk> *)from;
    } else {
        *to = *from;
    }
}

} // namespace metal_sim
