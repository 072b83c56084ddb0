// What a launch's memory instructions amounted to.
#pragma once

#include "msl/context.h"

#include <unordered_map>
#include <vector>

namespace metal_sim {

// Sums over the launch, for counters.py. Indexed by Space and Access (an atomic counts as both a read and a write).
struct Totals {
    u64 bytes[3][2];
    u64 transactions[2]; // device lines per simdgroup instruction, reads and writes
    u64 lines[2];        // distinct device lines over the launch
    u64 atomics;
    u64 multiplies, simd_functions, threadgroup_barriers, simdgroup_barriers;
    u64 threadgroup_memory, threads, threadgroups;
};

// Groups the lanes' accesses into the instructions of a simdgroup: the n-th time a lane passes a place in the kernel
// belongs together with the n-th time of the others.
class Recorder {
  public:
    void begin_launch(const Buffer *buffers, u32 buffer_count, u32 sites);
    void begin_threadgroup(u32 thread_count);
    void end_threadgroup(Totals &totals);
    void record(Totals &totals, u32 thread, u32 space, u32 access, u64 handle, u64 bytes, u32 site);
    // The lines either of the two has touched, into `lines`.
    void merge(const Recorder &other);
    void count_lines(Totals &totals) const;

  private:
    struct Instruction {
        u32 lanes = 0;
        bool write = false;
        std::vector<u64> lines;
    };
    void close(Totals &totals, const Instruction &instruction);

    u32 thread_count = 0, sites = 0;
    std::vector<u32> passes;                   // by thread and site
    std::unordered_map<u64, Instruction> open; // by simdgroup, site and pass
    std::vector<std::vector<u8>> touched[2];   // by buffer and line
};

} // namespace metal_sim
