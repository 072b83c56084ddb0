// What a running kernel and the runtime share. A kernel sees nothing of the host's headers, so this one needs none.
//
// A pointer into device, constant or threadgroup memory is not an address here but a handle: the 24 upper bits say
// which buffer or array, the lower 40 the offset in it, biased so that an index somewhat below zero still names the
// same buffer. Every access is rewritten to go through hooks.h, which turns the handle into an address after checking
// it.
#pragma once

namespace metal_sim {

using u8 = unsigned char;
using u16 = unsigned short;
using u32 = unsigned int;
using u64 = unsigned long;
using i64 = long;

constexpr u32 kLanes = 32;
constexpr u32 kMaxThreads = 1024;
constexpr u32 kMaxSimdgroups = kMaxThreads / kLanes;
constexpr u32 kMaxArrays = 64;
constexpr u32 kMaxThreadgroupBytes = 32768;
constexpr u32 kLineBytes = 128;

constexpr u32 kOffsetBits = 40;
constexpr u64 kOffsetBias = 1ul << (kOffsetBits - 1);
constexpr u64 kDeviceTag = 0xD00000;
constexpr u64 kThreadgroupTag = 0xE00000;

constexpr u64 make_handle(u64 tag, u32 slot) { return (tag + slot) << kOffsetBits | kOffsetBias; }
constexpr u64 handle_slot(u64 handle, u64 tag) { return (handle >> kOffsetBits) - tag; }
constexpr i64 handle_offset(u64 handle) { return (i64)(handle & ((1ul << kOffsetBits) - 1)) - (i64)kOffsetBias; }

// Who wrote a granule of an output last. `group` is the threadgroup's index plus one; 0 says nobody has.
struct Owner {
    u32 group, stamp;
    u16 thread, site;
};
constexpr u32 kAtomicGroup = ~0u;

// A kernel argument. `owners` is null for an input, else it has an entry per granule (the item's size, 4 bytes at
// most).
struct Buffer {
    char *data;
    Owner *owners;
    u64 bytes;
    u32 granule_shift, initialised;
};

// Shadow of two bytes of threadgroup memory (of one, in an array of bytes): who wrote and read it last, and when.
struct Cell {
    u32 write_stamp, read_stamp;
    u16 writer, reader;
    u16 write_site, read_site;
};
constexpr u16 kAtomicWriter = 0x7fff;
constexpr u16 kLanesOf = 0x8000;     // with a simdgroup's index: several of its lanes have read
constexpr u16 kManyReaders = 0xffff; // threads of several simdgroups have read

struct Array {
    char *data;
    Cell *cells;
    u64 bytes;
    u32 granule_shift, stamp;
};

enum FaultKind : u32 {
    kNoFault,
    kOutOfBounds,
    kMisaligned,
    kWildPointer,
    kInputWritten,
    kUnwrittenOutputRead,
    kUninitialisedRead,
    kThreadgroupRace,
    kDeviceRace,
    kDivergence,
    kTooMuchThreadgroupMemory,
    kIndexOutOfRange,
    kDivision,
};

enum Space : u32 { kDevice, kConstant, kThreadgroup };
enum Access : u32 { kRead, kWrite, kAtomic };

struct Fault {
    u32 kind, site, space, access, slot, thread, group;
    u32 other_site, other_thread, other_group, other_access; // a race's other half
    i64 offset;
    u64 bytes;
    const char *file;
    u32 line;
    char text[212];
};

// What hooks.h needs to know of the threadgroup that runs on this operating system's thread. Stamps count
// synchronisations: two accesses are ordered when a barrier lies between their stamps.
struct Context {
    u32 thread, group;
    u32 buffer_count;
    const Buffer *buffers;
    u32 now, group_start, threadgroup_sync, device_sync;
    u32 simdgroup_sync[kMaxSimdgroups], simdgroup_device_sync[kMaxSimdgroups];
    Array arrays[kMaxArrays];
    u64 *block_counts;
};

// The values of the kernel's attributed parameters, by their Metal names (no struct of Metal's vectors: see entry.h).
struct Position {
    u32 x, y, z;
};
struct Builtins {
    Position thread_position_in_grid, thread_position_in_threadgroup, threadgroup_position_in_grid;
    Position threads_per_grid, threads_per_threadgroup, threadgroups_per_grid, dispatch_threads_per_threadgroup;
    u32 thread_index_in_threadgroup, thread_index_in_simdgroup, simdgroup_index_in_threadgroup;
    u32 simdgroups_per_threadgroup, dispatch_simdgroups_per_threadgroup;
};

// What the lanes of a simdgroup tell each other at one simd function.
struct Exchange {
    u32 active; // a bit for every lane that took part
    alignas(64) char slot[kLanes][32];
};

} // namespace metal_sim

extern "C" {
extern __attribute__((tls_model("initial-exec"))) __thread metal_sim::Context *sim_context;

// Every function of the runtime that can fail takes the place it is called from; instrument.py fills it in.
constexpr metal_sim::u32 kSite = ~0u;

[[noreturn]] void sim_fail_access(metal_sim::FaultKind kind, metal_sim::Space space, metal_sim::Access access,
                                  metal_sim::u64 handle, metal_sim::u64 bytes, metal_sim::u32 site);
[[noreturn]] void sim_fail_race(metal_sim::Space space, metal_sim::Access access, metal_sim::u64 handle,
                                metal_sim::u64 bytes, metal_sim::u32 site, const metal_sim::Owner *other,
                                metal_sim::Access other_access);
metal_sim::u64 sim_threadgroup_array(metal_sim::u32 id, metal_sim::u64 bytes, metal_sim::u64 align,
                                     metal_sim::u32 granule_shift, metal_sim::u32 site);

// What threads do together, at one place of the text (-fconvergent-functions).
void sim_threadgroup_barrier(metal_sim::u32 flags, metal_sim::u32 site);
void sim_simdgroup_barrier(metal_sim::u32 flags, metal_sim::u32 site);
const metal_sim::Exchange *sim_exchange(const void *value, metal_sim::u32 bytes, metal_sim::u32 site);
void sim_multiply(const float *a, const float *b, float *c, metal_sim::u32 site);
void sim_converge(metal_sim::u32 site); // all lanes must come by here, but none waits

void *sim_atomic_device(metal_sim::u64 handle, metal_sim::u64 bytes, metal_sim::Access access, metal_sim::u32 site);
void *sim_atomic_threadgroup(metal_sim::u64 handle, metal_sim::u64 bytes, metal_sim::Access access,
                             metal_sim::u32 site);
void sim_count_access(metal_sim::u32 space, metal_sim::u32 access, metal_sim::u64 handle, metal_sim::u64 bytes,
                      metal_sim::u32 site);
}
