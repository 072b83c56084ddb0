// A thread of the kernel: a stack of its own and the registers it stopped with.
#pragma once

#include <cstddef>

namespace metal_sim {

struct Fiber {
    void *stack_pointer = nullptr; // where it stopped
    char *stack = nullptr;

    Fiber();
    ~Fiber();
    Fiber(Fiber &&other) noexcept : stack_pointer(other.stack_pointer), stack(other.stack) { other.stack = nullptr; }
    Fiber(const Fiber &) = delete;
    Fiber &operator=(const Fiber &) = delete;

    // The next switch to this fiber calls `function`, which must never return. `colour` spreads the fibers' stacks over
    // the cache's sets: all of them start at the same offset in a page otherwise.
    void start(void (*function)(), unsigned colour);
};

} // namespace metal_sim

// Keeps the running registers at *save and goes on where `to` stopped.
extern "C" void sim_switch(void **save, void *to);
