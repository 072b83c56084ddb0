#include "recorder.h"

#include <algorithm>

namespace metal_sim {

void Recorder::begin_launch(const Buffer *buffers, u32 buffer_count, u32 site_count) {
    sites = site_count;
    for (auto &by_buffer : touched) {
        by_buffer.resize(buffer_count);
        for (u32 b = 0; b < buffer_count; b++)
            by_buffer[b].assign((buffers[b].bytes + kLineBytes - 1) / kLineBytes, 0);
    }
}

void Recorder::begin_threadgroup(u32 count) {
    thread_count = count;
    passes.assign((size_t)count * sites * 2, 0);
}

void Recorder::record(Totals &totals, u32 thread, u32 space, u32 access, u64 handle, u64 bytes, u32 site) {
    if (access == kAtomic) {
        totals.atomics++;
        record(totals, thread, space, kRead, handle, bytes, site);
        return record(totals, thread, space, kWrite, handle, bytes, site);
    }
    totals.bytes[space][access] += bytes;
    if (space != kDevice)
        return;
    u32 pass = passes[((size_t)thread * sites + site) * 2 + access]++;
    u64 key = ((u64)pass * kMaxSimdgroups + thread / kLanes) * 2 * sites + site * 2 + access;
    Instruction &instruction = open[key];
    instruction.write = access == kWrite;
    u64 slot = handle_slot(handle, kDeviceTag), offset = (u64)handle_offset(handle);
    for (u64 line = offset / kLineBytes; line <= (offset + bytes - 1) / kLineBytes; line++) {
        touched[access][slot][line] = 1;
        u64 name = slot << 40 | line;
        if (std::find(instruction.lines.rbegin(), instruction.lines.rend(), name) == instruction.lines.rend())
            instruction.lines.push_back(name);
    }
    u32 lanes = std::min(kLanes, thread_count - thread / kLanes * kLanes);
    if (++instruction.lanes == lanes) {
        close(totals, instruction);
        open.erase(key);
    }
}

void Recorder::close(Totals &totals, const Instruction &instruction) {
    totals.transactions[instruction.write] += instruction.lines.size();
}

void Recorder::end_threadgroup(Totals &totals) {
    for (auto &[key, instruction] : open) // those that not every lane came by
        close(totals, instruction);
    open.clear();
}

void Recorder::merge(const Recorder &other) {
    for (u32 access = 0; access < 2; access++)
        for (size_t b = 0; b < touched[access].size(); b++)
            for (size_t line = 0; line < touched[access][b].size(); line++)
                touched[access][b][line] |= other.touched[access][b][line];
}

void Recorder::count_lines(Totals &totals) const {
    for (u32 access = 0; access < 2; access++)
        for (auto &by_line : touched[access])
            for (u8 line : by_line)
                totals.lines[access] += line;
}

} // namespace metal_sim
