// Address spaces, scalars and vectors. An address space is clang's: a pointer to one does not convert to another.
#pragma once

#define device __attribute__((address_space(1)))
#define constant const __attribute__((address_space(2)))
#define threadgroup __attribute__((address_space(3)))
#define thread
#define METAL_FUNC inline __attribute__((always_inline))
#define __METAL__ 1
#define __METAL_VERSION__ 320

typedef unsigned char uchar;
typedef unsigned short ushort;
typedef unsigned int uint;
typedef unsigned long ulong;
typedef _Float16 half;
typedef __bf16 bfloat;
typedef signed char int8_t;
typedef unsigned char uint8_t;
typedef short int16_t;
typedef unsigned short uint16_t;
typedef int int32_t;
typedef unsigned int uint32_t;
typedef long int64_t;
typedef unsigned long uint64_t;
typedef unsigned long size_t;
typedef long ptrdiff_t;
typedef unsigned long uintptr_t;

namespace metal {
template <class T, int N> using vec = T __attribute__((ext_vector_type(N)));
}

#define SIM_VECTORS(T)                                                                                                 \
    typedef metal::vec<T, 2> T##2;                                                                                     \
    typedef metal::vec<T, 3> T##3;                                                                                     \
    typedef metal::vec<T, 4> T##4;                                                                                     \
    typedef T packed_##T##2 __attribute__((ext_vector_type(2), aligned(alignof(T))));                                  \
    typedef T packed_##T##4 __attribute__((ext_vector_type(4), aligned(alignof(T))));
SIM_VECTORS(float)
SIM_VECTORS(half)
SIM_VECTORS(bfloat)
SIM_VECTORS(char)
SIM_VECTORS(uchar)
SIM_VECTORS(short)
SIM_VECTORS(ushort)
SIM_VECTORS(int)
SIM_VECTORS(uint)
SIM_VECTORS(long)
SIM_VECTORS(ulong)
#undef SIM_VECTORS

namespace metal_sim {

template <class V> struct vector_of {
    using element = V;
    static constexpr int size = 1;
    static constexpr bool is_vector = false;
};
template <class T, int N> struct vector_of<metal::vec<T, N>> {
    using element = T;
    static constexpr int size = N;
    static constexpr bool is_vector = true;
};

template <class V> constexpr bool is_vector = vector_of<V>::is_vector;
template <class V> using element = typename vector_of<V>::element;

template <class V, class A> inline void append(V &v, int &filled, A a) {
    if constexpr (is_vector<A>)
        for (int i = 0; i < vector_of<A>::size; i++)
            v[filled++] = (element<V>)a[i];
    else
        v[filled++] = (element<V>)a;
}

// What `T(a, …)` means in Metal; rewrite.py puts it where a vector may be meant. Clang has no constructor of vectors
// from parts, and its cast from one vector to another keeps the bits instead of the values.
template <class V, class... A> constexpr V make(A... a) {
    if constexpr (!is_vector<V>) {
        return V(a...);
    } else if constexpr (sizeof...(A) == 1 && !(is_vector<A> || ...)) {
        return (V)((element<V>)a, ...);
    } else if constexpr (sizeof...(A) == 1) {
        static_assert(((vector_of<A>::size == vector_of<V>::size) && ...), "conversion between vectors of two sizes");
        return (__builtin_convertvector(a, V), ...);
    } else {
        static_assert((vector_of<A>::size + ...) == vector_of<V>::size, "wrong number of components for a vector");
        if constexpr (!(is_vector<A> || ...)) {
            return V{(element<V>)a...};
        } else {
            V v;
            int filled = 0;
            (append(v, filled, a), ...);
            return v;
        }
    }
}

// f of every component.
template <class V, class F, class... A> inline V map(F f, V a, A... more) {
    if constexpr (is_vector<V>) {
        V result;
        for (int i = 0; i < vector_of<V>::size; i++)
            result[i] = (element<V>)f(a[i], more[i]...);
        return result;
    } else {
        return (V)f(a, more...);
    }
}

} // namespace metal_sim

template <class To, class From> inline To as_type(From from) {
    static_assert(sizeof(To) == sizeof(From), "as_type between types of different size");
    return __builtin_bit_cast(To, from);
}
