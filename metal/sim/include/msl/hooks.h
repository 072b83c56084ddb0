// The checks of every access to device, constant and threadgroup memory. instrument.py calls one of the functions below
// in front of each load and store of the optimised kernel. What they call is inlined into them: it must not look like a
// function of the kernel's.
#pragma once

#include "msl/context.h"

#define SIM_HOOK extern "C" [[gnu::used]] inline
#define SIM_PART inline __attribute__((always_inline))

#ifdef SIM_COUNT
#define SIM_COUNT_ACCESS(...) sim_count_access(__VA_ARGS__)
#else
#define SIM_COUNT_ACCESS(...) (void)0
#endif

namespace metal_sim {

SIM_PART u32 lane() { return sim_context->thread % kLanes; }

SIM_PART const Buffer &checked_buffer(Context &c, Space space, Access access, u64 handle, u64 bytes, u32 align,
                                      u32 site) {
    u64 slot = handle_slot(handle, kDeviceTag), offset = (u64)handle_offset(handle);
    if (__builtin_expect(slot >= c.buffer_count, 0))
        sim_fail_access(kWildPointer, space, access, handle, bytes, site);
    const Buffer &buffer = c.buffers[slot];
    if (__builtin_expect(offset > buffer.bytes || bytes > buffer.bytes - offset, 0))
        sim_fail_access(kOutOfBounds, space, access, handle, bytes, site);
    if (__builtin_expect(offset & (align - 1), 0))
        sim_fail_access(kMisaligned, space, access, handle, bytes, site);
    return buffer;
}

SIM_PART Array &checked_array(Context &c, Access access, u64 handle, u64 bytes, u32 align, u32 site) {
    u64 slot = handle_slot(handle, kThreadgroupTag), offset = (u64)handle_offset(handle);
    if (__builtin_expect(slot >= kMaxArrays || c.arrays[slot].stamp != c.group_start, 0))
        sim_fail_access(kWildPointer, kThreadgroup, access, handle, bytes, site);
    Array &array = c.arrays[slot];
    if (__builtin_expect(offset > array.bytes || bytes > array.bytes - offset, 0))
        sim_fail_access(kOutOfBounds, kThreadgroup, access, handle, bytes, site);
    if (__builtin_expect(offset & (align - 1), 0))
        sim_fail_access(kMisaligned, kThreadgroup, access, handle, bytes, site);
    return array;
}

// Whether an access stamped `stamp`, by thread `by` of this threadgroup, comes before whatever the running thread does.
SIM_PART bool ordered(const Context &c, u32 stamp, u32 by) {
    return stamp < c.threadgroup_sync || by == c.thread ||
           (by / kLanes == c.thread / kLanes && stamp < c.simdgroup_sync[by / kLanes]);
}

SIM_PART bool readers_ordered(const Context &c, const Cell &cell) {
    if (cell.read_stamp < c.threadgroup_sync)
        return true;
    u32 mine = c.thread / kLanes;
    if (cell.reader & kLanesOf)
        return cell.reader == (kLanesOf | mine) && cell.read_stamp < c.simdgroup_sync[mine];
    return ordered(c, cell.read_stamp, cell.reader);
}

// A cell remembers one reader, or that there were several: in a simdgroup, or in all of them.
SIM_PART u16 with_reader(const Context &c, const Cell &cell) {
    u32 mine = c.thread / kLanes;
    if (cell.read_stamp < c.threadgroup_sync || cell.reader == c.thread)
        return (u16)c.thread;
    if (cell.reader == kManyReaders)
        return kManyReaders;
    if ((cell.reader & kLanesOf ? cell.reader & (kLanesOf - 1) : cell.reader / kLanes) != mine)
        return kManyReaders;
    return cell.read_stamp < c.simdgroup_sync[mine] ? (u16)c.thread : (u16)(kLanesOf | mine);
}

SIM_PART void read_cell(Context &c, Cell &cell, u64 handle, u64 bytes, u32 site) {
    if (__builtin_expect(cell.write_stamp < c.group_start, 0))
        sim_fail_access(kUninitialisedRead, kThreadgroup, kRead, handle, bytes, site);
    if (__builtin_expect(!ordered(c, cell.write_stamp, cell.writer), 0)) {
        Owner other = {c.group + 1, cell.write_stamp, cell.writer, cell.write_site};
        sim_fail_race(kThreadgroup, kRead, handle, bytes, site, &other,
                      cell.writer == kAtomicWriter ? kAtomic : kWrite);
    }
    cell.reader = with_reader(c, cell);
    cell.read_stamp = c.now;
    cell.read_site = (u16)site;
}

SIM_PART void write_cell(Context &c, Cell &cell, Access access, u64 handle, u64 bytes, u32 site) {
    bool both_atomic = access == kAtomic && cell.writer == kAtomicWriter;
    bool written = cell.write_stamp >= c.group_start;
    if (__builtin_expect(written && !both_atomic && !ordered(c, cell.write_stamp, cell.writer), 0)) {
        Owner other = {c.group + 1, cell.write_stamp, cell.writer, cell.write_site};
        sim_fail_race(kThreadgroup, access, handle, bytes, site, &other,
                      cell.writer == kAtomicWriter ? kAtomic : kWrite);
    }
    if (__builtin_expect(cell.read_stamp >= c.group_start && !readers_ordered(c, cell), 0)) {
        Owner other = {c.group + 1, cell.read_stamp, cell.reader, cell.read_site};
        sim_fail_race(kThreadgroup, access, handle, bytes, site, &other, kRead);
    }
    cell.writer = access == kAtomic ? kAtomicWriter : (u16)c.thread;
    cell.write_stamp = c.now;
    cell.write_site = (u16)site;
}

// Whether what `owner` wrote to an output is certain to be seen by the running thread.
SIM_PART bool owner_ordered(const Context &c, const Owner &owner) {
    if (owner.group != c.group + 1)
        return false;
    return owner.stamp < c.device_sync || owner.thread == c.thread ||
           (owner.thread / kLanes == c.thread / kLanes && owner.stamp < c.simdgroup_device_sync[c.thread / kLanes]);
}

SIM_PART void read_owners(Context &c, const Buffer &buffer, u64 handle, u64 bytes, u32 site) {
    u64 offset = (u64)handle_offset(handle);
    for (u64 i = offset >> buffer.granule_shift; i <= (offset + bytes - 1) >> buffer.granule_shift; i++) {
        const Owner &owner = buffer.owners[i];
        if (owner.group == 0) {
            if (__builtin_expect(!buffer.initialised, 0))
                sim_fail_access(kUnwrittenOutputRead, kDevice, kRead, handle, bytes, site);
        } else if (__builtin_expect(!owner_ordered(c, owner), 0)) {
            sim_fail_race(kDevice, kRead, handle, bytes, site, &owner, owner.group == kAtomicGroup ? kAtomic : kWrite);
        }
    }
}

SIM_PART void write_owners(Context &c, const Buffer &buffer, u64 handle, u64 bytes, bool changes, u32 site) {
    u64 offset = (u64)handle_offset(handle);
    for (u64 i = offset >> buffer.granule_shift; i <= (offset + bytes - 1) >> buffer.granule_shift; i++) {
        Owner &owner = buffer.owners[i];
        if (__builtin_expect(owner.group != 0 && !owner_ordered(c, owner), 0)) {
            // Two threads may write one element if they write the same value: nobody can tell in which order.
            if (!changes)
                continue;
            sim_fail_race(kDevice, kWrite, handle, bytes, site, &owner, owner.group == kAtomicGroup ? kAtomic : kWrite);
        }
        owner = {c.group + 1, c.now, (u16)c.thread, (u16)site};
    }
}

} // namespace metal_sim

