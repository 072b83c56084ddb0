// <metal_type_traits> and <metal_limits>.
#pragma once

#include "msl/types.h"

namespace metal {

template <class T, T v> struct integral_constant {
    static constexpr T value = v;
    constexpr operator T() const { return v; }
};
template <bool b> using bool_constant = integral_constant<bool, b>;
using true_type = bool_constant<true>;
using false_type = bool_constant<false>;

template <class A, class B> constexpr bool is_same_v = __is_same(A, B);
template <class A, class B> struct is_same : bool_constant<is_same_v<A, B>> {};
template <class A, class B> constexpr bool is_convertible_v = __is_convertible(A, B);
template <class A, class B> struct is_convertible : bool_constant<is_convertible_v<A, B>> {};

template <bool b, class T = void> struct enable_if {};
template <class T> struct enable_if<true, T> {
    using type = T;
};
template <bool b, class T = void> using enable_if_t = typename enable_if<b, T>::type;

template <bool b, class T, class F> struct conditional {
    using type = T;
};
template <class T, class F> struct conditional<false, T, F> {
    using type = F;
};
template <bool b, class T, class F> using conditional_t = typename conditional<b, T, F>::type;

template <class... B> struct conjunction : bool_constant<(B::value && ...)> {};
template <class... B> struct disjunction : bool_constant<(B::value || ...)> {};
template <class B> struct negation : bool_constant<!B::value> {};
template <class... B> using _disjunction = disjunction<B...>;

template <class T> struct remove_addrspace {
    using type = T;
};
template <class T> struct remove_addrspace<device T> {
    using type = T;
};
template <class T> struct remove_addrspace<constant T> {
    using type = T;
};
template <class T> struct remove_addrspace<threadgroup T> {
    using type = T;
};
template <class T> using remove_addrspace_t = typename remove_addrspace<T>::type;

template <class T> struct remove_const {
    using type = T;
};
template <class T> struct remove_const<const T> {
    using type = T;
};
template <class T> struct remove_volatile {
    using type = T;
};
template <class T> struct remove_volatile<volatile T> {
    using type = T;
};
template <class T> struct remove_reference {
    using type = T;
};
template <class T> struct remove_reference<T &> {
    using type = T;
};
template <class T> struct remove_pointer {
    using type = T;
};
template <class T> struct remove_pointer<T *> {
    using type = T;
};
template <class T> using remove_const_t = typename remove_const<T>::type;
template <class T> using remove_volatile_t = typename remove_volatile<T>::type;
template <class T> using remove_cv_t = remove_volatile_t<remove_const_t<T>>;
template <class T> using remove_reference_t = typename remove_reference<T>::type;
template <class T> using remove_pointer_t = typename remove_pointer<T>::type;
template <class T> struct remove_cv {
    using type = remove_cv_t<T>;
};

template <class T>
constexpr bool is_floating_point_v =
    is_same_v<remove_cv_t<T>, float> || is_same_v<remove_cv_t<T>, half> || is_same_v<remove_cv_t<T>, bfloat>;
template <class T> struct is_floating_point : bool_constant<is_floating_point_v<T>> {};
template <class T> constexpr bool is_integral_v = __is_integral(T);
template <class T> struct is_integral : bool_constant<is_integral_v<T>> {};
template <class T> constexpr bool is_arithmetic_v = is_integral_v<T> || is_floating_point_v<T>;
template <class T> struct is_arithmetic : bool_constant<is_arithmetic_v<T>> {};
template <class T> constexpr bool is_signed_v = is_floating_point_v<T> || __is_signed(T);
template <class T> struct is_signed : bool_constant<is_signed_v<T>> {};
template <class T> constexpr bool is_unsigned_v = __is_unsigned(T);
template <class T> struct is_unsigned : bool_constant<is_unsigned_v<T>> {};
template <class T> constexpr bool is_pointer_v = __is_pointer(T);
template <class T> constexpr bool is_const_v = __is_const(T);
template <class T> constexpr bool is_enum_v = __is_enum(T);
template <class T> constexpr bool is_void_v = is_same_v<remove_cv_t<T>, void>;

template <class T> struct make_scalar {
    using type = metal_sim::element<T>;
};
template <class T> using make_scalar_t = typename make_scalar<T>::type;

template <class T> struct numeric_limits {
    static constexpr bool is_integer = is_integral_v<T>;
    static constexpr T max() { return is_unsigned_v<T> ? (T) ~(T)0 : (T)((((T)1 << (sizeof(T) * 8 - 2)) - 1) * 2 + 1); }
    static constexpr T min() { return is_unsigned_v<T> ? (T)0 : (T)(-max() - 1); }
    static constexpr T lowest() { return min(); }
};

#define SIM_LIMITS(T, MAX, MIN, EPSILON)                                                                               \
    template <> struct numeric_limits<T> {                                                                             \
        static constexpr bool is_integer = false;                                                                      \
        static constexpr T max() { return (T)MAX; }                                                                    \
        static constexpr T min() { return (T)MIN; }                                                                    \
        static constexpr T lowest() { return (T)(-MAX); }                                                              \
        static constexpr T epsilon() { return (T)EPSILON; }                                                            \
        static constexpr T infinity() { return (T)__builtin_inff(); }                                                  \
        static constexpr T quiet_NaN() { return (T)__builtin_nanf(""); }                                               \
    };
SIM_LIMITS(float, 0x1.fffffep127f, 0x1p-126f, 0x1p-23f)
SIM_LIMITS(half, 65504.f, 0x1p-14f, 0x1p-10f)
SIM_LIMITS(bfloat, 0x1.fep127f, 0x1p-126f, 0x1p-7f)
#undef SIM_LIMITS
template <> struct numeric_limits<bool> {
    static constexpr bool is_integer = true;
    static constexpr bool max() { return true; }
    static constexpr bool min() { return false; }
};

} // namespace metal
