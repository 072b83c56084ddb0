// <metal_simdgroup_matrix>: 8x8 matrices spread over a simdgroup, two neighbours of a row in every lane, where Apple's
// GPUs put them.
#pragma once

#include "msl/simdgroup.h"

namespace metal_sim {

struct Place {
    uint row, column; // of a lane's first element; the second is to its right
};

inline Place place_of_lane() {
    uint l = lane(), quad = l / 4;
    return {(quad & 4) + l / 2 % 4, (quad & 2) * 2 + l % 2 * 2};
}

template <class T> struct pair_of {
    typedef T type __attribute__((ext_vector_type(2), aligned(alignof(T)))); // the matrix need not be aligned
};

} // namespace metal_sim

namespace metal {

template <class T, int Rows = 8, int Columns = 8> struct simdgroup_matrix {
    static_assert(Rows == 8 && Columns == 8, "simdgroup matrices are 8x8");
    static_assert(is_floating_point_v<T>, "simdgroup matrices are of half, bfloat or float");
    using storage_type = vec<T, 2>;

    simdgroup_matrix() = default;
    explicit simdgroup_matrix(T diagonal) {
        metal_sim::Place at = metal_sim::place_of_lane();
        elements = {at.row == at.column ? diagonal : (T)0, at.row == at.column + 1 ? diagonal : (T)0};
    }
    storage_type &thread_elements() { return elements; }
    const storage_type &thread_elements() const { return elements; }

  private:
    storage_type elements;
};

typedef simdgroup_matrix<float, 8, 8> simdgroup_float8x8;
typedef simdgroup_matrix<half, 8, 8> simdgroup_half8x8;
typedef simdgroup_matrix<bfloat, 8, 8> simdgroup_bfloat8x8;

template <class T, int Rows = 8, int Columns = 8>
METAL_FUNC simdgroup_matrix<T, Rows, Columns> make_filled_simdgroup_matrix(T value) {
    simdgroup_matrix<T, Rows, Columns> m;
    m.thread_elements() = {value, value};
    return m;
}

#define SIM_LOAD(SPACE)                                                                                                \
    template <class T>                                                                                                 \
    METAL_FUNC void simdgroup_load(simdgroup_matrix<T, 8, 8> &m, const SPACE T *source, ulong elements_per_row = 8,    \
                                   ulong2 origin = ulong2{0, 0}, bool transpose = false) {                             \
        using pair = typename metal_sim::pair_of<T>::type;                                                             \
        sim_converge(kSite);                                                                                           \
        metal_sim::Place at = metal_sim::place_of_lane();                                                              \
        const SPACE T *corner = source + origin.y * elements_per_row + origin.x;                                       \
        if (transpose)                                                                                                 \
            m.thread_elements() = {corner[at.column * elements_per_row + at.row],                                      \
                                   corner[(at.column + 1) * elements_per_row + at.row]};                               \
        else                                                                                                           \
            m.thread_elements() = *(const SPACE pair *)(corner + at.row * elements_per_row + at.column);               \
    }
#define SIM_STORE(SPACE)                                                                                               \
    template <class T>                                                                                                 \
    METAL_FUNC void simdgroup_store(simdgroup_matrix<T, 8, 8> m, SPACE T *target, ulong elements_per_row = 8,          \
                                    ulong2 origin = ulong2{0, 0}, bool transpose = false) {                            \
        using pair = typename metal_sim::pair_of<T>::type;                                                             \
        sim_converge(kSite);                                                                                           \
        metal_sim::Place at = metal_sim::place_of_lane();                                                              \
        SPACE T *corner = target + origin.y * elements_per_row + origin.x;                                             \
        if (transpose) {                                                                                               \
            corner[at.column * elements_per_row + at.row] = m.thread_elements()[0];                                    \
            corner[(at.column + 1) * elements_per_row + at.row] = m.thread_elements()[1];                              \
        } else {                                                                                                       \
            *(SPACE pair *)(corner + at.row * elements_per_row + at.column) = m.thread_elements();                     \
        }                                                                                                              \
    }
SIM_LOAD(device)
SIM_LOAD(constant)
SIM_LOAD(threadgroup)
SIM_STORE(device)
SIM_STORE(threadgroup)
#undef SIM_LOAD
#undef SIM_STORE

// d = a b + c, the products and the sum in float whatever the types.
template <class D, class A, class B, class C>
METAL_FUNC void simdgroup_multiply_accumulate(simdgroup_matrix<D, 8, 8> &d, simdgroup_matrix<A, 8, 8> a,
                                              simdgroup_matrix<B, 8, 8> b, simdgroup_matrix<C, 8, 8> c) {
    float left[2] = {(float)a.thread_elements()[0], (float)a.thread_elements()[1]};
    float right[2] = {(float)b.thread_elements()[0], (float)b.thread_elements()[1]};
    float sum[2] = {(float)c.thread_elements()[0], (float)c.thread_elements()[1]};
    sim_multiply(left, right, sum, kSite);
    d.thread_elements() = {(D)sum[0], (D)sum[1]};
}
template <class D, class A, class B>
METAL_FUNC void simdgroup_multiply(simdgroup_matrix<D, 8, 8> &d, simdgroup_matrix<A, 8, 8> a,
                                   simdgroup_matrix<B, 8, 8> b) {
    simdgroup_multiply_accumulate(d, a, b, make_filled_simdgroup_matrix<D>((D)0));
}
template <class T>
METAL_FUNC simdgroup_matrix<T, 8, 8> operator*(simdgroup_matrix<T, 8, 8> a, simdgroup_matrix<T, 8, 8> b) {
    simdgroup_matrix<T, 8, 8> d;
    simdgroup_multiply(d, a, b);
    return d;
}

} // namespace metal
