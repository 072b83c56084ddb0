// Threadgroup arrays, atomics, and the faults that hooks.h finds.
#include "worker.h"

#include "msl/hooks.h"

#include <cstring>

namespace metal_sim {

// The first thread that comes by a declaration makes the array; the others find it.
u64 Worker::declare_array(u32 id, u64 bytes, u64 align, u32 shift, u32 site) {
    Array &array = arrays[id];
    if (array.stamp != group_start) {
        u64 offset = (memory_used + align - 1) / align * align;
        if (offset + bytes > kMaxThreadgroupBytes) {
            Fault what{};
            what.kind = kTooMuchThreadgroupMemory;
            what.space = kThreadgroup;
            what.slot = id;
            what.site = site;
            what.bytes = offset + bytes;
            fail(what);
        }
        memory_used = (u32)(offset + bytes);
        array = {memory + offset, cells.get() + offset, bytes, shift, group_start};
        std::memset(array.data, 0xff, bytes); // a NaN, in case a read of it went unnoticed
    }
    return make_handle(kThreadgroupTag, id);
}

static Fault access_fault(FaultKind kind, Space space, Access access, u64 handle, u64 bytes, u32 site) {
    const Context &c = *sim_context;
    Fault fault{};
    fault.kind = kind;
    fault.space = space;
    fault.access = access;
    fault.slot = (u32)handle_slot(handle, space == kThreadgroup ? kThreadgroupTag : kDeviceTag);
    fault.offset = handle_offset(handle);
    fault.bytes = bytes;
    fault.site = site;
    fault.thread = c.thread;
    fault.group = c.group;
    return fault;
}

} // namespace metal_sim

using namespace metal_sim;

extern "C" void sim_fail_access(FaultKind kind, Space space, Access access, u64 handle, u64 bytes, u32 site) {
    this_worker().fail(access_fault(kind, space, access, handle, bytes, site));
}

extern "C" void sim_fail_race(Space space, Access access, u64 handle, u64 bytes, u32 site, const Owner *other,
                              Access other_access) {
    Fault fault = access_fault(space == kDevice ? kDeviceRace : kThreadgroupRace, space, access, handle, bytes, site);
    fault.other_access = other_access;
    fault.other_group = other->group - 1;
    fault.other_thread = other->thread;
    fault.other_site = other->site;
    this_worker().fail(fault);
}

extern "C" u64 sim_threadgroup_array(u32 id, u64 bytes, u64 align, u32 granule_shift, u32 site) {
    return this_worker().declare_array(id, bytes, align, granule_shift, site);
}

extern "C" void *sim_atomic_device(u64 handle, u64 bytes, Access access, u32 site) {
    Worker &c = this_worker();
    const Buffer &buffer = checked_buffer(c, kDevice, access, handle, bytes, (u32)bytes, site);
    u64 offset = (u64)handle_offset(handle);
    if (!buffer.owners && access != kRead)
        sim_fail_access(kInputWritten, kDevice, access, handle, bytes, site);
    for (u64 i = offset >> buffer.granule_shift; buffer.owners && i <= (offset + bytes - 1) >> buffer.granule_shift;
         i++) {
        Owner &owner = buffer.owners[i];
        if (owner.group == 0 && !buffer.initialised && access != kWrite)
            sim_fail_access(kUnwrittenOutputRead, kDevice, access, handle, bytes, site);
        if (owner.group != 0 && owner.group != kAtomicGroup && !owner_ordered(c, owner))
            sim_fail_race(kDevice, access, handle, bytes, site, &owner, kWrite);
        if (access != kRead)
            owner = {kAtomicGroup, c.now, (u16)c.thread, (u16)site};
    }
    if (c.block_counts)
        sim_count_access(kDevice, access == kRead ? kRead : kAtomic, handle, bytes, site);
    return buffer.data + offset;
}

extern "C" void *sim_atomic_threadgroup(u64 handle, u64 bytes, Access access, u32 site) {
    Worker &c = this_worker();
    Array &array = checked_array(c, access, handle, bytes, (u32)bytes, site);
    u64 offset = (u64)handle_offset(handle);
    for (u64 i = offset >> array.granule_shift; i <= (offset + bytes - 1) >> array.granule_shift; i++) {
        Cell &cell = array.cells[i];
        if (access != kWrite && cell.write_stamp < c.group_start)
            sim_fail_access(kUninitialisedRead, kThreadgroup, access, handle, bytes, site);
        if (access == kRead && cell.writer != kAtomicWriter)
            read_cell(c, cell, handle, bytes, site);
        else if (access != kRead)
            write_cell(c, cell, kAtomic, handle, bytes, site);
    }
    if (c.block_counts)
        sim_count_access(kThreadgroup, access == kRead ? kRead : kAtomic, handle, bytes, site);
    return array.data + offset;
}

extern "C" void sim_count_access(u32 space, u32 access, u64 handle, u64 bytes, u32 site) {
    Worker &worker = this_worker();
    worker.recorder.record(worker.totals, worker.thread, space, access, handle, bytes, site);
}
