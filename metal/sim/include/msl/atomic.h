// <metal_atomic>, relaxed. The runtime checks the access and hands out an address; threadgroups may run on several
// operating system threads, so the operation on it is atomic here too.
#pragma once

#include "msl/context.h"
#include "msl/traits.h"

namespace metal {

enum memory_order { memory_order_relaxed };

template <class T> struct atomic {
    using value_type = T;
    T value;
};
typedef atomic<int> atomic_int;
typedef atomic<uint> atomic_uint;
typedef atomic<ulong> atomic_ulong;
typedef atomic<float> atomic_float;
typedef atomic<bool> atomic_bool;

} // namespace metal

namespace metal_sim {

template <class T> METAL_FUNC T *atomic_address(const volatile device metal::atomic<T> *object, Access access) {
    return (T *)sim_atomic_device((u64)object, sizeof(T), access, kSite);
}
template <class T> METAL_FUNC T *atomic_address(const volatile threadgroup metal::atomic<T> *object, Access access) {
    return (T *)sim_atomic_threadgroup((u64)object, sizeof(T), access, kSite);
}

// Replaces *at by f(*at); returns what was there.
template <class T, class F> METAL_FUNC T exchange_with(T *at, F f) {
    T old, next;
    __atomic_load(at, &old, __ATOMIC_RELAXED);
    do
        next = f(old);
    while (!__atomic_compare_exchange(at, &old, &next, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED));
    return old;
}

} // namespace metal_sim

namespace metal {

#define SIM_FETCH(NAME, SPACE, EXPRESSION)                                                                             \
    template <class T, class U>                                                                                        \
    METAL_FUNC T atomic_fetch_##NAME##_explicit(volatile SPACE atomic<T> *object, U operand, memory_order) {           \
        T y = (T)operand;                                                                                              \
        return metal_sim::exchange_with(metal_sim::atomic_address(object, metal_sim::kAtomic),                         \
                                        [y](T x) { return (T)(EXPRESSION); });                                         \
    }
#define SIM_ATOMICS(SPACE)                                                                                             \
    template <class T> METAL_FUNC T atomic_load_explicit(const volatile SPACE atomic<T> *object, memory_order) {       \
        T value;                                                                                                       \
        __atomic_load(metal_sim::atomic_address(object, metal_sim::kRead), &value, __ATOMIC_RELAXED);                  \
        return value;                                                                                                  \
    }                                                                                                                  \
    template <class T, class U>                                                                                        \
    METAL_FUNC void atomic_store_explicit(volatile SPACE atomic<T> *object, U desired, memory_order) {                 \
        T value = (T)desired;                                                                                          \
        __atomic_store(metal_sim::atomic_address(object, metal_sim::kWrite), &value, __ATOMIC_RELAXED);                \
    }                                                                                                                  \
    template <class T, class U>                                                                                        \
    METAL_FUNC T atomic_exchange_explicit(volatile SPACE atomic<T> *object, U desired, memory_order) {                 \
        T value = (T)desired;                                                                                          \
        return metal_sim::exchange_with(metal_sim::atomic_address(object, metal_sim::kAtomic),                         \
                                        [value](T) { return value; });                                                 \
    }                                                                                                                  \
    template <class T, class U>                                                                                        \
    METAL_FUNC bool atomic_compare_exchange_weak_explicit(volatile SPACE atomic<T> *object, T *expected, U desired,    \
                                                          memory_order, memory_order) {                                \
        T value = (T)desired;                                                                                          \
        return __atomic_compare_exchange(metal_sim::atomic_address(object, metal_sim::kAtomic), expected, &value,      \
                                         false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);                                   \
    }                                                                                                                  \
    SIM_FETCH(add, SPACE, x + y)                                                                                       \
    SIM_FETCH(sub, SPACE, x - y)                                                                                       \
    SIM_FETCH(min, SPACE, y < x ? y : x)                                                                               \
    SIM_FETCH(max, SPACE, x < y ? y : x)                                                                               \
    SIM_FETCH(and, SPACE, x &y)                                                                                        \
    SIM_FETCH(or, SPACE, x | y)                                                                                        \
    SIM_FETCH(xor, SPACE, x ^ y)
SIM_ATOMICS(device)
SIM_ATOMICS(threadgroup)
#undef SIM_ATOMICS
#undef SIM_FETCH

} // namespace metal
