#include "fiber.h"

#include <cstdint>
#include <new>
#include <sys/mman.h>

// Only what a called function has to preserve is kept: on x86-64 six registers, on AArch64 twelve and the lower halves
// of eight vector registers. The floating-point control words are the same in all fibers.
#if defined(__APPLE__)
#define SYMBOL "_sim_switch"
#else
#define SYMBOL "sim_switch"
#endif

#if defined(__x86_64__)
asm(R"(
    .text
    .globl )" SYMBOL R"(
)" SYMBOL R"(:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
)");
// Registers, return address, and a word that leaves the stack as a call would.
static constexpr size_t kFrameWords = 8, kReturn = 6;
#elif defined(__aarch64__)
asm(R"(
    .text
    .globl )" SYMBOL R"(
    .p2align 2
)" SYMBOL R"(:
    sub sp, sp, #160
    stp x19, x20, [sp, #0]
    stp x21, x22, [sp, #16]
    stp x23, x24, [sp, #32]
    stp x25, x26, [sp, #48]
    stp x27, x28, [sp, #64]
    stp x29, x30, [sp, #80]
    stp d8, d9, [sp, #96]
    stp d10, d11, [sp, #112]
    stp d12, d13, [sp, #128]
    stp d14, d15, [sp, #144]
    mov x9, sp
    str x9, [x0]
    mov sp, x1
    ldp x19, x20, [sp, #0]
    ldp x21, x22, [sp, #16]
    ldp x23, x24, [sp, #32]
    ldp x25, x26, [sp, #48]
    ldp x27, x28, [sp, #64]
    ldp x29, x30, [sp, #80]
    ldp d8, d9, [sp, #96]
    ldp d10, d11, [sp, #112]
    ldp d12, d13, [sp, #128]
    ldp d14, d15, [sp, #144]
    add sp, sp, #160
    ret
)");
static constexpr size_t kFrameWords = 20, kReturn = 11;
#else
#error "fibers are written for x86-64 and AArch64"
#endif

namespace metal_sim {

static constexpr size_t kStackBytes = 256 << 10, kGuardBytes = 16 << 10;

Fiber::Fiber() {
    void *memory = mmap(nullptr, kStackBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        throw std::bad_alloc();
    stack = static_cast<char *>(memory);
    mprotect(stack, kGuardBytes, PROT_NONE); // a kernel that overflows its stack stops the process, not its neighbour
}

Fiber::~Fiber() {
    if (stack)
        munmap(stack, kStackBytes);
}

void Fiber::start(void (*function)(), unsigned colour) {
    auto *frame = reinterpret_cast<uint64_t *>(stack + kStackBytes - colour % 64 * 576) - kFrameWords;
    for (size_t i = 0; i < kFrameWords; i++)
        frame[i] = 0;
    frame[kReturn] = reinterpret_cast<uint64_t>(function);
    stack_pointer = frame;
}

} // namespace metal_sim
