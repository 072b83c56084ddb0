// Conversions of small floating-point types, which clang leaves to its own runtime where the processor has none. To
// nearest, ties to even. They may not convert such a type themselves.
#include "msl/context.h"

using namespace metal_sim;

namespace {

template <class To, class From> To bits_of(From from) {
    static_assert(sizeof(To) == sizeof(From), "the bits of one are those of the other");
    To to;
    __builtin_memcpy(&to, &from, sizeof to);
    return to;
}

constexpr u32 kInfinity = 0x7f800000; // in float

} // namespace

extern "C" __bf16 __truncsfbf2(float value) {
    u32 bits = bits_of<u32>(value);
    bool nan = (bits & 0x7fffffff) > kInfinity;
    return bits_of<__bf16>((u16)(nan ? bits >> 16 | 0x40 : (bits + 0x7fff + (bits >> 16 & 1)) >> 16));
}

extern "C" _Float16 __truncsfhf2(float value) {
    u32 bits = bits_of<u32>(value), size = bits & 0x7fffffff;
    u16 sign = bits >> 16 & 0x8000, rest;
    if (size > kInfinity)
        rest = 0x7e00;
    else if (size >= 0x477ff000) // 65520, half way to what would follow the largest half
        rest = 0x7c00;
    else if (size < 0x38800000) // 2^-14, the least that is normal: below, halves are as far apart as floats near 0.5
        rest = (u16)(bits_of<u32>(bits_of<float>(size) + 0.5f) - bits_of<u32>(0.5f));
    else
        rest = (u16)((size - 0x38000000 + 0xfff + (size >> 13 & 1)) >> 13);
    return bits_of<_Float16>((u16)(sign | rest));
}

extern "C" float __extendhfsf2(_Float16 value) {
    u16 bits = bits_of<u16>(value);
    u32 sign = (u32)(bits & 0x8000) << 16, exponent = bits >> 10 & 0x1f, fraction = bits & 0x3ff;
    if (exponent == 0)
        return bits_of<float>(sign | bits_of<u32>((float)fraction * 0x1p-24f));
    u32 rest = exponent == 0x1f ? kInfinity | fraction << 13 : ((exponent + 112) << 23) | fraction << 13;
    return bits_of<float>(sign | rest);
}

// As which newer versions of clang end a fused multiply-add of halves. The step at float rounds to odd, so that the
// second rounding sees on which side of a tie the number was.
extern "C" _Float16 __truncdfhf2(double value) {
    float stepped = (float)value;
    u32 bits = bits_of<u32>(stepped);
    if (value == value && (double)stepped != value && !(bits & 1))
        bits += __builtin_fabs((double)stepped) > __builtin_fabs(value) ? -1 : 1;
    return __truncsfhf2(bits_of<float>(bits));
}

extern "C" double __extendhfdf2(_Float16 value) { return (double)__extendhfsf2(value); }
