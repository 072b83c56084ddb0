// One operating system thread's share of a launch: it runs threadgroups to the end, one after another.
#pragma once

#include "fiber.h"
#include "msl/context.h"
#include "recorder.h"

#include <atomic>
#include <memory>
#include <vector>

namespace metal_sim {

// Filled in by run.py, through ctypes.
struct Launch {
    void (*entry)(const u64 *handles, const Builtins &);
    const Buffer *buffers;
    u32 buffer_count;
    u32 grid[3], threadgroup[3];
    u32 seed, workers, sites, blocks;
    u64 *block_counts; // null without counters
    const u32 *chosen; // the numbers of the threadgroups to run, null for all
    u32 chosen_count;
    Fault *fault;
    Totals *totals;
};

enum class State : u8 { kReady, kAtBarrier, kAtSimdFunction, kDone };

// A simd function's meeting point. Results are double-buffered: the first lanes to leave may reach the next function
// before the last have read this one's.
struct Simdgroup {
    u32 lanes, arrived; // a bit for each: those there are, those that wait here
    u32 site, turn;
    u32 synchronised; // the turn after the last simdgroup_barrier
    bool multiplies;  // the function met at is a matrix product
    Exchange exchange[2];
    alignas(64) float product[2][3][8][8]; // left, right and sum
};

// Lists of ready fibers, next first.
class ReadyQueue {
  public:
    void clear() { first = last = 0; }
    bool empty() const { return first == last; }
    u32 pop() { return ring[first++ % kSize]; }
    void push_front(u32 thread) { ring[--first % kSize] = (u16)thread; }
    void push_back(u32 thread) { ring[last++ % kSize] = (u16)thread; }

  private:
    static constexpr u32 kSize = 2 * kMaxThreads;
    u32 first = 0, last = 0;
    u16 ring[kSize];
};

class Worker : public Context {
  public:
    Worker();

    // Runs threadgroup number `index` of the launch; false after a fault, which is in `fault`.
    bool run(const Launch &launch, u32 index);
    void begin(const Launch &launch);

    [[noreturn]] void fail(const Fault &fault);
    // The running fiber waits until it is made ready again; the next ready one goes on.
    void wait(State state, u32 site);
    void barrier(u32 flags, u32 site);
    // The running lane, which has left its values in the buffers of the coming turn, waits for the others of its
    // simdgroup; returns the turn whose buffers hold the result.
    u32 meet(bool multiplies, u32 site);
    u64 declare_array(u32 id, u64 bytes, u64 align, u32 shift, u32 site);
    void converge(u32 site) { fingerprint[thread] = fingerprint[thread] * 31 + site + 1; }
    Simdgroup &simdgroup() { return simdgroups[thread / kLanes]; }

    Fault fault{};
    Totals totals{};
    Recorder recorder;

  private:
    static void fiber_main();
    void reset_threads(u32 count);
    void make_ready(u32 simdgroup, u32 lanes, bool soon);
    void release_barrier();
    void complete(u32 simdgroup);
    [[noreturn]] void finish_thread();
    bool same_fingerprints(u32 simdgroup) const;
    void leave(); // to the next ready fiber, or to the end of the threadgroup
    [[noreturn]] void fail_divergence(u32 site, const char *text);
    void report_deadlock();
    u32 random(u32 below);

    const Launch *launch = nullptr;
    std::vector<Fiber> fibers;
    void *main_stack = nullptr;
    ReadyQueue ready;
    Builtins shared{}; // what all threads of the threadgroup have in common
    u32 thread_count = 0, live = 0, at_barrier = 0, barrier_site = 0, barrier_flags = 0;
    u32 memory_used = 0;
    u64 random_state = 0;
    State state[kMaxThreads];
    u32 wait_site[kMaxThreads];
    u32 fingerprint[kMaxThreads];
    Simdgroup simdgroups[kMaxSimdgroups];
    std::unique_ptr<Cell[]> cells;
    alignas(64) char memory[kMaxThreadgroupBytes];
};

inline Worker &this_worker() { return *static_cast<Worker *>(sim_context); }

} // namespace metal_sim
