// In place of MLX's, which calls functions private to Apple's compiler: the math functions of bfloat, through float.
#pragma once

#include <metal_stdlib>

#define SIM_BFLOAT_UNARY(NAME)                                                                                         \
    METAL_FUNC bfloat NAME(bfloat x) { return (bfloat)NAME((float)x); }
#define SIM_BFLOAT_BINARY(NAME)                                                                                        \
    METAL_FUNC bfloat NAME(bfloat x, bfloat y) { return (bfloat)NAME((float)x, (float)y); }
#define SIM_BFLOAT_TRANSCENDENTALS                                                                                     \
    SIM_BFLOAT_UNARY(exp)                                                                                              \
    SIM_BFLOAT_UNARY(exp2)                                                                                             \
    SIM_BFLOAT_UNARY(log)                                                                                              \
    SIM_BFLOAT_UNARY(log2)                                                                                             \
    SIM_BFLOAT_UNARY(sqrt)                                                                                             \
    SIM_BFLOAT_UNARY(rsqrt)                                                                                            \
    SIM_BFLOAT_UNARY(sin)                                                                                              \
    SIM_BFLOAT_UNARY(cos)                                                                                              \
    SIM_BFLOAT_UNARY(tanh)                                                                                             \
    SIM_BFLOAT_BINARY(pow)

namespace metal {
SIM_BFLOAT_TRANSCENDENTALS
SIM_BFLOAT_UNARY(abs)
SIM_BFLOAT_UNARY(fabs)
SIM_BFLOAT_UNARY(floor)
SIM_BFLOAT_UNARY(ceil)
SIM_BFLOAT_UNARY(rint)
SIM_BFLOAT_UNARY(round)
SIM_BFLOAT_UNARY(trunc)
SIM_BFLOAT_BINARY(min)
SIM_BFLOAT_BINARY(max)
METAL_FUNC bfloat fma(bfloat x, bfloat y, bfloat z) { return (bfloat)fma((float)x, (float)y, (float)z); }
METAL_FUNC bfloat clamp(bfloat x, bfloat low, bfloat high) { return min(max(x, low), high); }
METAL_FUNC bool isnan(bfloat x) { return isnan((float)x); }
namespace fast {
SIM_BFLOAT_TRANSCENDENTALS
}
namespace precise {
SIM_BFLOAT_TRANSCENDENTALS
}
} // namespace metal

#undef SIM_BFLOAT_TRANSCENDENTALS
#undef SIM_BFLOAT_BINARY
#undef SIM_BFLOAT_UNARY
