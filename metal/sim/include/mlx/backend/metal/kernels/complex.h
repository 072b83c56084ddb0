// In place of MLX's: complex numbers in thread memory, as far as its utils.h needs them. Clang outside OpenCL knows no
// member functions qualified by an address space, of which MLX's are made.
#pragma once

#include <metal_stdlib>

#include "mlx/backend/metal/kernels/bf16.h"

template <typename T> struct complex_t {
    T real, imag;
    constexpr complex_t(T real, T imag) : real(real), imag(imag) {}
    constexpr complex_t(T real = 0) : real(real), imag(0) {}
};

using complex64_t = complex_t<float>;