SIM_HOOK const void *sim_load_device(metal_sim::u64 handle, metal_sim::u64 bytes, metal_sim::u32 align,
                                     metal_sim::u32 site) {
    using namespace metal_sim;
    Context &c = *sim_context;
    const Buffer &buffer = checked_buffer(c, kDevice, kRead, handle, bytes, align, site);
    if (buffer.owners)
        read_owners(c, buffer, handle, bytes, site);
    SIM_COUNT_ACCESS(kDevice, kRead, handle, bytes, site);
    return buffer.data + handle_offset(handle);
}

// A store copies `value` itself, because whether it is an error can depend on the value.
SIM_HOOK void sim_store_device(metal_sim::u64 handle, const void *value, metal_sim::u64 bytes, metal_sim::u32 align,
                               metal_sim::u32 site) {
    using namespace metal_sim;
    Context &c = *sim_context;
    const Buffer &buffer = checked_buffer(c, kDevice, kWrite, handle, bytes, align, site);
    if (__builtin_expect(!buffer.owners, 0))
        sim_fail_access(kInputWritten, kDevice, kWrite, handle, bytes, site);
    char *data = buffer.data + handle_offset(handle);
    write_owners(c, buffer, handle, bytes, __builtin_memcmp(data, value, bytes) != 0, site);
    SIM_COUNT_ACCESS(kDevice, kWrite, handle, bytes, site);
    __builtin_memcpy(data, value, bytes);
}

// Constant memory holds small arguments, and the program's own tables: those are ordinary addresses.
SIM_HOOK const void *sim_load_constant(metal_sim::u64 handle, metal_sim::u64 bytes, metal_sim::u32 align,
                                       metal_sim::u32 site) {
    using namespace metal_sim;
    if ((handle >> kOffsetBits) < kDeviceTag)
        return (const void *)handle;
    Context &c = *sim_context;
    const Buffer &buffer = checked_buffer(c, kConstant, kRead, handle, bytes, align, site);
    SIM_COUNT_ACCESS(kConstant, kRead, handle, bytes, site);
    return buffer.data + handle_offset(handle);
}

SIM_HOOK const void *sim_load_threadgroup(metal_sim::u64 handle, metal_sim::u64 bytes, metal_sim::u32 align,
                                          metal_sim::u32 site) {
    using namespace metal_sim;
    Context &c = *sim_context;
    Array &array = checked_array(c, kRead, handle, bytes, align, site);
    u64 offset = (u64)handle_offset(handle);
    for (u64 i = offset >> array.granule_shift; i <= (offset + bytes - 1) >> array.granule_shift; i++)
        read_cell(c, array.cells[i], handle, bytes, site);
    SIM_COUNT_ACCESS(kThreadgroup, kRead, handle, bytes, site);
    return array.data + offset;
}

SIM_HOOK void sim_store_threadgroup(metal_sim::u64 handle, const void *value, metal_sim::u64 bytes,
                                    metal_sim::u32 align, metal_sim::u32 site) {
    using namespace metal_sim;
    Context &c = *sim_context;
    Array &array = checked_array(c, kWrite, handle, bytes, align, site);
    u64 offset = (u64)handle_offset(handle);
    for (u64 i = offset >> array.granule_shift; i <= (offset + bytes - 1) >> array.granule_shift; i++)
        write_cell(c, array.cells[i], kWrite, handle, bytes, site);
    SIM_COUNT_ACCESS(kThreadgroup, kWrite, handle, bytes, site);
    __builtin_memcpy(array.data + offset, value, bytes);
}

#ifdef SIM_COUNT
SIM_HOOK void sim_enter_block(metal_sim::u32 block) { sim_context->block_counts[block]++; }
#endif
