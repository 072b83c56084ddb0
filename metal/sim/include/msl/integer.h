// <metal_integer>: of every integer type and its vectors.
#pragma once

#include "msl/traits.h"

namespace metal_sim {

template <class T> using wider = metal::conditional_t<metal::is_unsigned_v<T>, unsigned __int128, __int128>;

template <class T> inline T popcount(T x) {
    return (T)__builtin_popcountl((unsigned long)x & (~0ul >> (64 - 8 * sizeof(T))));
}
template <class T> inline T leading_zeros(T x) {
    constexpr int bits = 8 * sizeof(T);
    unsigned long u = (unsigned long)x & (~0ul >> (64 - bits));
    return (T)(u ? __builtin_clzl(u) - (64 - bits) : bits);
}
template <class T> inline T trailing_zeros(T x) { return (T)(x ? __builtin_ctzl((unsigned long)x) : 8 * sizeof(T)); }
template <class T> inline T high_product(T x, T y) { return (T)((wider<T>)x * y >> 8 * sizeof(T)); }
template <class T> inline T saturated_sum(T x, T y) {
    T sum;
    bool overflows = __builtin_add_overflow(x, y, &sum);
    return !overflows ? sum : x < 0 ? metal::numeric_limits<T>::min() : metal::numeric_limits<T>::max();
}
template <class T> inline T saturated_difference(T x, T y) {
    T difference;
    bool overflows = __builtin_sub_overflow(x, y, &difference);
    return !overflows ? difference : x < y ? metal::numeric_limits<T>::min() : metal::numeric_limits<T>::max();
}
template <class T> inline T reversed_bits(T x) {
    T result = 0;
    for (unsigned i = 0; i < 8 * sizeof(T); i++)
        result = (T)(result | ((x >> i & 1) << (8 * sizeof(T) - 1 - i)));
    return result;
}

} // namespace metal_sim

namespace metal {

#define SIM_INTEGER(T)                                                                                                 \
    METAL_FUNC T abs(T x) {                                                                                            \
        return metal_sim::map([](auto a) { return a < 0 ? -a : a; }, x);                                               \
    }                                                                                                                  \
    METAL_FUNC T min(T x, T y) {                                                                                       \
        return metal_sim::map([](auto a, auto b) { return b < a ? b : a; }, x, y);                                     \
    }                                                                                                                  \
    METAL_FUNC T max(T x, T y) {                                                                                       \
        return metal_sim::map([](auto a, auto b) { return a < b ? b : a; }, x, y);                                     \
    }                                                                                                                  \
    METAL_FUNC T clamp(T x, T low, T high) { return min(max(x, low), high); }                                          \
    METAL_FUNC T popcount(T x) {                                                                                       \
        return metal_sim::map([](auto a) { return metal_sim::popcount(a); }, x);                                       \
    }                                                                                                                  \
    METAL_FUNC T clz(T x) {                                                                                            \
        return metal_sim::map([](auto a) { return metal_sim::leading_zeros(a); }, x);                                  \
    }                                                                                                                  \
    METAL_FUNC T ctz(T x) {                                                                                            \
        return metal_sim::map([](auto a) { return metal_sim::trailing_zeros(a); }, x);                                 \
    }                                                                                                                  \
    METAL_FUNC T mulhi(T x, T y) {                                                                                     \
        return metal_sim::map([](auto a, auto b) { return metal_sim::high_product(a, b); }, x, y);                     \
    }                                                                                                                  \
    METAL_FUNC T addsat(T x, T y) {                                                                                    \
        return metal_sim::map([](auto a, auto b) { return metal_sim::saturated_sum(a, b); }, x, y);                    \
    }                                                                                                                  \
    METAL_FUNC T subsat(T x, T y) {                                                                                    \
        return metal_sim::map([](auto a, auto b) { return metal_sim::saturated_difference(a, b); }, x, y);             \
    }                                                                                                                  \
    METAL_FUNC T reverse_bits(T x) {                                                                                   \
        return metal_sim::map([](auto a) { return metal_sim::reversed_bits(a); }, x);                                  \
    }
#define SIM_INTEGERS(T) SIM_INTEGER(T) SIM_INTEGER(T##2) SIM_INTEGER(T##3) SIM_INTEGER(T##4)
SIM_INTEGERS(char)
SIM_INTEGERS(uchar)
SIM_INTEGERS(short)
SIM_INTEGERS(ushort)
SIM_INTEGERS(int)
SIM_INTEGERS(uint)
SIM_INTEGERS(long)
SIM_INTEGERS(ulong)
#undef SIM_INTEGERS
#undef SIM_INTEGER

METAL_FUNC int mul24(int x, int y) { return x * y; }
METAL_FUNC int mad24(int x, int y, int z) { return x * y + z; }
METAL_FUNC uint extract_bits(uint x, uint offset, uint bits) {
    return bits ? x << (32 - bits - offset) >> (32 - bits) : 0;
}
METAL_FUNC uint rotate(uint x, uint y) { return x << (y & 31) | x >> ((32 - y) & 31); }

} // namespace metal
