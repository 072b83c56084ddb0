// <metal_simdgroup> and <metal_compute>'s barriers. Every lane that there is has to take part in a simd function: Metal
// would go on with the active lanes, which in a kernel of ours is a mistake.
#pragma once

#include "msl/hooks.h"
#include "msl/traits.h"

namespace metal_sim {

template <class T> struct Gathered {
    const Exchange *exchange;
    bool has(u32 lane) const { return exchange->active >> lane & 1; }
    T operator[](u32 lane) const {
        T value;
        __builtin_memcpy(&value, exchange->slot[lane], sizeof(T));
        return value;
    }
};

template <class T> METAL_FUNC Gathered<T> gather(T value) {
    static_assert(sizeof(T) <= 32, "too wide for a simd function");
    return {sim_exchange(&value, sizeof(T), kSite)};
}

template <class T, class F> METAL_FUNC T reduce(T value, F f) {
    Gathered<T> all = gather(value);
    bool first = true;
    for (u32 i = 0; i < kLanes; i++)
        if (all.has(i)) {
            value = first ? all[i] : f(value, all[i]);
            first = false;
        }
    return value;
}

// The running lane's prefix: `value` starts from the neutral element and takes in every lane below.
template <class T, class F> METAL_FUNC T scan(T own, T value, F f) {
    Gathered<T> all = gather(own);
    for (u32 i = 0; i < lane(); i++)
        if (all.has(i))
            value = f(value, all[i]);
    return value;
}

} // namespace metal_sim

namespace metal {

enum class mem_flags : uint { mem_none = 0, mem_device = 1, mem_threadgroup = 2, mem_texture = 4 };
METAL_FUNC mem_flags operator|(mem_flags a, mem_flags b) { return (mem_flags)((uint)a | (uint)b); }

METAL_FUNC void threadgroup_barrier(mem_flags flags) { sim_threadgroup_barrier((uint)flags, kSite); }
METAL_FUNC void simdgroup_barrier(mem_flags flags) { sim_simdgroup_barrier((uint)flags, kSite); }

#define SIM_REDUCTION(NAME, EXPRESSION)                                                                                \
    template <class T> METAL_FUNC T NAME(T value) {                                                                    \
        return metal_sim::reduce(value, [](T a, T b) { return (T)(EXPRESSION); });                                     \
    }
SIM_REDUCTION(simd_sum, a + b)
SIM_REDUCTION(simd_product, a *b)
SIM_REDUCTION(simd_max, max(a, b))
SIM_REDUCTION(simd_min, min(a, b))
SIM_REDUCTION(simd_and, a &b)
SIM_REDUCTION(simd_or, a | b)
SIM_REDUCTION(simd_xor, a ^ b)
#undef SIM_REDUCTION

template <class T> METAL_FUNC T simd_prefix_exclusive_sum(T value) {
    return metal_sim::scan(value, (T)0, [](T a, T b) { return (T)(a + b); });
}
template <class T> METAL_FUNC T simd_prefix_inclusive_sum(T value) {
    return (T)(simd_prefix_exclusive_sum(value) + value);
}
template <class T> METAL_FUNC T simd_prefix_exclusive_product(T value) {
    return metal_sim::scan(value, (T)1, [](T a, T b) { return (T)(a * b); });
}
template <class T> METAL_FUNC T simd_prefix_inclusive_product(T value) {
    return (T)(simd_prefix_exclusive_product(value) * value);
}

template <class T> METAL_FUNC T simd_shuffle(T value, ushort lane) { return metal_sim::gather(value)[lane % 32]; }
template <class T> METAL_FUNC T simd_broadcast(T value, ushort lane) { return simd_shuffle(value, lane); }
template <class T> METAL_FUNC T simd_broadcast_first(T value) {
    metal_sim::Gathered<T> all = metal_sim::gather(value);
    return all[(uint)__builtin_ctz(all.exchange->active)];
}
template <class T> METAL_FUNC T simd_shuffle_xor(T value, ushort mask) {
    return simd_shuffle(value, (ushort)(metal_sim::lane() ^ mask));
}
// A lane that would read beyond the simdgroup keeps its own value, where Metal leaves it undefined.
template <class T> METAL_FUNC T simd_shuffle_and_fill_down(T value, T filling, ushort delta) {
    metal_sim::Gathered<T> all = metal_sim::gather(value);
    return metal_sim::lane() + delta < 32 ? all[metal_sim::lane() + delta] : filling;
}
template <class T> METAL_FUNC T simd_shuffle_and_fill_up(T value, T filling, ushort delta) {
    metal_sim::Gathered<T> all = metal_sim::gather(value);
    return metal_sim::lane() >= delta ? all[metal_sim::lane() - delta] : filling;
}
template <class T> METAL_FUNC T simd_shuffle_down(T value, ushort delta) {
    return simd_shuffle_and_fill_down(value, value, delta);
}
template <class T> METAL_FUNC T simd_shuffle_up(T value, ushort delta) {
    return simd_shuffle_and_fill_up(value, value, delta);
}
template <class T> METAL_FUNC T simd_shuffle_rotate_down(T value, ushort delta) {
    return simd_shuffle(value, (ushort)(metal_sim::lane() + delta));
}
template <class T> METAL_FUNC T simd_shuffle_rotate_up(T value, ushort delta) {
    return simd_shuffle(value, (ushort)(metal_sim::lane() + 32 - delta % 32));
}

class simd_vote {
  public:
    using vote_t = ulong;
    explicit constexpr simd_vote(vote_t votes = 0) : votes(votes) {}
    explicit constexpr operator vote_t() const { return votes; }
    constexpr bool any() const { return votes != 0; }
    constexpr bool all() const { return votes == 0xffffffff; }

  private:
    vote_t votes;
};

namespace sim_detail {
struct Votes {
    uint yes, active;
};
METAL_FUNC Votes vote(bool yes) {
    metal_sim::Gathered<bool> all = metal_sim::gather(yes);
    uint votes = 0;
    for (uint i = 0; i < 32; i++)
        votes |= (uint)(all.has(i) && all[i]) << i;
    return {votes, all.exchange->active};
}
} // namespace sim_detail

METAL_FUNC simd_vote simd_ballot(bool yes) { return simd_vote(sim_detail::vote(yes).yes); }
METAL_FUNC simd_vote simd_active_threads_mask() { return simd_vote(sim_detail::vote(true).active); }
METAL_FUNC bool simd_any(bool yes) { return sim_detail::vote(yes).yes != 0; }
METAL_FUNC bool simd_all(bool yes) {
    sim_detail::Votes votes = sim_detail::vote(yes);
    return votes.yes == votes.active;
}
METAL_FUNC bool simd_is_first() { return (uint)__builtin_ctz(sim_detail::vote(true).active) == metal_sim::lane(); }

} // namespace metal
